#!/usr/bin/env python3
"""How many faults do the tests of this folder cause, and is each survived?

    tests/faults/count.py              builds and runs them (build/dev), prints the counts
    tests/faults/count.py --evidence   and writes tests/evidence/YYYY-MM-DD-faults.json

Each test says what it did as properties of its result: system calls that failed, allocations that were refused, states
of a disk after a power cut, bits that were flipped. Exits with 1 when a test fails. The kill loop has a script of its
own, run.sh.
"""
import argparse
import collections
import datetime
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from run import free_path  # noqa: E402: as the samples of benchmarks are named

BUILD = ROOT / "build" / "dev"
PROGRAMS = ["write_faults_test", "allocation_faults_test", "power_cut_test", "odd_clock_test"]
KINDS = ["system_calls_failed", "allocations_refused", "disk_states", "bits_flipped"]


def output_of(*command: str) -> str:
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def machine() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return "unknown"


def results_of(program: str) -> list[dict]:
    """One object a test: its name, whether it passed, its counts."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "results.json"
        subprocess.run([str(BUILD / "tests" / "faults" / program), f"--gtest_output=json:{path}"], cwd=ROOT,
                       check=False, stdout=subprocess.DEVNULL)
        if not path.exists():  # it died before it could say anything
            return [{"test": program, "passed": False}]
        suites = json.loads(path.read_text(encoding="utf-8"))["testsuites"]
    results = []
    for suite in suites:
        for test in suite["testsuite"]:
            skipped = test.get("result") == "SKIPPED"
            result = {"test": f"{suite['name']}.{test['name']}", "passed": "failures" not in test and not skipped}
            if skipped:
                result["skipped"] = True
            result.update({kind: int(test[kind]) for kind in KINDS if kind in test})
            results.append(result)
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--evidence", action="store_true", help="write tests/evidence/YYYY-MM-DD-faults.json")
    arguments = parser.parse_args()
    subprocess.run(["cmake", "--build", "--preset", "dev", "--target", *PROGRAMS], cwd=ROOT, check=True,
                   stdout=subprocess.DEVNULL)
    commit = output_of("git", "rev-parse", "--short", "HEAD").strip()
    modified = bool(output_of("git", "status", "--porcelain", "--", "CMakeLists.txt", "cmake", "src", "include", "tests",
                              ":!tests/evidence"))
    tests = [result for program in PROGRAMS for result in results_of(program)]
    totals: collections.Counter[str] = collections.Counter()
    for test in tests:
        totals.update({kind: test.get(kind, 0) for kind in KINDS})
    failed = [test["test"] for test in tests if not test["passed"] and not test.get("skipped")]
    for kind in KINDS:
        print(f"{kind:<22} {totals[kind]:>9,}")
    for name in failed:
        print(f"FAILED {name}")
    if arguments.evidence:
        path = free_path(ROOT / "tests" / "evidence", "faults")
        report = {
            "schema": 1,
            "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "commit": commit,
            "modified": modified,
            "command": "tests/faults/count.py --evidence",
            "machine": machine(),
            "injected": {kind: totals[kind] for kind in KINDS} | {"all": sum(totals.values())},
            "survived": not failed,
            "failed": failed,
            "tests": tests,
        }
        path.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        print(path.relative_to(ROOT))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
