#!/usr/bin/env python3
"""Tables and a chart of what forward.py measured: the section of bench/README.md, and results/rivals-forward.svg.

    bench/rivals/forward_report.py [RESULT.json]     of the newest result, unless one is named
    bench/rivals/forward_report.py --check           fails where the section or the chart is not what this makes of it

Nobody types a figure: between the two markers everything is written here.
"""
import argparse
import json
import math
import pathlib
import re
import statistics
import sys

BENCH = pathlib.Path(__file__).resolve().parent.parent
RESULTS = BENCH / "results"
CHART = RESULTS / "rivals-forward.svg"
BEGIN, END = "<!-- rivals-forward: begin -->", "<!-- rivals-forward: end -->"
ENGINES = ("onnxruntime", "openvino", "ncnn")  # the others that only run networks
BF16_RIVALS = ("openvino-bf16", "torch-bf16")
# What was aimed at, by network and batch on one thread: of the best engine strict and fast, of PyTorch fast.
AIMS = {("resnet18", 1): (1.3, 1.55, 2.6), ("resnet50", 1): (1.15, 1.25, 1.9), ("resnet50", 8): (1.2, 1.35, 2.2),
        ("vgg16", 1): (1.6, 2.0, 2.7), ("mobilenet_v2", 1): (None, 1.3, 2.7), ("mlp", 1): (None, 4, 12)}
FIRST_AIMS = {"resnet50": (2, 10)}  # of the best engine from the file, of PyTorch from the start of the process
THREADS_AIM, THREADS_NETS = 1.85, ("resnet18", "resnet50", "vgg16")  # two threads against one
TITLES = {"rushlight": "Rushlight", "rushlight-fast": "Rushlight, fast", "rushlight-bf16": "Rushlight, bf16",
          "rushlight-int8": "Rushlight, int8",
          "onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "ncnn": "ncnn", "torch": "PyTorch", "torch-channels-last": "channels last",
          "torch-frozen": "frozen", "torch-compile": "compiled", "openvino-bf16": "OpenVINO, bf16",
          "torch-bf16": "PyTorch, bf16"}


def results(kind="forward"):
    """By date, then by number: 2026-11-27-rivals-forward-2 is later than 2026-11-27-rivals-forward."""
    def key(path):
        return path.stem[:10], int((re.search(rf"-{kind}-(\d+)$", path.stem) or [0, 1])[1])

    return sorted(RESULTS.glob(f"*-rivals-{kind}*.json"), key=key)


def newest(kind="forward", cpu=None):
    """`cpu`: of this kind of machine."""
    found = [path for path in results(kind) if cpu in (None, json.loads(path.read_text())["machine"]["cpu"])]
    return found[-1] if found else None


def milliseconds(nanoseconds):
    value = nanoseconds / 1e6
    return f"{value:.4f}" if value < 0.1 else f"{value:.3g}" if value < 100 else f"{value:.0f}"


def megabytes(count):
    return f"{count / 1e6:.3g}" if count < 1e9 else f"{count / 1e6:.0f}"


class Block:
    """One network, batch and number of threads: everybody's samples."""

    def __init__(self, rows):
        self.rounds = {row["rival"]: row["rounds_ns"] for row in rows}
        self.medians = {rival: statistics.median(sum(rounds, [])) for rival, rounds in self.rounds.items()}

    def ratio(self, rival, ours="rushlight"):
        return self.medians[rival] / self.medians[ours]

    def spread(self, rival, ours="rushlight"):
        """Of the ratio, from round to round."""
        ratios = [statistics.median(a) / statistics.median(b) for a, b in zip(self.rounds[rival], self.rounds[ours])]
        return min(ratios), max(ratios)

    def best(self, rivals):
        here = [rival for rival in rivals if rival in self.medians]
        return min(here, key=self.medians.get) if here and "rushlight" in self.medians else None


def blocks_of(document):
    grouped = {}
    for row in document["blocks"]:
        grouped.setdefault((row["threads"], row["batch"]), {}).setdefault(row["net"], []).append(row)
    return {key: {net: Block(rows) for net, rows in nets.items()} for key, nets in grouped.items()}


def threads_text(threads):
    return f"{threads} thread{'s' if threads > 1 else ''}"


def table(head, rows):
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def rivals_in(rows):
    present = {row["rival"] for row in rows}
    return [rival for rival in TITLES if rival in present]


def against(block, rivals, ours):
    best = block.best(rivals)
    if best is None or ours not in block.medians:
        return "-"
    low, high = block.spread(best, ours)
    return f"**{block.ratio(best, ours):.2f}** ({low:.2f} to {high:.2f})"


def speed_tables(document):
    titles = document["nets"]
    modes = [mode for mode in ("rushlight", "rushlight-fast") if mode in rivals_in(document["blocks"])]
    for (threads, batch), nets in sorted(blocks_of(document).items()):
        rivals = [rival for rival in TITLES if any(rival in block.medians for block in nets.values())
                  and not rival.endswith("-bf16")]
        rows = []
        for net, block in nets.items():
            cells = [milliseconds(block.medians[rival]) if rival in block.medians else "-" for rival in rivals]
            ratios = [against(block, theirs, ours) for ours in modes for theirs in (ENGINES, ["torch"])]
            rows.append([titles[net]["title"], *cells, *ratios])
        yield f"Batch {batch}, {threads_text(threads)}, milliseconds:\n"
        heads = [f"{theirs} / {TITLES[ours]}" for ours in modes for theirs in ("best engine", "PyTorch")]
        yield table(["", *(TITLES[rival] for rival in rivals), *heads], rows)


def bf16_tables(document, path=None):
    """bfloat16 beside bfloat16, and what it gains over float32. `path`: of a run of its own."""
    titles = document["nets"]
    if "rushlight-bf16" not in rivals_in(document["blocks"]):
        return
    if path:
        errors = ", ".join(f"{TITLES[rival]} {error:.1e}" for rival, error in worst_errors(document).items())
        yield (f"bfloat16 in a run of its own, [{path.name}](results/{path.name}), {document['date'][:10]}, commit "
               f"{commit_of(document)}. The networks have random weights, of which bfloat16 loses more than of trained "
               f"ones; largest errors: {errors}.\n")
        yield from busy_sentence(document)
    for (threads, batch), nets in sorted(blocks_of(document).items()):
        rivals = [rival for rival in ("rushlight", "rushlight-bf16", *BF16_RIVALS)
                  if any(rival in block.medians for block in nets.values())]
        rows = []
        for net, block in nets.items():
            cells = [milliseconds(block.medians[rival]) if rival in block.medians else "-" for rival in rivals]
            ratios = [against(block, theirs, "rushlight-bf16") for theirs in (BF16_RIVALS, ["rushlight"])]
            rows.append([titles[net]["title"], *cells, *ratios])
        yield f"bfloat16, batch {batch}, {threads_text(threads)}, milliseconds:\n"
        yield table(["", *(TITLES[rival] for rival in rivals), "best rival / Rushlight, bf16", "float32 / bf16"], rows)


def first_table(document, path=None):
    """`path`: of a run of its own."""
    rows, rivals = [], rivals_in(document["first_results"])
    threads = min((row["threads"] for row in document["first_results"]), default=1)
    processes = []
    for net, facts in document["nets"].items():
        found = {row["rival"]: row for row in document["first_results"]
                 if row["net"] == net and row["threads"] == threads}
        if found:
            processes += [len(row["file_ns"]) for row in found.values()]
            cells = [" / ".join(milliseconds(statistics.median(found[rival][key])) for key in ("file_ns", "process_ns"))
                     if rival in found else "-" for rival in rivals]
            rows.append([facts["title"], *cells])
    if rows:
        yield ("From the file to the first result, milliseconds, and from the start of the process, imports and all "
               f"({threads} thread{'s' if threads > 1 else ''}, batch 1; medians of {min(processes)} processes"
               + (f" in a run of its own, [{path.name}](results/{path.name}), {document['date'][:10]}, commit "
                  f"{commit_of(document)}" if path else "") + "):\n")
        yield table(["", *(TITLES[rival] for rival in rivals)], rows)


def verdict(found, aim):
    if found is None:
        return "-"
    if aim is None:
        return f"{found:.2f}"
    missed = f"missed by {max(1, round(100 * (1 - found / aim)))} %"
    return f"{found:.2f} ({aim:g}: {'met' if found >= aim else missed})"


def aims_table(document, own_first=None):
    """Each ratio that was aimed at, beside what was found. `own_first`: a run of first results alone."""
    blocks, rows = blocks_of(document), []
    firsts = [*document["first_results"], *(own_first["first_results"] if own_first else ())]  # the last ones count

    def ratio(block, rivals, ours):
        best = block.best(rivals)
        return block.ratio(best, ours) if best and ours in block.medians else None

    def title(net, batch):
        return f"{document['nets'][net]['title']}, batch {batch}"

    for (net, batch), (strict, fast, torch) in AIMS.items():
        block = blocks.get((1, batch), {}).get(net)
        if block:
            rows.append([f"{title(net, batch)}: best engine / ours",
                         verdict(ratio(block, ENGINES, "rushlight"), strict),
                         verdict(ratio(block, ENGINES, "rushlight-fast"), fast)])
            rows.append([f"{title(net, batch)}: PyTorch / ours", verdict(ratio(block, ["torch"], "rushlight"), None),
                         verdict(ratio(block, ["torch"], "rushlight-fast"), torch)])
    for net, aims in FIRST_AIMS.items():
        found = {row["rival"]: row for row in firsts if row["net"] == net and row["threads"] == 1}
        for rivals, key, aim, what in ((ENGINES, "file_ns", aims[0], "first result, best engine / ours"),
                                       (["torch"], "process_ns", aims[1], "first result with imports, PyTorch / ours")):
            taken = {rival: statistics.median(row[key]) for rival, row in found.items()}
            theirs = [taken[rival] for rival in rivals if rival in taken]
            if theirs:
                rows.append([f"{title(net, 1)}: {what}",
                             *(verdict(min(theirs) / taken[ours] if ours in taken else None, aim)
                               for ours in ("rushlight", "rushlight-fast"))])
    for net in THREADS_NETS:
        for batch in sorted({batch for _, batch in blocks}):
            one, two = (blocks.get((threads, batch), {}).get(net) for threads in (1, 2))
            if one and two:
                theirs = [one.medians[rival] / two.medians[rival] for rival in ENGINES
                          if rival in one.medians and rival in two.medians]
                best = f" (of the engines' at best {max(theirs):.2f})" if theirs else ""
                rows.append([f"{title(net, batch)}: one thread / two{best}",
                             *(verdict(one.medians[ours] / two.medians[ours]
                                       if ours in one.medians and ours in two.medians else None, THREADS_AIM)
                               for ours in ("rushlight", "rushlight-fast"))])
    rows = [row for row in rows if row[1:] != ["-", "-"]]
    if rows:
        yield "What was aimed at, and what was found; ratios of medians, one thread but for the last rows:\n"
        yield table(["", TITLES["rushlight"], TITLES["rushlight-fast"]], rows)


def memory_table(document):
    rows, rivals = [], rivals_in(document["memory"])
    for net, facts in document["nets"].items():
        found = {row["rival"]: row for row in document["memory"] if row["net"] == net}
        if found:
            grown = {rival: (row["anonymous_kib_peak"] - row["anonymous_kib_before"]) * 1024
                     for rival, row in found.items()}
            rows.append([facts["title"], megabytes(facts["weights_bytes"]),
                         *(megabytes(grown[rival]) if rival in grown else "-" for rival in rivals)])
    if rows:
        yield "Peak of anonymous memory above what the process had before it opened the file, MB (batch 1, 1 thread):\n"
        yield table(["", "file", *(TITLES[rival] for rival in rivals)], rows)


def size_table(document):
    rows = []
    for rival, files in document["binary_bytes"].items():
        sizes = {name: size for name, size in files.items() if size and "cuda" not in name}
        if not sizes:
            continue
        largest = max(sizes, key=sizes.get)
        total = sizes[largest] if rival == "rushlight" else sum(sizes.values())
        rows.append([TITLES[rival], megabytes(total), f"`{largest}`" if len(sizes) == 1 or rival == "rushlight"
                     else f"{len(sizes)} libraries, the largest `{largest}`"])
    if rows:
        yield ("Native code, MB: one static program that runs networks, and the libraries that others map, without "
               "those for GPUs:\n")
        yield table(["", "MB", "of"], rows)


def worst_errors(document):
    worst = {}
    for row in document["blocks"]:
        worst[row["rival"]] = max(worst.get(row["rival"], 0), row["against_double"])
    return {rival: worst[rival] for rival in TITLES if rival in worst}


def error_sentence(document):
    listed = ", ".join(f"{TITLES[rival]} {error:.1e}" for rival, error in worst_errors(document).items())
    return f"Largest error of all networks against PyTorch in double, relative to the largest output: {listed}.\n"


def error_table(document):
    """Root mean squares and largest errors of float32, of the largest batch: it has the most outputs."""
    rows = [row for row in document["blocks"] if "rms_against_double" in row and not row["rival"].endswith("-bf16")]
    if not rows:
        return
    batch, threads = max(row["batch"] for row in rows), min(row["threads"] for row in rows)
    rows = [row for row in rows if (row["batch"], row["threads"]) == (batch, threads)]
    rivals = [rival for rival in TITLES if any(row["rival"] == rival for row in rows)]
    lines = []
    for net, facts in document["nets"].items():
        cells = {row["rival"]: f"{row['rms_against_double']:.1e} ({row['against_double']:.1e})"
                 for row in rows if row["net"] == net}
        if cells:
            lines.append([facts["title"], *(cells.get(rival, "-") for rival in rivals)])
    yield (f"Errors against PyTorch in double, by the largest output: root mean square (largest), batch {batch}, "
           f"{threads_text(threads)}:\n")
    yield table(["", *(TITLES[rival] for rival in rivals)], lines)


def commit_of(document):
    return (document["commit"] or "unknown")[:12] + (" with changes" if document["uncommitted_changes"] else "")


def busy_sentence(document):
    busy = {}
    for row in document["blocks"]:
        if row["processors_busy_with_others"] > 0.1:
            where = f"{document['nets'][row['net']]['title']} (batch {row['batch']}, {threads_text(row['threads'])})"
            busy[where] = max(busy.get(where, 0), row["processors_busy_with_others"])
    if busy:
        listed = "; ".join(f"{where} {share:.1f}" for where, share in busy.items())
        yield f"Beside these rows other programs kept so many processors busy, they are not to be quoted: {listed}.\n"


def allocation_sentence(document):
    rows = document.get("allocations", [])
    if rows:
        runs, made = sum(row["runs"] for row in rows), sum(row["allocations"] for row in rows)
        yield f"Rushlight asked for memory {made:,} times within its {runs:,} measured runs.\n"


def skipped_list(document):
    whole = {}
    for row in document["skipped"]:
        where = " ".join([TITLES.get(row["rival"], row["rival"]), *(str(row[key]) for key in ("net",) if key in row)])
        whole.setdefault(where, row["why"])
    if whole:
        yield "Skipped:\n"
        yield "".join(f"- {where}: {why}\n" for where, why in whole.items())


def machine_sentence(path, document):
    facts = document["machine"]
    rounds = max(len(row["rounds_ns"]) for row in document["blocks"])
    versions = ", ".join(f"{TITLES[rival]} {version}" for rival, version in document["versions"].items()
                         if "-" not in rival)
    return (f"[{path.name}](results/{path.name}), {document['date'][:10]}, commit {commit_of(document)}: {facts['cpu']}, "
            f"{facts['processors_usable']} processors{' of a virtual machine' if facts['virtual'] else ''}, "
            f"{' '.join(facts['isa'])}. {versions}. Medians of {rounds} interleaved rounds; in brackets the smallest "
            "and the largest ratio of one round."
            + (f" Thinned: {document['thinned']}." if "thinned" in document else ""))


def times(path, document):
    """Everything that takes time, with bfloat16 and first results from runs of their own where those are at least as new."""
    yield from busy_sentence(document)
    yield from speed_tables(document)
    bf16_path, first_path = (own if own and own.name[:10] >= path.name[:10] else None
                             for own in (newest(kind, document["machine"]["cpu"]) for kind in ("bf16", "first")))
    yield from bf16_tables(json.loads(bf16_path.read_text()) if bf16_path else document, bf16_path)
    yield from first_table(document)
    own_first = json.loads(first_path.read_text()) if first_path else None
    if own_first:
        yield from first_table(own_first, first_path)
    yield from aims_table(document, own_first)


def section(path, document):
    yield (f"{machine_sentence(path, document)} The others are called from Python: the first row is what a call costs. "
           "ncnn knows no batches and takes one image after the other.\n")
    yield f"![best engine / ours](results/{CHART.name})\n"
    yield from times(path, document)
    for part in (memory_table, size_table):
        yield from part(document)
    yield from error_table(document)
    yield error_sentence(document)
    yield from allocation_sentence(document)
    yield from skipped_list(document)


def other_machines(document):
    """What was measured last on each other kind of machine: ratios differ from kind to kind."""
    found = {}
    for path in results():
        other = json.loads(path.read_text())
        found[other["machine"]["cpu"]] = path, other
    for cpu, (path, other) in sorted(found.items()):
        if cpu != document["machine"]["cpu"]:
            yield f"### On another kind of machine: {cpu}\n"
            yield f"{machine_sentence(path, other)}\n"
            yield from times(path, other)


# --- the chart ---

def chart(document):
    """Bars of the ratios on a logarithmic axis, for the smallest batch and number of threads."""
    blocks = blocks_of(document)
    threads, batch = min(blocks)
    rows = []
    for net, block in blocks[threads, batch].items():
        title = document["nets"][net]["title"]
        for rivals, colour in ((ENGINES, "#2f6f9f"), (["torch"], "#c98a2b")):
            best = block.best(rivals)
            if best and net != "one_number":  # which says what a call costs, not what a network does
                rows.append((title, TITLES[best], block.ratio(best), block.spread(best), colour))
                title = ""
    left, width, line, top = 300, 420, 18, 46
    most = max(2.0, *(row[3][1] for row in rows)) if rows else 2.0
    least = min(0.5, *(row[3][0] for row in rows)) if rows else 0.5

    def x(ratio):
        return left + width * (math.log(ratio) - math.log(least)) / (math.log(most) - math.log(least))

    height = top + line * len(rows) + 30
    total = left + width + 150
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{height}" '
           f'viewBox="0 0 {total} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{total}" height="{height}" fill="#ffffff"/>',
           f'<text x="10" y="20" font-size="14">How many times as long others take: batch {batch}, {threads} '
           f'thread{"s" if threads > 1 else ""}, fp32</text>']
    for i, (title, rival, ratio, (low, high), colour) in enumerate(rows):
        y = top + i * line
        begin, end = sorted((x(1), x(ratio)))
        out += [f'<text x="{left - 10}" y="{y + 12}" text-anchor="end">{title}</text>' if title else "",
                f'<rect x="{begin:.1f}" y="{y + 2}" width="{end - begin:.1f}" height="{line - 6}" fill="{colour}"/>',
                f'<line x1="{x(low):.1f}" x2="{x(high):.1f}" y1="{y + line / 2 - 1}" y2="{y + line / 2 - 1}" '
                'stroke="#222222"/>',
                f'<text x="{max(x(high), x(1)) + 6:.1f}" y="{y + 12}">{ratio:.2f} {rival}</text>']
    out += [f'<line x1="{x(1):.1f}" x2="{x(1):.1f}" y1="{top - 6}" y2="{height - 24}" stroke="#222222"/>',
            f'<text x="{x(1):.1f}" y="{height - 8}" text-anchor="middle">1 = Rushlight</text>', "</svg>"]
    return "\n".join(part for part in out if part) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", nargs="?", type=pathlib.Path, help="by default the newest of bench/results")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument("--print", action="store_true", help="print the section, write nothing")
    arguments = parser.parse_args()
    path = arguments.result or newest()
    if path is None:
        text, picture = "Not measured yet.\n", None
    else:
        document = json.loads(path.read_text())
        text, picture = "\n".join([*section(path, document), *other_machines(document)]), chart(document)
    if arguments.print:
        print(text)
        return
    readme = BENCH / "README.md"
    before = readme.read_text()
    head, begin, rest = before.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        sys.exit(f"{readme.name} lacks the markers {BEGIN} and {END}")
    after = f"{head}{BEGIN}\n{text}{END}{tail}"
    stands = CHART.read_text() if CHART.exists() else None
    if arguments.check:
        if after != before or picture != stands:
            sys.exit("bench/README.md is not what bench/rivals/forward_report.py makes of the newest result: run it")
        return
    readme.write_text(after)
    if picture is not None:
        CHART.write_text(picture)


if __name__ == "__main__":
    main()
