#!/usr/bin/env python3
"""Where the time of a network goes: `rushlight bench --layers` for several of them, kept and as a page.

    bench/layers.py build/bench/rushlight build/bench/rivals    # the weights that rivals/forward.py made
    bench/layers.py --check                                     # whether the page is that of the newest result

Writes bench/results/YYYY-MM-DD-layers.json, everything that the program printed, and bench/LAYERS.md.
"""
import argparse
import collections
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "rivals")]
from nets import NETS  # noqa: E402
from run import begun, free_path  # noqa: E402

PAGE = HERE / "LAYERS.md"
TITLE = "# Layer by layer\n"
CHOSEN = ["mlp", "mobilenet_v2", "resnet18", "resnet50", "vgg16"]
SLOWEST = 12


def measure(program, folder, net, precision, seconds):
    weights = folder / net / "weights.pt"
    spec = folder / net / "spec.json"
    named = ["--spec", spec] if spec.exists() else ["--arch", NETS[net].arch]
    command = [program, "bench", weights, *named, "--precision", precision, "--layers", "--seconds", str(seconds), "--json"]
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["results"][0]


def table(head, rows):
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def gigaflops(macs, milliseconds):
    return 2 * macs / (milliseconds * 1e6)


def by_kind(result):
    """Steps of one kind together: [(kind, steps, ms, GFLOP/s or None)], the most time first."""
    kinds = collections.defaultdict(lambda: [0, 0.0, 0])
    for layer in result["layers"]:
        kind = ", ".join(filter(None, (layer["kind"], layer["algorithm"])))
        sums = kinds[kind]
        sums[0] += 1
        sums[1] += layer["median_ms"]
        sums[2] += layer["macs"]
    rows = [(kind, steps, ms, gigaflops(macs, ms) if macs else None) for kind, (steps, ms, macs) in kinds.items()]
    return sorted(rows, key=lambda row: -row[2])


def percent(share):
    return f"{100 * share:.0f} %"


def section(title, precision, result):
    layers = result["layers"]
    whole = sum(layer["median_ms"] for layer in layers)
    peak = result["machine"]["gflops"]
    yield (f"## {title}, {precision}\n\n{result['median_ms']:.4g} ms a run; the limits in the same minute were {peak:.0f} "
           f"GFLOP/s and {result['machine']['read_gb_per_second']:.1f} GB/s.\n")
    yield table(["steps", "count", "ms", "share", "GFLOP/s", "of peak"],
                [[kind, str(steps), f"{ms:.4g}", percent(ms / whole), f"{rate:.0f}" if rate else "",
                  percent(rate / peak) if rate else ""] for kind, steps, ms, rate in by_kind(result)])
    slowest = sorted(layers, key=lambda layer: -layer["median_ms"])[:SLOWEST]
    yield table(["slowest", "kind", "ms", "of peak", "GB/s", "of memory"],
                [[layer["name"], ", ".join(filter(None, (layer["kind"], layer["algorithm"]))),
                  f"{layer['median_ms']:.4g}", percent(gigaflops(layer["macs"], layer["median_ms"]) / peak),
                  f"{layer['gb_per_second']:.1f}", f"{layer['percent_of_memory']:.0f} %"] for layer in slowest])


def page(path, document):
    facts = document["machine"]
    commit = (document["commit"] or "unknown")[:12] + (" with changes" if document["uncommitted_changes"] else "")
    yield TITLE
    yield (f"Written by `bench/layers.py` from [{path.name}](results/{path.name}): {document['date'][:10]}, commit "
           f"{commit}, {facts['cpu']}, {' '.join(facts['isa'])}. One thread, batch 1; medians. GFLOP/s count the "
           "multiplications of the layer, so that Winograd's can be above the peak; bytes are operands, results and "
           "weights, each once, and caches that hold them give more than memory does.\n")
    for net, results in document["nets"].items():
        for precision, result in results.items():
            yield from section(NETS[net].title, precision, result)


def newest():
    def order(path):
        day, count = path.stem[:10], path.stem.removesuffix("-layers").split("-layers-")
        return day, int(count[1]) if len(count) > 1 else 1
    return max(HERE.glob("results/*-layers*.json"), key=order, default=None)


def text_of(path):
    return "\n".join(page(path, json.loads(path.read_text()))) if path else TITLE + "\nNot measured yet.\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", nargs="?", type=pathlib.Path)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, help="with a folder for each network")
    parser.add_argument("--nets", default=",".join(CHOSEN))
    parser.add_argument("--precisions", default="strict,fast,bf16")
    parser.add_argument("--seconds", type=float, default=2, help="for each network and precision")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    arguments = parser.parse_args()
    if arguments.check:
        if not PAGE.exists() or PAGE.read_text() != text_of(newest()):
            sys.exit("bench/LAYERS.md is not what bench/layers.py makes of the newest result: run it")
        return
    if arguments.folder is None:
        parser.error("which program, and where are the networks?")
    document = begun("bench/layers.py", "--nets", arguments.nets, "--precisions", arguments.precisions,
                     "--seconds", str(arguments.seconds)) | {"nets": {}}
    for net in arguments.nets.split(","):
        document["nets"][net] = {precision: measure(arguments.program, arguments.folder, net, precision, arguments.seconds)
                                 for precision in arguments.precisions.split(",")}
        print(net, *(f"{precision} {result['median_ms']:.4g} ms" for precision, result in document["nets"][net].items()),
              file=sys.stderr)
    path = free_path(HERE / "results", "layers")
    path.write_text(json.dumps(document, indent=1) + "\n")
    PAGE.write_text(text_of(path))


if __name__ == "__main__":
    main()
