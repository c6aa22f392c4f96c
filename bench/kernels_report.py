#!/usr/bin/env python3
"""Writes bench/KERNELS.md from the newest bench/results/*-kernels.json, which bench/run.py makes of bench_kernels.

    bench/kernels_report.py             from the newest result
    bench/kernels_report.py --check     writes nothing; exits with 1 when the page is not what it would write
"""
import argparse
import json
import pathlib
import re
import statistics
import sys

BENCH = pathlib.Path(__file__).resolve().parent
PAGE = BENCH / "KERNELS.md"
NANOSECONDS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


def newest():
    """Of a day the one with the highest number."""
    def age(path):
        found = re.fullmatch(r"(\d{4}-\d\d-\d\d)-kernels(?:-(\d+))?\.json", path.name)
        return (found[1], int(found[2] or 1)) if found else ("", 0)
    paths = [path for path in (BENCH / "results").glob("*-kernels*.json") if age(path)[0]]
    return max(paths, key=age, default=None)


class Row:
    """A kernel's samples: nanoseconds of the thread's own time, and the work of one run."""

    def __init__(self, samples):
        first = samples[0]
        self.nanoseconds = [sample["cpu_time"] * NANOSECONDS[sample["time_unit"]] for sample in samples]
        self.median = statistics.median(self.nanoseconds)
        wall = statistics.median(sample["real_time"] * NANOSECONDS[sample["time_unit"]] for sample in samples)
        self.waited = wall / self.median
        self.form = first.get("label", "")
        self.layers = round(first.get("layers", 1))
        self.operations = first.get("operations", 0)
        self.bytes = first.get("bytes", 0)

    def gigaflops(self, nanoseconds=None):
        return self.operations / (nanoseconds or self.median)

    def gigabytes(self, nanoseconds=None):
        return self.bytes / (nanoseconds or self.median)


def rows_of(document):
    """{group: {name: Row}}, of what ran."""
    samples = {}
    for sample in document["samples"]:
        if not sample.get("error_occurred"):
            samples.setdefault(sample["name"].removesuffix("/real_time"), []).append(sample)
    groups = {}
    for name in sorted(samples, key=lambda name: samples[name][0].get("family_index", 0)):
        group, _, rest = name.partition("/")
        groups.setdefault(group, {})[rest] = Row(samples[name])
    return groups


def table(head, rows):
    lines = [head, ["---"] + ["--:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def percent(share):
    return f"{100 * share:.1f} %"


def direct(rows, peak):
    cells, operations, nanoseconds, fastest = [], 0.0, 0.0, 0.0
    for name, row in rows.items():
        cells.append([f"{name.split('/')[-1]}: {row.form}", str(row.layers), f"{row.median / 1e6:.3f}",
                      f"{row.gigaflops():.0f}", percent(row.gigaflops() / peak)])
        operations += row.layers * row.operations
        nanoseconds += row.layers * row.median
        fastest += row.layers * min(row.nanoseconds)
    speed = operations / nanoseconds
    cells.append(["**all layers**", f"**{sum(row.layers for row in rows.values())}**", f"**{nanoseconds / 1e6:.2f}**",
                  f"**{speed:.0f}**", f"**{percent(speed / peak)}**"])
    yield ("## Direct convolutions of ResNet-50\n\nNo Winograd; biases, additions and ReLUs as the plan fuses them. "
           f"Of the fastest samples of each layer the sum is {percent(operations / fastest / peak)} of the peak.\n")
    yield table(["first layer of a form", "layers", "ms", "GFLOP/s", "of peak"], cells)


def matrix_vector(rows, memory):
    cells, size, nanoseconds = [], 0.0, 0.0
    for name, row in rows.items():
        cells.append([f"{name.split('/')[-1]}: {row.form}", f"{row.bytes / 1e6:.1f}", f"{row.median / 1e6:.2f}",
                      f"{row.gigabytes():.1f}", percent(row.gigabytes() / memory)])
        size += row.bytes
        nanoseconds += row.median
    cells.append(["**all layers**", f"**{size / 1e6:.1f}**", f"**{nanoseconds / 1e6:.2f}**",
                  f"**{size / nanoseconds:.1f}**", f"**{percent(size / nanoseconds / memory)}**"])
    yield ("## Linear layers of VGG16 for one row\n\nEach runs again and again: what the last-level cache keeps of the "
           "smaller ones' weights does not come from memory.\n")
    yield table(["layer", "MB", "ms", "GB/s", "of memory"], cells)


def matrix_vector_in_l2(rows, l2):
    cells = [[f"{name.split('/')[-1]}: {row.form}", f"{row.bytes / 1e3:.0f}", f"{row.median / 1e3:.2f}",
              f"{min(row.nanoseconds) / 1e3:.2f}", f"{row.gigabytes():.1f}", percent(row.gigabytes() / l2)]
             for name, row in rows.items()]
    yield ("## Linear layers of the MLP 784-128-10 for one row\n\nTheir weights stay in L2, from which reading as many bytes "
           f"as those of the first layer gives {l2:.1f} GB/s (the fastest sample).\n")
    yield table(["layer", "KB", "us", "fastest", "GB/s", "of L2"], cells)


def winograd(f2, others_of, peak):
    cells = []
    for name, row in f2.items():
        line = [f"{name.split('/')[-1]}: {row.form}"]
        for each in (row, *(other.get(name) for other in others_of)):
            line += [f"{each.median / 1e6:.2f}", percent(each.gigaflops() / peak)] if each else ["-", "-"]
        cells.append(line)
    yield ("## Winograd on VGG16\n\nThe share of the peak is that of the products which the direct way would need: F(2x2) "
           "saves 2.25 of them, F(2x4) 3, F(4x4) 4, less their sums before and after.\n")
    yield table(["first layer of a form", "F(2x2), ms", "of peak", "F(2x4), ms", "of peak", "F(4x4), ms",
                 "of peak"], cells)


def others(groups):
    cells = [[f"{group}: {name.split('/')[-1]} {row.form}".strip(), f"{row.median / 1e3:.1f}",
              f"{row.gigabytes():.1f}"]
             for group in ("depthwise", "pooling", "layout", "elementwise") for name, row in groups.get(group, {}).items()]
    if cells:
        yield "## What moves more than it computes\n\nGB/s are those of operands and results, which lie in caches.\n"
        yield table(["kernel", "us", "GB/s"], cells)


def page(path, document):
    groups = rows_of(document)
    facts = document["machine"]
    peak_row, read_row = groups["peak"]["multiply_adds"], groups["peak"]["read"]
    peak = peak_row.gigaflops(min(peak_row.nanoseconds))
    memory = read_row.gigabytes(min(read_row.nanoseconds))
    count = max(len(row.nanoseconds) for rows in groups.values() for row in rows.values())
    commit = (document["commit"] or "unknown")[:12] + (" with changes" if document["uncommitted_changes"] else "")
    yield "# Kernels, one by one\n"
    yield ("Written by `bench/kernels_report.py` from "
           f"[{path.name}](results/{path.name}): {document['date'][:10]}, commit {commit}, {facts['cpu']}, "
           f"{' '.join(facts['isa'])}. One thread.\n")
    yield (f"Medians of {count} samples in random order, by the thread's own clock. The peak is the fastest sample of "
           f"multiply-adds on registers taken among them: **{peak:.0f} GFLOP/s** (the median is "
           f"{peak_row.gigaflops():.0f}). Memory is the fastest sample of reading 256 MiB: **{memory:.1f} GB/s** (the "
           f"median is {read_row.gigabytes():.1f}). Each layer runs again and again on the same operands.\n")
    load = float((facts.get("load_average_before") or ["0"])[0])
    waited = statistics.median(row.waited for rows in groups.values() for row in rows.values())
    if load > 1 or waited > 1.05:
        yield (f"**Other programs were running (load average {load:.0f}, and by the wall clock half of the rows took at "
               f"least {waited:.2f} times as long): what they do to caches slows all rows but the peak. Not to be "
               "quoted.**\n")
    if "direct" in groups:
        yield from direct(groups["direct"], peak)
    gemv = groups.get("gemv", {})
    large = {name: row for name, row in gemv.items() if not name.startswith("mlp/")}
    if large:
        yield from matrix_vector(large, memory)
    if len(gemv) > len(large) and "read_l2" in groups["peak"]:
        read_row = groups["peak"]["read_l2"]
        yield from matrix_vector_in_l2({name: row for name, row in gemv.items() if name not in large},
                                       read_row.gigabytes(min(read_row.nanoseconds)))
    if "winograd2" in groups:
        yield from winograd(groups["winograd2"], (groups.get("winograd2x4", {}), groups.get("winograd4", {})), peak)
    yield from others(groups)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("result", nargs="?", type=pathlib.Path, help="by default the newest of bench/results")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    parser.add_argument("--print", action="store_true", help="print the page, write nothing")
    arguments = parser.parse_args()
    path = arguments.result or newest()
    text = "\n".join(page(path, json.loads(path.read_text()))) if path else "# Kernels, one by one\n\nNot measured yet.\n"
    if arguments.print:
        print(text)
    elif arguments.check:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit("bench/KERNELS.md is not what bench/kernels_report.py makes of the newest result: run it")
    else:
        PAGE.write_text(text)


if __name__ == "__main__":
    main()
