#!/usr/bin/env python3
"""Writes bench/CUDA.md from the newest bench/results/*-cuda.json, which bench_cuda writes on a machine with a GPU, and the
newest *-rivals-cuda.json of bench/rivals/cuda_forward.py.

    bench/cuda_report.py             from the newest result
    bench/cuda_report.py --check     writes nothing; exits with 1 when the page is not what it would write
"""
import argparse
import json
import pathlib
import re
import statistics
import sys

BENCH = pathlib.Path(__file__).resolve().parent
PAGE = BENCH / "CUDA.md"
NOT_MEASURED = """# Networks on GPUs

Not measured yet: no result of `bench_cuda` lies in `bench/results`. README.md has the commands.
"""


def newest(name):
    """Of a day the one with the highest number."""
    def age(path):
        found = re.fullmatch(rf"(\d{{4}}-\d\d-\d\d)-{name}(?:-(\d+))?\.json", path.name)
        return (found[1], int(found[2] or 1)) if found else ("", 0)
    paths = [path for path in (BENCH / "results").glob(f"*-{name}*.json") if age(path)[0]]
    return max(paths, key=age, default=None)


def table(head, rows):
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def milliseconds(seconds):
    return f"{seconds * 1e3:.4g}"


class Latencies:
    """Medians by network, batch, precision, where buffers lie, and how kernels are launched."""

    def __init__(self, rows):
        self.samples = {(row["net"], row["batch"], row["precision"], row["place"], row["launch"]): row["seconds"]
                        for row in rows}

    def median(self, case, place, launch="together"):
        samples = self.samples.get((case["net"], case["batch"], case["precision"], place, launch))
        return statistics.median(samples) if samples else None


def verdicts(document):
    rows = []
    for target in document["targets"]:
        found = "" if target["seconds"] is None else milliseconds(target["seconds"]) + " ms"
        rows.append([target["what"], f"at most {milliseconds(target['most_seconds'])} ms", found, target["verdict"]])
    uploads = document["uploads"]
    share = (statistics.median(uploads["tensor_bytes_per_second"])
             / statistics.median(uploads["pinned_copy_bytes_per_second"]))
    least = document["least_upload_share"]
    rows.append(["Uploads, of a copy from pinned memory", f"at least {100 * least:.0f} %", f"{100 * share:.0f} %",
                 "met" if share >= least else "missed"])
    return table(["target", "", "found", ""], rows)


def limits(document):
    rows = []
    for peak in document["peaks"]:
        largest = max(peak["per_second"])
        copies = peak["name"] == "copy"
        clock = f"{peak['sm_clock_hz'] / 1e6:.0f}" if peak["sm_clock_hz"] else ""
        rows.append([{"fma": "float32 multiply-adds", "copy": "memory, reads and writes"}.get(
            peak["name"], f"mma.sync of {peak['name']}, sums in float32"),
                     f"{largest / 1e9:.0f} GB/s" if copies else f"{largest / 1e12:.1f} TFLOP/s", clock])
    for key, name in (("pinned_copy_bytes_per_second", "copy from pinned memory to the GPU"),
                      ("tensor_bytes_per_second", "`Tensor::to()` of ordinary memory")):
        rows.append([name, f"{statistics.median(document['uploads'][key]) / 1e9:.1f} GB/s", ""])
    return table(["of this device", "", "clock, MHz"], rows)


def networks(document):
    latencies = Latencies(document["rows"])
    rows = []
    for case in document["cases"]:
        device = latencies.median(case, "device")
        cells = [f"{case['net']}, {case['precision']}", str(case["batch"])]
        for place, launch in (("host", "together"), ("pinned", "together"), ("device", "together"),
                              ("device", "one by one")):
            median = latencies.median(case, place, launch)
            cells.append(milliseconds(median) if median is not None else "")
        cells += [f"{case['batch'] / device:,.0f}", f"{100 * case['roofline_seconds'] / device:.0f} %",
                  f"{100 * case['roofline_compute_seconds'] / case['roofline_seconds']:.0f} %",
                  f"{case['error_against_cpu']:.1e}"] if device else ["", "", "", ""]
        rows.append(cells)
    return table(["network", "batch", "host", "pinned", "device", "launched singly", "images/s", "of roofline",
                  "of it arithmetic", "error"], rows)


def launched_singly(document):
    """Those that were to be launched together and could not be."""
    return "".join(f"- {case['net']}, {case['precision']}, batch {case['batch']}: {case['launching']}\n"
                   for case in document["cases"] if not case["launching"].startswith("one CUDA graph"))


def memory(document):
    rows = []
    for case in document["cases"]:
        if case["prepare_seconds"] is None:
            continue
        rows.append([f"{case['net']}, {case['precision']}", str(case["batch"]), f"{case['weights_bytes'] / 1e6:.1f}",
                     f"{case['workspace_bytes'] / 1e6:.1f}", f"{case['device_bytes'] / 1e6:.1f}",
                     milliseconds(case["prepare_seconds"]),
                     f"{case['weights_bytes'] / case['prepare_seconds'] / 1e9:.1f}"])
    return table(["network", "batch", "weights, float32, MB", "workspace, MB", "taken on the GPU, MB", "to be ready, ms",
                  "weights, GB/s"], rows)


def page(path, document):
    gpu = document["machine"]["gpu"]
    samples = max((len(row["seconds"]) for row in document["rows"]), default=0)
    yield "# Networks on GPUs\n"
    yield (f"Written by `bench/cuda_report.py` from [{path.name}](results/{path.name}): {document['date'][:10]}, commit "
           f"{(document['commit'] or 'unknown')[:12]}, {gpu['name']}, {gpu['processors']} processors, driver for CUDA "
           f"{document['machine']['driver_cuda_version'] // 1000}."
           f"{document['machine']['driver_cuda_version'] % 1000 // 10}.\n")
    yield ("Milliseconds are medians of up to "
           f"{samples} runs, each waited for: from and to ordinary memory of the host (`host`), pinned memory, and "
           "buffers on the GPU; launched together where the backend can, and one by one. Images a second are those of "
           "buffers on the GPU. Weights are made up; the error is that of the first picture against the CPU in strict "
           "float32, relative to the largest output.\n")
    yield ("The roofline adds up, layer by layer, the longer of the time for its multiply-adds and of the time for its "
           "bytes, each once, at the limits below, which kernels that do nothing else reached on this device; \"of it "
           "arithmetic\" is the part that multiply-adds bound. Where L2 holds what a layer reads, more than 100 % is "
           "possible.\n")
    yield verdicts(document)
    yield "## Limits\n"
    yield limits(document)
    yield "## Networks\n"
    yield networks(document)
    singly = launched_singly(document)
    if singly:
        yield "Launched one by one though they were to be launched together:\n"
        yield singly
    yield "## Memory, and the way to the first run\n"
    yield memory(document)


# Titles of the tables, and the rivals that stand in each: precisions of one kind side by side.
CLASSES = (("float32, TF32 off", ("rushlight-strict",), lambda rival: "tf32" not in rival and "bf16" not in rival),
           ("TF32", ("rushlight-tf32",), lambda rival: rival.endswith("tf32")),
           ("Formats of 16 bits", ("rushlight-bf16", "rushlight-fp16"), lambda rival: "bf16" in rival))


def beside_pytorch(path, document):
    medians = {}
    for block in document["blocks"]:
        medians.setdefault((block["net"], block["batch"]), {})[block["rival"]] = statistics.median(
            sum(block["rounds_ns"], []))
    torch = document["torch"]
    yield (f"## Beside PyTorch\n\n[{path.name}](results/{path.name}): {document['date'][:10]}, commit "
           f"{(document['commit'] or 'unknown')[:12]}, {document['gpu'] or torch['gpu']}; PyTorch {torch['torch']}, CUDA "
           f"{torch['cuda']}, cuDNN {torch['cudnn']}. The same weights and inputs, buffers on the GPU, in turns; medians "
           "in milliseconds. The last column is PyTorch's fastest by our fastest.\n")
    for title, ours, is_theirs in CLASSES:
        theirs = [rival for rival in document["ways"] if not rival.startswith("rushlight") and is_theirs(rival)]
        rows = []
        for (net, batch), found in medians.items():
            cells = [milliseconds(found[rival] / 1e9) if rival in found else "" for rival in (*ours, *theirs)]
            best = [min((found[rival] for rival in side if rival in found), default=None) for side in (ours, theirs)]
            if any(cells):
                rows.append([net, str(batch), *cells, f"**{best[1] / best[0]:.2f}**" if all(best) else ""])
        if rows:
            yield f"{title}:\n"
            yield table(["network", "batch", *(document["ways"].get(rival, rival) for rival in (*ours, *theirs)),
                         "PyTorch / Rushlight"], rows)
    if document["skipped"]:
        yield "Skipped:\n"
        yield "\n".join("- " + " ".join(str(word) for key, word in row.items() if key != "why") + f": {row['why']}"
                        for row in document["skipped"]) + "\n"


def text_of_page():
    path, rivals = newest("cuda"), newest("rivals-cuda")
    parts = list(page(path, json.loads(path.read_text()))) if path else [NOT_MEASURED]
    if rivals:
        parts += beside_pytorch(rivals, json.loads(rivals.read_text()))
    return "\n".join(parts)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    if parser.parse_args().check:
        if not PAGE.exists() or PAGE.read_text() != text_of_page():
            sys.exit("bench/CUDA.md is not what bench/cuda_report.py makes of the newest result: run it")
    else:
        PAGE.write_text(text_of_page())


if __name__ == "__main__":
    main()
