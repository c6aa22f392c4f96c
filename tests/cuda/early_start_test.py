#!/usr/bin/env python3
"""What nvcc makes of the kernels for GPUs of 9.0: each waits for the kernels before it ahead of all it does with memory.

    early_start_test.py NVCC SOURCE_DIR BINARY_DIR [FILE ...]      all of cuda/kernels/*.cu without files

A kernel may come to the GPU while the one before it still ends. That it waits is written in DeviceBlock, but compilers
move loads by the read-only path where nothing that they know of stands against it, and no emulation would show it.
"""
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

ENTRY = re.compile(r"\.entry (\w+)\(")
# Loads of arguments and what only this thread or block sees may come first.
MEMORY = re.compile(r"\s(?:@!?%\w+ )?((?:ld|st|atom|red|cp|prefetch|wgmma|discard|suld|sust|tex|call)\b[\w.:]*)")
HARMLESS = re.compile(r"(?:ld|st)(?:\.volatile)?\.(?:param|shared|local|const)\b")
BRANCH = re.compile(r"^\$|\bbra\b|\bret\b", re.M)
WAIT = "griddepcontrol.wait;"


def body_of(text: str, begin: int) -> str:
    end = text.find("\n}\n", begin)
    return text[begin:end]


def problems_of(ptx: str) -> list[str]:
    problems = []
    entries = list(ENTRY.finditer(ptx))
    for entry in entries:
        head, wait, _ = body_of(ptx, entry.end()).partition(WAIT)
        name = entry.group(1)
        if not wait:
            problems.append(f"{name} does not wait")
            continue
        problems += [f"{name}: {found.group(1)} before it waits" for found in MEMORY.finditer(head)
                     if not HARMLESS.match(found.group(1))]
        if BRANCH.search(head):
            problems.append(f"{name}: a branch before it waits")
    return problems if entries else ["no kernel"]


def check_itself() -> None:
    def kernel(*lines: str) -> str:
        return ".visible .entry f(\n.param .u64 p\n)\n{\n" + "".join(f"\t{line}\n" for line in lines) + "}\n"

    good = kernel("ld.param.u64 %rd1, [p];", WAIT, "ld.global.nc.f32 %f1, [%rd1];", "@%p1 bra $L__BB0_2;", "ret;")
    assert problems_of(good) == []
    assert problems_of(good + good.replace(WAIT, "")) == ["f does not wait"]
    assert problems_of(kernel("ld.global.nc.f32 %f1, [%rd1];", WAIT)) == ["f: ld.global.nc.f32 before it waits"]
    assert problems_of(kernel("@%p1 st.global.f32 [%rd1], %f1;", WAIT)) == ["f: st.global.f32 before it waits"]
    assert problems_of(kernel("ld.u32 %r1, [%rd1];", WAIT)) == ["f: ld.u32 before it waits"]
    assert problems_of(kernel("@%p1 bra $L__BB0_2;", WAIT)) == ["f: a branch before it waits"]
    assert problems_of("") == ["no kernel"]


def main() -> int:
    nvcc, source, binary = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    check_itself()
    files = [pathlib.Path(name) for name in sys.argv[4:]] or sorted((source / "cuda" / "kernels").glob("*.cu"))

    def compile_and_read(file: pathlib.Path) -> tuple[int, list[str]]:
        architecture = "compute_90a" if file.name.startswith("wgmma_") else "compute_90"
        with tempfile.TemporaryDirectory() as folder:
            ptx = pathlib.Path(folder) / "kernels.ptx"
            options = ["-std=c++20", "-O3", "--fmad=false", f"-arch={architecture}", f"-I{source}",
                       f"-I{source / 'src'}", f"-I{source / 'include'}", f"-I{binary / 'generated'}"]
            subprocess.run([nvcc, *options, "-ptx", "-o", ptx, file], check=True)
            text = ptx.read_text(encoding="utf-8")
        return len(ENTRY.findall(text)), [f"{file.name}: {problem}" for problem in problems_of(text)]

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        results = list(pool.map(compile_and_read, files))
    kernels = sum(count for count, _ in results)
    problems = [problem for _, found in results for problem in found]
    if not files:
        problems.append("no sources: is it the source tree?")
    print("\n".join(problems) or f"{kernels} kernels in {len(files)} files: each waits before it touches memory")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
