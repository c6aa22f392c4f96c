#!/usr/bin/env python3
"""What two threads gain, and what they could: bench_threads, kept and as a page.

    bench/threads.py build/bench/bench/bench_threads build/bench/rivals    # the weights that rivals/forward.py made
    bench/threads.py --check                                               # whether the page is that of the newest result

Writes bench/results/YYYY-MM-DD-threads.json and bench/THREADS.md.
"""
import argparse
import contextlib
import itertools
import json
import pathlib
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "rivals")]
from nets import NETS  # noqa: E402
from quiet import Quiet  # noqa: E402
from run import begun, free_path  # noqa: E402

PAGE = HERE / "THREADS.md"
TITLE = "# What two threads gain\n"
CHOSEN = ["resnet18", "resnet50", "vgg16"]
PRECISIONS = ["strict", "fast"]
BATCHES = [1, 8]
BESIDE = [(2, 10), (1, 0)]  # so many other programs that never rest, and how nice they are


def measure(program, folder, net, precision, batch, turns, rounds, quiet):
    """Several processes, since memory lies differently in each. Each waits for a `quiet` machine, where that is given."""
    command = [program, folder / net / "weights.pt", NETS[net].arch, precision, rounds, batch, *NETS[net].item]
    found = {}
    for _ in range(turns):
        if quiet:
            quiet.wait(2)
        done = subprocess.run([str(word) for word in command], capture_output=True, text=True, check=True)
        for name, samples in json.loads(done.stdout).items():
            found.setdefault(name, []).extend(samples)
    return found


@contextlib.contextmanager
def others(count, niceness):
    loops = [subprocess.Popen(["nice", "-n", str(niceness), sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def quarters(values):
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:.2f} ({low:.2f} to {high:.2f})"


def row(result):
    rounds = list(zip(*(result["ns"][name] for name in ("alone", "beside_a_copy", "the_copy", "two_threads"))))
    return [NETS[result["net"]].title, str(result["batch"]), result["precision"],
            f"{statistics.median(result['ns']['alone']) / 1e6:.4g}", f"{statistics.median(result['ns']['two_threads']) / 1e6:.4g}",
            quarters([alone / two for alone, _, _, two in rounds]),
            quarters([alone / beside + alone / copy for alone, beside, copy, _ in rounds])]


def table(head, rows):
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, ["---", *["--:"] * (len(head) - 1)], *rows])


def page(path, document):
    facts = document["machine"]
    yield TITLE
    yield (f"[{path.name}](results/{path.name}), {document['date'][:10]}, commit {document['commit'][:12]}: {facts['cpu']}, "
           f"{facts['processors_usable']} processors, {' '.join(facts['isa'])}. In each round the same process runs the network "
           "on one thread, on one thread beside a copy that shares nothing with it, and on two threads. Medians of the rounds' "
           "ratios, and their quarters: what two threads gain, and what one thread and the copy do together, which is what the "
           "machine had for two threads in the same moments. Each process begins when the processors are as quiet as they were "
           "before, after a second at most; those beside other programs do not wait.\n")
    head = ["network", "batch", "precision", "ms on one thread", "ms on two", "one / two", "the machine had"]
    yield table(head, [row(result) for result in document["results"] if not result["others"]])
    yield "\nThe same while other programs keep processors busy:\n"
    yield table(["others", "nice", *head], [[str(result["others"]), str(result["nice"]), *row(result)]
                                            for result in document["results"] if result["others"]])


def newest():
    def order(path):
        day, _, count = path.stem.partition("-threads")
        return day, int(count[1:] or 1)
    return max(HERE.glob("results/*-threads*.json"), key=order, default=None)


def text_of(path):
    return "\n".join(page(path, json.loads(path.read_text()))) + "\n" if path else TITLE + "\nNot measured yet.\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", nargs="?", type=pathlib.Path)
    parser.add_argument("folder", nargs="?", type=pathlib.Path, help="with a folder for each network")
    parser.add_argument("--turns", type=int, default=6, help="processes for each row")
    parser.add_argument("--seconds", type=float, default=1, help="for each of them, roughly")
    parser.add_argument("--check", action="store_true", help="write nothing, compare")
    arguments = parser.parse_args()
    if arguments.check:
        if not PAGE.exists() or PAGE.read_text() != text_of(newest()):
            sys.exit("bench/THREADS.md is not what bench/threads.py makes of the newest result: run it")
        return
    if arguments.folder is None:
        parser.error("which program, and where are the networks?")
    document = begun("bench/threads.py", "--turns", str(arguments.turns), "--seconds", str(arguments.seconds)) | {"results": []}
    wanted = [(*chosen, 0, 0) for chosen in itertools.product(CHOSEN, BATCHES, PRECISIONS)]
    wanted += [(CHOSEN[0], 1, "strict", *beside) for beside in BESIDE]
    quiet = Quiet()
    for net, batch, precision, count, niceness in wanted:
        def run(turns, rounds):
            return measure(arguments.program, arguments.folder, net, precision, batch, turns, rounds,
                           None if count else quiet)
        with others(count, niceness):
            # Of one run in each way; a round makes five.
            once = sum(sum(samples) for samples in run(1, 1).values()) / 1e9
            found = run(arguments.turns, max(2, round(arguments.seconds / (5 * once))))
        document["results"].append({"net": net, "batch": batch, "precision": precision, "others": count, "nice": niceness,
                                    "ns": found})
        print(*row(document["results"][-1]), file=sys.stderr)
    path = free_path(HERE / "results", "threads")
    path.write_text(json.dumps(document) + "\n")
    PAGE.write_text(text_of(path))


if __name__ == "__main__":
    main()
