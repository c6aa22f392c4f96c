#!/usr/bin/env python3
"""Each header of cuda/kernels opens with what a reader needs before the code, and names tests that there are.

    kernel_heads_test.py SOURCE_DIR

A header with a kernel in it says shapes, each thread's share, bytes moved and accuracy; whoever has index arithmetic
names the test that covers it: "Tests: CudaTile.QuadsCoverATileOnce, mma_test.cpp".
"""
import pathlib
import re
import sys

KERNEL = re.compile(r"\bvoid (\w+_kernel)\(")
INDICES = re.compile(r"(?<!#define )RUSHLIGHT_HOST_DEVICE ")
DEFINED_TEST = re.compile(r"^(?:TYPED_)?TEST(?:_[FP])?\((\w+), (\w+)\)", re.M)
# What a head names: a test of GoogleTest, all tests of one suite, or a file of tests/cuda.
NAMED_TEST = re.compile(r"\b([A-Z]\w+)\.(\*|[A-Z]\w+)|\b(\w+_test\.cpp)\b")
DUTIES = {
    "shapes, as in output[row][column]": re.compile(r"\w\[\w[^\]]*\]|\[\w+\]\["),
    "what one thread, warp or block makes": re.compile(r"\b(?:one|each|a|every) (?:thread|warp|lane|block)\b", re.I),
    "'Bytes moved: ...'": re.compile(r"\bbytes moved\b", re.I),
    "'Accuracy: ...'": re.compile(r"\baccuracy\b", re.I),
}


def head_of(text: str) -> str:
    """The comment that a file begins with, without its slashes."""
    lines = []
    for line in text.splitlines():
        if not line.startswith("//"):
            break
        lines.append(line[2:].strip())
    return " ".join(lines)


def problems_of(name: str, text: str, tests: set[tuple[str, str]], files: set[str]) -> list[str]:
    head = head_of(text)
    problems = [] if head else [f"{name}: no head comment"]
    if KERNEL.search(text):
        problems += [f"{name}: the head does not say {duty}" for duty, said in DUTIES.items() if not said.search(head)]
    named = 0
    for suite, test, file in NAMED_TEST.findall(head):
        there = file in files if file else any(suite == s and test in ("*", t) for s, t in tests)
        if there:
            named += 1
        else:
            problems.append(f"{name}: there is no test {file or f'{suite}.{test}'} in tests/cuda")
    if named == 0 and (KERNEL.search(text) or INDICES.search(text)):
        problems.append(f"{name}: the head names no test that covers its indices: 'Tests: Suite.Name'")
    return problems


def check_itself() -> None:
    """A head that says all is accepted; without any one of its parts it is not."""
    parts = ["output[m][n] = input[m].", "One thread makes one output.", "Bytes moved: 4.", "Accuracy: exact.",
             "Tests: CudaTile.Once, index_test.cpp."]
    body = "\nRUSHLIGHT_KERNEL void copy_kernel(Block& block)"

    def problems(kept, tests=frozenset({("CudaTile", "Once")})):
        return problems_of("copy.cuh", "".join(f"// {part}\n" for part in kept) + body, tests, {"index_test.cpp"})

    assert problems(parts) == [], problems(parts)
    for missing in parts:
        found = problems([part for part in parts if part != missing])
        assert len(found) == 1, (missing, found)
    assert problems(parts, frozenset()) == ["copy.cuh: there is no test CudaTile.Once in tests/cuda"]
    assert len(problems([])) == 6


def main() -> int:
    root = pathlib.Path(sys.argv[1])
    check_itself()
    sources = sorted((root / "tests" / "cuda").glob("*_test.cpp"))
    tests = {pair for source in sources for pair in DEFINED_TEST.findall(source.read_text(encoding="utf-8"))}
    headers = sorted((root / "cuda" / "kernels").glob("*.cuh"))
    kernels = 0
    problems = [] if headers else [f"no kernels in {root}: is it the source tree?"]
    for header in headers:
        text = header.read_text(encoding="utf-8")
        kernels += len(KERNEL.findall(text))
        problems += problems_of(header.name, text, tests, {source.name for source in sources})
    print("\n".join(problems) or f"kernel heads: ok, {kernels} kernels in {len(headers)} headers")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
