#!/usr/bin/env python3
"""Runs transcripts of the program and compares what it prints.

    transcripts.py --program RUSHLIGHT --golden DIR --examples DIR [--also DIR] [--bless] FILE...

A FILE is Markdown or plain text. In it, lines "$ command" are run by a shell, and the lines below are what the command must
print: standard output first, then standard error, each of its lines after "2> ", then "[exit N]" when N is not 0. In an
expected line "{*}" stands for any text; a line "..." stands for any lines. In Markdown only fenced blocks that start
with "$ " count, and an indented or fenced block may end the expectation. All commands of a file run in one folder that
holds the Fashion-MNIST files, the examples, those of the folder --also and, in the folders "format" and "images", the golden
files of all forms and the golden pictures. --bless writes what was printed into the file (plain text only).
"""
import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile


def run(command: str, folder: str, program: pathlib.Path) -> list[str]:
    environment = dict(os.environ, PATH=f"{program.parent}:{os.environ['PATH']}", NO_COLOR="1", LC_ALL="C.UTF-8",
                       TERM="dumb")
    done = subprocess.run(command, shell=True, cwd=folder, env=environment, capture_output=True, text=True,
                          errors="backslashreplace", timeout=120)
    lines = done.stdout.splitlines() + ["2> " + line if line else "2>" for line in done.stderr.splitlines()]
    return lines + ([f"[exit {done.returncode}]"] if done.returncode else [])


def matches(expected: list[str], found: list[str]) -> bool:
    pattern = ""
    for line in expected:
        if line.strip() == "...":
            pattern += r"(?:[^\n]*\n)*?"
        else:
            pattern += ".*".join(re.escape(part) for part in line.rstrip().split("{*}")) + r"\n"
    return re.fullmatch(pattern, "".join(line.rstrip() + "\n" for line in found)) is not None


def cases(text: str, markdown: bool) -> list[tuple[str, list[str]]]:
    if markdown:
        blocks = [b for b in re.findall(r"^```[^\n]*\n(.*?)^```", text, re.M | re.S) if b.startswith("$ ")]
    else:
        blocks = [text]
    result: list[tuple[str, list[str]]] = []
    for block in blocks:
        for line in block.splitlines():
            if line.startswith("$ "):
                result.append((line[2:], []))
            elif line.startswith("#") and not markdown:
                continue
            elif result:
                result[-1][1].append(line)
    for _, expected in result:
        while expected and not expected[-1].strip():
            expected.pop()
    return result


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--program", type=pathlib.Path, required=True)
    arguments.add_argument("--golden", type=pathlib.Path, required=True)
    arguments.add_argument("--examples", type=pathlib.Path, required=True)
    arguments.add_argument("--also", type=pathlib.Path)
    arguments.add_argument("--bless", action="store_true")
    arguments.add_argument("files", type=pathlib.Path, nargs="+")
    options = arguments.parse_args()
    failures = 0
    count = 0
    for file in options.files:
        text = file.read_text(encoding="utf-8")
        markdown = file.suffix == ".md"
        blessed = [line for line in text.splitlines() if line.startswith("#")][:1]
        with tempfile.TemporaryDirectory() as folder:
            also = sorted(options.also.iterdir()) if options.also and options.also.is_dir() else []
            for source in [*sorted((options.golden / "fashion").iterdir()), *sorted(options.examples.glob("*.json")), *also]:
                os.symlink(source.resolve(), os.path.join(folder, source.name))
            for name in ("format", "images"):
                os.symlink((options.golden / name).resolve(), os.path.join(folder, name))
            for command, expected in cases(text, markdown):
                # What the reader of a README types from a build or an installed tree.
                typed = re.sub(r"(?:\./)?build/release/rushlight", "rushlight", command)
                found = run(re.sub(r"\s+#.*$", "", typed) if markdown else typed, folder, options.program.resolve())
                count += 1
                blessed += ["$ " + command] + found + [""]
                if not matches(expected, found):
                    failures += 1
                    print(f"{file.name}: $ {command}\n--- expected\n" + "\n".join(expected) + "\n--- found\n" +
                          "\n".join(found) + "\n")
        if options.bless and not markdown:
            file.write_text("\n".join(blessed), encoding="utf-8")
    if count == 0:
        print("no command was found")
        return 1
    print(f"{count} commands, {failures} differ")
    return 0 if failures == 0 or options.bless else 1


if __name__ == "__main__":
    sys.exit(main())
