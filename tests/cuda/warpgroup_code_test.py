#!/usr/bin/env python3
"""What ptxas makes of the kernels of warpgroups: their products must run beside each other, and nothing may spill.

    warpgroup_code_test.py NVCC SOURCE_DIR BINARY_DIR

A register that is written between products makes ptxas wait for each of them, which it mentions (C7510 and its
neighbours) and no option turns into an error. Without a GPU nothing else would show it.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

SERIALISED = re.compile(r"\(C75\d\d\).*")
KERNEL = re.compile(r"Compiling entry function '([^']+)'")
SPILLS = re.compile(r"(\d+) bytes spill stores")


def problems_of(messages: str, kernels: int) -> list[str]:
    """In what ptxas says about a file of so many kernels."""
    problems = [found.group(0) for found in SERIALISED.finditer(messages)]
    problems += [f"{found.group(1)} bytes spill" for found in SPILLS.finditer(messages) if found.group(1) != "0"]
    compiled = len(KERNEL.findall(messages))
    if compiled != kernels:
        problems.append(f"{compiled} kernels, expected {kernels}")
    return problems


def check_itself() -> None:
    good = "ptxas info : Compiling entry function 'f' for 'sm_90a'\n 0 bytes spill stores, 0 bytes spill loads\n"
    assert problems_of(good, 1) == []
    assert problems_of(good, 2) == ["1 kernels, expected 2"]
    assert problems_of(good.replace("0 bytes spill stores", "40 bytes spill stores"), 1) == ["40 bytes spill"]
    assert len(problems_of(good + "ptxas info : (C7510) Potential Performance Loss: wgmma are serialized\n", 1)) == 1


def main() -> int:
    nvcc, source, binary = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    check_itself()
    problems = []
    sources = sorted((source / "cuda" / "kernels").glob("wgmma_*.cu"))
    if len(sources) < 3:
        problems.append("no sources: is it the source tree?")
    for file in sources:
        with tempfile.TemporaryDirectory() as folder:
            ptx = pathlib.Path(folder) / "kernels.ptx"
            options = ["-std=c++20", "-O3", "--fmad=false", "-arch=sm_90a", f"-I{source}",
                       f"-I{source / 'src'}", f"-I{source / 'include'}", f"-I{binary / 'generated'}"]
            subprocess.run([nvcc, *options, "-ptx", "-o", ptx, file], check=True)
            assembled = subprocess.run([nvcc, "-arch=sm_90a", "-Xptxas=-v", "-cubin", "-o", "/dev/null", ptx],
                                       check=True, capture_output=True, text=True)
            text = ptx.read_text(encoding="utf-8")
            kernels = text.count(".visible .entry")
            found = problems_of(assembled.stdout + assembled.stderr, kernels)
            for instruction in ("wgmma.mma_async", "cp.async.bulk", "mbarrier.try_wait"):
                if instruction not in text:
                    found.append(f"there is no {instruction} in it")
            problems += [f"{file.name}: {problem}" for problem in found]
            registers = re.findall(r"Used (\d+) registers", assembled.stdout + assembled.stderr)
            tiles = re.findall(r"MmaTileILi(\d+)ELi1ELi1ELi(\d+)E", " ".join(KERNEL.findall(assembled.stderr)))
            print(f"{file.name}:", ", ".join(f"{16 * int(rows)}x{8 * int(columns)} {used} registers"
                                              for (rows, columns), used in zip(tiles, registers)))
    print("\n".join(problems) or "warpgroups: products run beside each other, nothing spills")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
