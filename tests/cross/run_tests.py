#!/usr/bin/env python3
"""Runs GoogleTest programs of a cross-compiled build under QEMU, each as one process: what tests/cross/aarch64.sh ends with.

    run_tests.py BUILD [--evidence] TEST...

Prints a line for each program, every failure, and why tests were skipped. Exits with 1 when one failed.
"""
import argparse
import collections
import concurrent.futures
import datetime
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
EMULATOR = ["qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu"]
TIMEOUT_S = 3600
# Arithmetic is emulated a hundred times slower: what computes for seconds elsewhere would take minutes and shows nothing
# that smaller tests of the same kernels do not.
LEFT_OUT = {
    "doors_test": ("Golden/TorchvisionModule.ComputesWhatPyTorchComputes/*",),
    "runtime_test": ("Winograd.RandomShapes", "Winograd.NormsResidualsAndActivationsAreFused",
                     "General.ResultsDoNotDependOnThreads", "General.LongLinesArePaddedAndRolledPieceByPiece",
                     "Benchmark.TheMachineIsMeasuredOnRequest"),
}


def run(program):
    """What one program says: counts, failures with their texts, reasons of skips."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        begin = time.monotonic()
        try:
            left_out = ":".join(LEFT_OUT.get(program.name, ()))
            done = subprocess.run([*EMULATOR, program, f"--gtest_output=json:{report.name}", "--gtest_brief=1",
                                   f"--gtest_filter=-{left_out}"],
                                  capture_output=True, text=True, errors="replace", timeout=TIMEOUT_S, check=False)
            code, output = done.returncode, done.stdout + done.stderr
        except subprocess.TimeoutExpired:
            code, output = 124, f"no end within {TIMEOUT_S} s\n"
        result = {"seconds": round(time.monotonic() - begin, 1), "passed": 0, "failed": 0, "skipped": 0}
        failures, skips = [], collections.Counter()
        try:
            # Names of tests may hold bytes that are no UTF-8.
            suites = json.loads(report.read().decode(errors="replace"), strict=False)["testsuites"]
        except ValueError:  # it died on the way
            return {**result, "failed": 1}, [f"{program.name} ended with {code}\n{output[-4000:]}"], skips
    for suite in suites:
        for test in suite["testsuite"]:
            if "failures" in test:
                result["failed"] += 1
                texts = "\n".join(failure["failure"] for failure in test["failures"])
                failures.append(f"{program.name}: {test['classname']}.{test['name']}\n{texts}")
            elif test["result"] == "SKIPPED":
                result["skipped"] += 1
                skips[test["skipped"][0]["message"].strip() if test.get("skipped") else ""] += 1
            else:
                result["passed"] += 1
    if code != 0 and result["failed"] == 0:
        result["failed"] = 1
        failures.append(f"{program.name} ended with {code}\n{output[-4000:]}")
    # GoogleTest keeps no reasons in its JSON before 1.13, and some tests print theirs by themselves.
    if "" in skips:
        del skips[""]
        for reason in re.findall(r"(?:^SKIPPED: |: Skipped\n(?:SKIPPED: )?)(.+)", output, re.MULTILINE):
            skips[reason.strip()] += 1
    return result, failures, skips


def output_of(*command):
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def keep(results, skips):
    folder = ROOT / "tests" / "evidence"
    folder.mkdir(exist_ok=True)
    base = f"{datetime.date.today().isoformat()}-aarch64"
    path, count = folder / f"{base}.json", 1
    while path.exists():
        count += 1
        path = folder / f"{base}-{count}.json"
    changes = output_of("git", "status", "--porcelain", "--", ".", ":!tests/evidence")
    path.write_text(json.dumps({
        "schema": 1,
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": output_of("git", "rev-parse", "HEAD"),
        "modified": bool(changes),
        "command": "tests/cross/aarch64.sh --evidence",
        "compiler": output_of("aarch64-linux-gnu-g++-12", "--version").splitlines()[0],
        "emulator": output_of(EMULATOR[0], "--version").splitlines()[0],
        "left_out": {name: list(tests) for name, tests in LEFT_OUT.items() if name in results},
        "programs": dict(sorted(results.items())),
        "passed": sum(result["passed"] for result in results.values()),
        "failed": sum(result["failed"] for result in results.values()),
        "skipped": dict(skips),
    }, indent=1) + "\n")
    print(f"written: {path.relative_to(ROOT)}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--evidence", action="store_true")
    parser.add_argument("tests", nargs="+")
    arguments = parser.parse_args()
    programs = []
    for name in arguments.tests:
        found = sorted((arguments.build / "tests").glob(f"*/{name}"))
        if not found:
            sys.exit(f"no program {name} in {arguments.build.name}")
        programs.append(found[0].resolve())
    results, all_skips, failed = {}, collections.Counter(), False
    with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        started = {pool.submit(run, program): program for program in programs}
        for done in concurrent.futures.as_completed(started):
            program, (result, failures, skips) = started[done], done.result()
            print(f"{program.name:<24} {result['passed']:>5} passed {result['failed']:>3} failed "
                  f"{result['skipped']:>3} skipped  {result['seconds']:>7.1f} s", flush=True)
            for failure in failures:
                print(failure)
            results[program.name] = result
            all_skips += skips
            failed |= result["failed"] > 0
    for reason, count in sorted(all_skips.items()):
        print(f"{count:>6} skipped: {reason.removeprefix('SKIPPED: ')}")
    print(f"{sum(result['passed'] for result in results.values())} passed, "
          f"{sum(result['failed'] for result in results.values())} failed, "
          f"{sum(result['skipped'] for result in results.values())} skipped")
    if arguments.evidence:
        keep(results, all_skips)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
