#!/usr/bin/env python3
"""Runs one benchmark program and keeps everything it measured.

    bench/run.py build/bench/bench/bench_checksum
    bench/run.py build/bench/bench/bench_checksum --repetitions 15 -- --benchmark_filter=crc32
    bench/run.py bench/rivals/load.py --python /usr/bin/python3 -- DIR --cli build/bench/rushlight

Prints the median and the spread of each row, and writes bench/results/YYYY-MM-DD-NAME.json: the commit, the command,
the machine, and every single sample. Figures quoted anywhere come from such a file. A program is one over Google
Benchmark, or a script of bench/rivals that prints {"seconds": {row: [sample, ...]}, ...}.
"""
import argparse
import datetime
import json
import os
import pathlib
import platform
import re
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent


def output_of(*command):
    """What a command prints, or None where it fails."""
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def first_line(path):
    try:
        return pathlib.Path(path).read_text().splitlines()[0].strip()
    except (OSError, IndexError):
        return None


def machine():
    """The facts a reader needs to compare figures; nothing that says whose machine it is."""
    fields = {}
    try:
        for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
            key, _, value = line.partition(":")
            fields.setdefault(key.strip(), value.strip())  # of the first processor
    except OSError:
        pass
    flags = set(fields.get("flags", "").split())
    memory = first_line("/proc/meminfo")
    load = first_line("/proc/loadavg")
    return {
        "cpu": fields.get("model name"),
        "cpu_family_model_stepping": [fields.get(key) for key in ("cpu family", "model", "stepping")],
        "cpu_mhz": fields.get("cpu MHz"),
        "cache": fields.get("cache size"),
        "isa": [flag for flag in ("avx2", "fma", "avx512f", "avx512bw", "avx512_bf16", "avx512_vnni", "pclmulqdq",
                                  "vpclmulqdq", "sha_ni", "amx_tile") if flag in flags],
        "virtual": "hypervisor" in flags,
        "processors_usable": len(os.sched_getaffinity(0)),
        "memory": memory.partition(":")[2].strip() if memory else None,
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "load_average_before": load.split()[:3] if load else None,
    }


def begun(*command):
    """What every document of results begins with; `command` is one that anybody can give."""
    return {"date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
            "commit": output_of("git", "rev-parse", "HEAD"),
            "uncommitted_changes": bool(output_of("git", "status", "--porcelain", "--untracked-files=no")),
            "command": list(command), "machine": machine()}


def without_folder(option):
    """Absolute paths are nobody's business."""
    return pathlib.Path(option).name if option.startswith("/") else option


def free_path(folder, name):
    """A file of this day behind all that are there: the newest has the highest number, though others may be gone."""
    day = datetime.date.today().isoformat()
    numbers = [re.fullmatch(rf"{day}-{re.escape(name)}(?:-(\d+))?\.json", path.name) for path in folder.glob(f"{day}-*.json")]
    taken = max((int(found[1] or 1) for found in numbers if found), default=0)
    return folder / (f"{day}-{name}-{taken + 1}.json" if taken else f"{day}-{name}.json")


def write_blocks(folder, document):
    """A document whose "blocks" have rounds of samples: a round is one line, since thousands of lines help nobody."""
    folder.mkdir(parents=True, exist_ok=True)
    path = free_path(folder, document["name"])
    text = json.dumps(document, indent=1)
    for block in document["blocks"]:
        rounds = block["rounds_ns"]
        text = text.replace(json.dumps(rounds, indent=1).replace("\n", "\n   "), json.dumps(rounds))
    path.write_text(text + "\n")
    return path


def human_time(nanoseconds):
    for unit, size in (("s", 1e9), ("ms", 1e6), ("us", 1e3)):
        if nanoseconds >= size:
            return f"{nanoseconds / size:.3g} {unit}"
    return f"{nanoseconds:.3g} ns"


NANOSECONDS = {"ns": 1, "us": 1e3, "ms": 1e6, "s": 1e9}


def print_table(samples):
    """Times and speeds are by the wall clock; the processor's own time beside it shows a machine that was busy."""
    rows = {}
    for sample in samples:
        rows.setdefault(sample["name"], []).append(sample)
    width = max((len(name) for name in rows), default=0)
    print(f"{'':<{width}}  {'median':>9}  {'fastest':>9}  {'slowest':>9}  {'cpu':>9}  {'GB/s':>6}")
    busy = 0.0
    for name, row in rows.items():
        if any(sample.get("error_occurred") for sample in row):
            print(f"{name:<{width}}  {row[0].get('error_message', 'failed')}")
            continue
        wall = [sample["real_time"] * NANOSECONDS[sample["time_unit"]] for sample in row]
        cpu = [sample["cpu_time"] * NANOSECONDS[sample["time_unit"]] for sample in row]
        median = statistics.median(wall)
        speed = ""
        if "bytes_per_second" in row[0]:
            # Google Benchmark divides by the processor's time, unless the row says /real_time.
            clock = wall if "/real_time" in name else cpu
            speed = f"{row[0]['bytes_per_second'] * clock[0] / 1e9 / median:.1f}"
        if "/real_time" not in name:
            busy = max(busy, median / statistics.median(cpu))
        print(f"{name:<{width}}  {human_time(median):>9}  {human_time(min(wall)):>9}  {human_time(max(wall)):>9}  "
              f"{human_time(statistics.median(cpu)):>9}  {speed:>6}  {row[0].get('label', '')}".rstrip())
    if busy > 1.1:
        print(f"note: up to {busy:.1f} times as long by the wall clock as by the processor's: the machine was busy, "
              "and these figures are not to be quoted", file=sys.stderr)


def run_script(arguments, passed_on):
    """A rival's script: its JSON as it is, and its rows as samples."""
    done = subprocess.run([arguments.python, str(arguments.program), *passed_on], stdout=subprocess.PIPE, text=True,
                          check=False)
    if done.returncode != 0:
        sys.exit(f"{arguments.program.name} ended with {done.returncode}")
    printed = json.loads(done.stdout)
    samples = [{"name": f"{name}/real_time", "real_time": sample, "cpu_time": sample, "time_unit": "s"}
               for name, row in printed.pop("seconds").items() for sample in row]
    for name, why in printed.get("skipped", {}).items():
        print(f"skipped: {name}: {why}", file=sys.stderr)
    return samples, printed


def run_program(arguments, options):
    """A program over Google Benchmark."""
    done = subprocess.run([str(arguments.program.resolve()), *options], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{arguments.program.name} ended with {done.returncode}")
    try:
        measured = json.loads(done.stdout)
    except json.JSONDecodeError as error:
        sys.exit(f"{arguments.program.name} printed no JSON: {error}")
    samples = [row for row in measured["benchmarks"] if row.get("run_type") != "aggregate"]
    return samples, {"caches": measured["context"].get("caches")}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path, help="a Google Benchmark program, or a script of bench/rivals")
    parser.add_argument("--name", help="for the file; by default the program's, without bench_")
    parser.add_argument("--python", default=sys.executable, help="what runs a script of bench/rivals")
    parser.add_argument("--repetitions", type=int, default=7, help="samples of each row (7)")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "bench" / "results", help="where to write")
    parser.add_argument("--dry-run", action="store_true", help="print the table, write no file")
    own, passed_on = sys.argv[1:], []
    if "--" in own:
        cut = own.index("--")
        own, passed_on = own[:cut], own[cut + 1:]
    arguments = parser.parse_args(own)
    if not arguments.program.is_file():
        parser.error(f"no program at {arguments.program}; build it with RUSHLIGHT_BUILD_BENCHMARKS=ON")

    is_script = arguments.program.suffix == ".py"
    options = passed_on if is_script else [
        "--benchmark_format=json", f"--benchmark_repetitions={arguments.repetitions}",
        "--benchmark_enable_random_interleaving=true", *passed_on]
    facts = machine()
    start = datetime.datetime.now(datetime.timezone.utc)
    samples, further = run_script(arguments, passed_on) if is_script else run_program(arguments, options)
    if not samples:
        sys.exit("nothing was measured: does the filter match?")
    print_table(samples)

    name = arguments.name or (f"rivals-{arguments.program.stem}" if is_script
                              else arguments.program.name.removeprefix("bench_"))
    commit = output_of("git", "rev-parse", "--verify", "--quiet", "HEAD")
    changes = output_of("git", "status", "--porcelain", "--", ".", ":!bench/results")
    document = {
        "schema": 1,
        "name": name,
        "date": start.isoformat(timespec="seconds"),
        "commit": commit,
        "uncommitted_changes": None if changes is None else bool(changes),
        "command": [arguments.program.name, *map(without_folder, options)],
        "machine": facts,
        **further,
        "samples": samples,
    }
    if arguments.dry_run:
        return
    arguments.results.mkdir(parents=True, exist_ok=True)
    path = free_path(arguments.results, document["name"])
    path.write_text(json.dumps(document, indent=1) + "\n")
    print(f"\nwritten: {path.name}")


if __name__ == "__main__":
    main()
