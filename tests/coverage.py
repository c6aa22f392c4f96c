#!/usr/bin/env python3
"""Which lines of src do the tests and the seeds of the fuzzers reach?

    tests/coverage.py                builds the preset coverage (clang), runs the tests, writes the evidence
    tests/coverage.py --no-build     as it is built
    tests/coverage.py --no-run       as it was run last
    tests/coverage.py -- -R zip      only the tests that ctest picks

Prints the share of lines of each folder, and writes tests/evidence/YYYY-MM-DD-coverage.json with it and with every line
that nothing reached. Lines are those that hold code, as clang's source-based coverage counts them.
"""
import argparse
import collections
import datetime
import json
import os
import pathlib
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from run import free_path  # noqa: E402: as the samples of benchmarks are named

BUILD = ROOT / "build" / "coverage"
# Programs that hold all layers whole.
PROGRAMS = ["rushlight", "tests/fuzz/differential_replay", "tests/fuzz/spec_replay", "tests/fuzz/image_replay",
            "tests/open/open_test"]
# Live comparisons and installed copies reach no line that others do not, and take minutes. Instrumented objects have
# symbols of their own.
LEFT_OUT = "^(parity|install|layering|format_spec|golden)[.]?|isa_symbols"


def tool(name: str) -> str:
    for candidate in (f"{name}-14", name):
        if shutil.which(candidate):
            return candidate
    sys.exit(f"coverage.py: {name} is not installed (Debian: llvm)")


def output_of(*command) -> str:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def run_gtests(environment) -> bool:
    """Each program of GoogleTest once, all its tests in one process: the profile is read and written at each start."""
    listing = json.loads(output_of("ctest", "--test-dir", str(BUILD), "--show-only=json-v1"))
    programs = sorted({test["command"][0] for test in listing["tests"]
                       if any(word.startswith("--gtest_filter=") for word in test.get("command", []))})
    good = True
    for program in programs:
        name = pathlib.Path(program).name
        done = subprocess.run([program, "--gtest_brief=1"], env=environment, cwd=BUILD, check=False, capture_output=True,
                              text=True)
        print(f"{name}: {'passed' if done.returncode == 0 else 'failed'}", flush=True)
        if done.returncode != 0:
            print(done.stdout[-4000:] + done.stderr[-2000:])
            good = False
    return good


def run_tests(arguments) -> bool:
    """True when all passed."""
    profiles = BUILD / "profiles"
    shutil.rmtree(profiles, ignore_errors=True)
    profiles.mkdir(parents=True)
    # %m: one file a program, into which every run of it is added.
    environment = {**os.environ, "LLVM_PROFILE_FILE": str(profiles / "%2m.profraw")}
    good = arguments != [] or run_gtests(environment)
    further = arguments or ["-E", f"{LEFT_OUT}|_test[.]"]
    command = ["ctest", "--test-dir", str(BUILD), "-j2", "--output-on-failure", *further]
    good = subprocess.run(command, env=environment, check=False).returncode == 0 and good
    subprocess.run([tool("llvm-profdata"), "merge", "-sparse", "-o", str(BUILD / "tests.profdata"),
                    *map(str, profiles.glob("*.profraw"))], check=True)
    return good


def lines_hit() -> dict[str, dict[int, int]]:
    """File below ROOT -> line -> how often."""
    programs = [BUILD / name for name in PROGRAMS if (BUILD / name).exists()]
    if not programs:
        sys.exit("coverage.py: none of the programs is built")
    command = [tool("llvm-cov"), "export", "-format=lcov", f"-instr-profile={BUILD / 'tests.profdata'}", str(programs[0])]
    for program in programs[1:]:
        command += ["-object", str(program)]
    hits: dict[str, dict[int, int]] = collections.defaultdict(dict)
    file = ""
    for row in output_of(*command).splitlines():
        if row.startswith("SF:"):
            # Compiler caches may have made paths relative to where the compiler ran.
            path = pathlib.Path(os.path.normpath(BUILD / row[3:]))
            file = str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else ""
        elif row.startswith("DA:") and file:
            line, count = row[3:].split(",")[:2]
            hits[file][int(line)] = max(hits[file].get(int(line), 0), int(count))
    if not hits:
        sys.exit("coverage.py: the profile names no file of this tree")
    return hits


def ranges(lines) -> str:
    """"3, 7-9"."""
    parts: list[list[int]] = []
    for line in lines:
        if parts and line == parts[-1][1] + 1:
            parts[-1][1] = line
        else:
            parts.append([line, line])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in parts)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-build", action="store_true")
    parser.add_argument("--no-run", action="store_true")
    parser.add_argument("ctest", nargs="*")
    arguments = parser.parse_args()
    if not arguments.no_build and not arguments.no_run:
        subprocess.run(["cmake", "--preset", "coverage"], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
        subprocess.run(["cmake", "--build", "--preset", "coverage"], cwd=ROOT, check=True)
    commit = output_of("git", "rev-parse", "--short", "HEAD").strip()
    modified = bool(output_of("git", "status", "--porcelain", "--", "CMakeLists.txt", "cmake", "src", "include", "tests",
                              ":!tests/evidence"))
    good = arguments.no_run or run_tests(arguments.ctest)
    folders: dict[str, list[int]] = collections.defaultdict(lambda: [0, 0])
    uncovered = {}
    for file, lines in sorted(lines_hit().items()):
        parts = pathlib.PurePosixPath(file).parts
        if parts[0] not in ("src", "include"):
            continue
        folder = "/".join(parts[:2]) if parts[0] == "src" else "include"
        folders[folder][0] += sum(count > 0 for count in lines.values())
        folders[folder][1] += len(lines)
        missed = sorted(line for line, count in lines.items() if count == 0)
        if missed:
            uncovered[file] = ranges(missed)
    report = {
        "schema": 1,
        "date": datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": commit,
        "modified": modified,
        "command": "tests/coverage.py" + "".join(f" {word}" for word in arguments.ctest),
        "compiler": output_of("clang", "--version").splitlines()[0],
        "tests_failed": not good,
        "folders": {folder: {"lines": total, "covered": hit, "percent": round(100 * hit / total, 2)}
                    for folder, (hit, total) in sorted(folders.items())},
        "uncovered": uncovered,
    }
    path = free_path(ROOT / "tests" / "evidence", "coverage")
    path.write_text(json.dumps(report, indent=2) + "\n")
    for folder, row in report["folders"].items():
        print(f"{folder:<24} {row['percent']:6.2f} %  of {row['lines']} lines")
    print(path.relative_to(ROOT))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
