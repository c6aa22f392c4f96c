#!/usr/bin/env python3
"""The specification agrees with the tree: dumps with their vectors, rules with their sources and tests.

    format_spec_test.py SOURCE_DIR
"""
import pathlib
import re
import sys

ROW = re.compile(r"^([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)+)", re.M)
RULE = re.compile(r"^\s*(?:[-*]\s*|#+\s*|\|\s*)?\**\[([ZPTCLISAMDN]-\d+[a-z]?)\]\**", re.M)
TEST_NAME = re.compile(r"`((?:[A-Z]\w+)\.(?:\w+))`")
SOURCE = re.compile(r"\*Sources?:\*")
FILE_NAME = re.compile(r"`(tests/[\w./-]+\.(?:py|cpp|cmake|sh))`")


# The pages that print every byte of a file, with the file.
DUMPS = (("01-tour.md", "tour.pt"), ("06-legacy.md", "legacy.pt"))


def check_dump(spec: pathlib.Path, page: str, vector: str) -> list[str]:
    data = (spec / "vectors" / vector).read_bytes()
    seen = bytearray(len(data))
    problems = []
    for offset_text, bytes_text in ROW.findall((spec / page).read_text(encoding="utf-8")):
        offset = int(offset_text, 16)
        row = bytes.fromhex(bytes_text)
        if data[offset:offset + len(row)] != row:
            problems.append(f"{page}: the row at {offset_text} is not what the vector holds")
        for i in range(offset, min(offset + len(row), len(data))):
            seen[i] = 1
    missing = len(data) - sum(seen)
    if missing:
        problems.append(f"{page}: {missing} bytes of the vector are not shown")
    return problems


def check_rules(root: pathlib.Path, spec: pathlib.Path) -> list[str]:
    tests = set()
    for file in (root / "tests").rglob("*.cpp"):
        text = file.read_text(encoding="utf-8")
        for suite, name in re.findall(r"TEST(?:_[FP])?\(\s*(\w+),\s*(\w+)\s*\)", text):
            tests.add(f"{suite}.{name}")
    problems = []
    defined = {}
    for page in sorted(spec.glob("*.md")):
        if page.name in ("README.md", "01-tour.md", "rationale.md"):
            continue
        text = page.read_text(encoding="utf-8")
        matches = list(RULE.finditer(text))
        for match, following in zip(matches, matches[1:] + [None]):
            rule = match.group(1)
            body = text[match.start():following.start() if following else len(text)]
            if rule in defined:
                problems.append(f"{page.name}: [{rule}] is defined twice (also in {defined[rule]})")
            defined[rule] = page.name
            named = TEST_NAME.findall(body)
            files = FILE_NAME.findall(body)
            if not named and not files:
                problems.append(f"{page.name}: [{rule}] names no test")
            if page.name.startswith("0") and not SOURCE.search(body):
                problems.append(f"{page.name}: [{rule}] names no source")
            for name in named:
                if name not in tests:
                    problems.append(f"{page.name}: [{rule}] names {name}, which does not exist")
            for file in files:
                if not (root / file).exists():
                    problems.append(f"{page.name}: [{rule}] names {file}, which does not exist")
    if len(defined) < 60:
        problems.append(f"only {len(defined)} rules were found")
    return problems


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    spec = root / "format-spec"
    problems = [problem for page, vector in DUMPS for problem in check_dump(spec, page, vector)]
    problems += check_rules(root, spec)
    for problem in problems:
        print(problem)
    print("format-spec: " + ("ok" if not problems else f"{len(problems)} problems"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
