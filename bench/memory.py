#!/usr/bin/env python3
"""How much memory of its own a process takes from a file to its first result, with and without --low-memory.

    bench/memory.py build/release/rushlight build/bench/rivals                    those that rivals/forward.py made
    bench/memory.py build/release/rushlight DIR --nets resnet50 --threads 1,2     DIR/resnet50/weights.pt

What counts is anonymous memory (RssAnon of /proc/PID/status): pages that no file backs, which the system cannot take
back. Pages of the mapped file are beside it in the report; they are the page cache's, whoever maps them. `rushlight run`
is a fresh process each time, asked for RssAnon again and again until it ends; `program` is what the same takes for a
network of one number. Prints a table, and writes bench/results/YYYY-MM-DD-memory.json.
"""
import argparse
import datetime
import json
import math
import pathlib
import struct
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE / "rivals")]
from nets import NETS, spec_text  # noqa: E402
from run import free_path, machine, output_of, without_folder  # noqa: E402

MODES = {"strict": [], "fast": ["--precision", "fast"], "low-memory": ["--low-memory"]}
FIELDS = ("RssAnon", "RssFile", "VmHWM")


def write_zeros(path, shape):
    head = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}"
    head += " " * (-(len(head) + 11) % 64) + "\n"
    with open(path, "wb") as out:
        out.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
        out.write(bytes(4 * math.prod(shape)))


def peaks_of(command):
    """The largest of each field, in bytes, that a process has while it runs; and how often it was asked."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    peaks, samples = dict.fromkeys(FIELDS, 0), 0
    path = f"/proc/{process.pid}/status"
    while process.poll() is None:
        try:
            text = pathlib.Path(path).read_text()
        except OSError:
            break
        for line in text.splitlines():
            key, _, value = line.partition(":")
            if key in peaks:
                peaks[key] = max(peaks[key], int(value.split()[0]) * 1024)
        samples += 1
    _, problems = process.communicate()
    if process.returncode != 0:
        sys.exit(f"{' '.join(command)}: {problems.decode()}")
    return peaks, samples


def json_of(command):
    return json.loads(subprocess.run([*command, "--json"], check=True, capture_output=True, text=True).stdout)


def measure(program, folder, name, threads, rounds):
    net = NETS[name]
    with tempfile.TemporaryDirectory() as place:
        model = [str(folder / name / "weights.pt")]
        if net.arch:
            model += ["--arch", net.arch]
        else:
            spec = pathlib.Path(place) / "spec.json"
            spec.write_text(spec_text(net))
            model += ["--spec", str(spec)]
        zeros = pathlib.Path(place) / "zeros.npy"
        write_zeros(zeros, (1, *net.item))
        weights = 4 * json_of([program, "summary", *model])["parameters"]
        for mode, options in MODES.items():
            tail = [*options, "--input", str(zeros), "--threads", str(threads)]
            work = json_of([program, "bench", *model, *options, "--input", str(zeros), "--seconds", "0",
                            "--threads", str(threads)])
            runs = [peaks_of([program, "run", *model, *tail]) for _ in range(rounds)]
            yield {"net": name, "mode": mode, "threads": threads, "weights_bytes": weights,
                   "workspace_bytes": work["results"][0]["workspace_bytes"],
                   "runs": [{**{f"peak_{key}_bytes": value for key, value in peaks.items()}, "samples": samples}
                            for peaks, samples in runs]}


def peak(row):
    return max(run["peak_RssAnon_bytes"] for run in row["runs"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--nets", default="resnet50,vgg16,mobilenet_v2")
    parser.add_argument("--threads", default="1")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-file", action="store_true", help="print the table alone")
    options = parser.parse_args()
    rows = []
    for threads in map(int, options.threads.split(",")):
        own = next(iter(measure(options.program, options.folder, "one_number", threads, options.rounds)))
        rows.append({**own, "net": "program"})
        for name in options.nets.split(","):
            rows.extend(measure(options.program, options.folder, name, threads, options.rounds))
    print(f"{'':<16} {'mode':<11} {'threads':>7} {'weights':>9} {'arena':>8} {'peak':>9} {'(peak - arena) / weights':>25}")
    for row in rows:
        weights, arena = row["weights_bytes"], row["workspace_bytes"]
        print(f"{row['net']:<16} {row['mode']:<11} {row['threads']:>7} {weights / 1e6:>7.1f} MB {arena / 1e6:>5.1f} MB "
              f"{peak(row) / 1e6:>6.1f} MB {(peak(row) - arena) / max(weights, 1):>25.3f}")
    if options.no_file:
        return
    path = free_path(HERE / "results", "memory")
    path.write_text(json.dumps({
        "schema": 1, "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": output_of("git", "rev-parse", "HEAD"), "changed_files": bool(output_of("git", "status", "--porcelain")),
        "command": [without_folder(word) for word in sys.argv], "machine": machine(), "rows": rows}, indent=1) + "\n")
    print(f"wrote {path}")


if __name__ == "__main__":
    main()
