#!/usr/bin/env python3
"""What the loops of the CPU's kernels keep on the stack: sums that should stay in registers.

    spills.py OBJECT...                      a line for each loop of multiply-adds
    spills.py --clean gemm OBJECT...         exits with 1 where a function of this name ("gemm|other": of these names)
                                             moves vectors to or from the stack
    spills.py --objdump PATH ...

A loop is what lies between a backward jump and its target; the innermost ones with at least eight multiply-adds count.
Products have to be clean; Winograd's F(4x4) needs more values at a time than there are registers.
"""
import argparse
import pathlib
import re
import subprocess
import sys

LEAST = 8
FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
LINE = re.compile(r"^\s*([0-9a-f]+):\s+(.*?)\s*$")
# x86-64: jne; AArch64: b.ne, cbnz, tbnz.
JUMP = re.compile(r"^(?:j[a-z]+|b(?:\.[a-z]+)?|cbn?z\s+\w+,|tbn?z\s+\w+,\s*#\w+,)\s+([0-9a-f]+)\b")
PRODUCTS = re.compile(r"^(v?fmadd|mulps|fmla|vdpbf16ps|v?pmaddwd|vpdpbusd)")
# A vector to or from the stack: spilled, or a constant that found no register.
STACK = re.compile(r"^v?mov([au]p[sd]|dq[au]\d*)\s+.*(%[xyz]mm\d+,\s*-?(0x[0-9a-f]+)?\(%r[sb]p\)|\(%r[sb]p\),\s*%[xyz]mm\d+)"
                   r"|^(ld|st)[rp]\s+q\d+,.*\[sp\b")


def functions(objdump: str, path: str):
    text = subprocess.run([objdump, "-d", "-C", "--no-show-raw-insn", path], capture_output=True, text=True, check=True).stdout
    name, lines = None, []
    for line in text.splitlines():
        if found := FUNCTION.match(line):
            if name:
                yield name, lines
            name, lines = found[1], []
        elif found := LINE.match(line):
            lines.append((int(found[1], 16), found[2]))
    if name:
        yield name, lines


def loops(lines):
    """Innermost bodies, as slices of lines."""
    place = {address: i for i, (address, _) in enumerate(lines)}
    bodies = []
    for i, (address, text) in enumerate(lines):
        found = JUMP.match(text)
        if found and (target := int(found[1], 16)) <= address and target in place:
            bodies.append((place[target], i + 1))
    for first, last in bodies:
        if not any((a, b) != (first, last) and first <= a and b <= last for a, b in bodies):
            yield [text for _, text in lines[first:last]]


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--objdump", default="objdump")
    parser.add_argument("--clean", metavar="NAME", help="a function whose loops must not spill")
    parser.add_argument("objects", nargs="+")
    options = parser.parse_args()
    seen = judged = wrong = 0
    for path in options.objects:
        for name, lines in functions(options.objdump, path):
            for body in loops(lines):
                products = sum(bool(PRODUCTS.match(text)) for text in body)
                if products < LEAST:
                    continue
                seen += 1
                stack = sum(bool(STACK.match(text)) for text in body)
                short = re.sub(r"rushlight::runtime::cpu::(\(anonymous namespace\)::)?", "", name).split("(")[0]
                if options.clean and re.search(rf"\b({options.clean})\b", short):
                    judged += 1
                    wrong += stack > 0
                print(f"{pathlib.Path(path).name}: {short}: {products} products, {stack} vectors to or from the stack")
    print(f"{seen} loops; {judged} of {options.clean}, {wrong} of them with spills" if options.clean else f"{seen} loops")
    return 1 if wrong or not seen or (options.clean and not judged) else 0


if __name__ == "__main__":
    sys.exit(main())
