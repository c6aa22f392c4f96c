#!/usr/bin/env python3
"""torchvision's networks at their full size beside PyTorch: writes ARCHITECTURES.md and architectures.json, next to it.

    architectures.py PROGRAM VECTORS [--on cpu|reference] [--threads N] [NAME ...]

PROGRAM is build/dev/tests/architectures/architecture_parity, VECTORS the folder `architectures` of the test data, whose
README has the rule of comparison. Given names, it computes those and keeps what it knows of the others. One network after
the other: the largest need 8 GB. Exits with 1 when one is wrong.
"""
import argparse
import json
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
RESULTS = HERE / "architectures.json"
REPORT = HERE / "ARCHITECTURES.md"


def compute(program: str, vectors: pathlib.Path, name: str, on: str, threads: int) -> list[dict]:
    done = subprocess.run([program, str(vectors), name, on, str(threads)], stdout=subprocess.PIPE, text=True, check=False)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    if done.returncode != 0:
        rows.append({"arch": name, "input": "", "what": "run", "problem": f"the program ended with {done.returncode}"})
    return rows


def number(value: float) -> str:
    return f"{value:.1e}"


def worst(rows: list[dict], key: str) -> float:
    return max((row.get(key, 0) for row in rows), default=0)


def write_report(results: dict) -> int:
    lines = [
        "# Networks compared with PyTorch",
        "",
        "Written by `architectures.py`: weights and inputs from a generator, outputs of PyTorch 2.15.0 with torchvision",
        "0.29.2. An error is the greatest deviation from PyTorch's result in double, divided by its greatest value; of",
        "several runs and outputs the worst. An output is right within the larger of four times PyTorch's own error and 2e-5,",
        "with the same best class. Modules are what lies between, of the first 16 values and the statistics of each.",
        "",
    ]
    wrong = 0
    for on, networks in sorted(results.items()):
        rows = [row for name in networks for row in networks[name]]
        bad = sorted({row["arch"] for row in rows if row["problem"]})
        wrong += len(bad)
        lines += [
            f"## On `{on}`",
            "",
            f"{len(networks)} networks, {len(networks) - len({b.split(':')[0] for b in bad})} of them right.",
            "",
            "| network | runs | error | PyTorch | modules | their error | PyTorch | verdict |",
            "|---|--:|--:|--:|--:|--:|--:|---|",
        ]
        for name in sorted(networks):
            runs = [row for row in networks[name] if row["what"] == "run"]
            trace = [row for row in networks[name] if row["what"] == "trace"]
            problems = [f"{row['arch']} {row.get('output', '')} {row['problem']}" for row in networks[name] if row["problem"]]
            cells = [name, str(len({(row["arch"], row["input"]) for row in runs})), number(worst(runs, "error")),
                     number(worst(runs, "torch_error"))]
            cells += [str(len(trace)), number(worst(trace, "error")), number(worst(trace, "torch_error"))] if trace else [""] * 3
            lines.append("| " + " | ".join(cells + ["right" if not problems else problems[0]]) + " |")
        lines.append("")
    REPORT.write_text("\n".join(lines).rstrip() + "\n")
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("vectors", type=pathlib.Path)
    parser.add_argument("--on", choices=["cpu", "reference"], default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("names", nargs="*", metavar="NAME")
    options = parser.parse_intermixed_args()
    names = options.names or sorted(json.loads((options.vectors / "INDEX.json").read_text())["architectures"])
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in names:
        rows = compute(options.program, options.vectors, name, options.on, options.threads)
        results.setdefault(options.on, {})[name] = rows
        problems = [row["problem"] for row in rows if row["problem"]]
        seconds = worst(rows, "seconds")
        print(f"{name}: {problems[0] if problems else 'right'}, {number(worst(rows, 'error'))}, {seconds:.1f} s", flush=True)
        # After each, so that nothing is lost of a run of hours.
        RESULTS.write_text(json.dumps(results, indent=1, sort_keys=True) + "\n")
        wrong = write_report(results)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
