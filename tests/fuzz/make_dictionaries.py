#!/usr/bin/env python3
"""Writes checkpoint.dict from src/pickle/opcodes.def and src/checkpoint/globals.def.

    tests/fuzz/make_dictionaries.py            writes it
    tests/fuzz/make_dictionaries.py --check    fails when the committed one is out of date (ctest runs this)
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TARGET = HERE / "checkpoint.dict"

OPCODE = re.compile(r'^RUSHLIGHT_OPCODE\((\w+),\s*(0x[0-9A-F]{2}),\s*\d+,\s*(\w+),', re.M)
GLOBAL = re.compile(r'^RUSHLIGHT_GLOBAL\("([^"]+)", "([^"]+)", (\w+), \w+\)', re.M)

# The shortest right argument of each kind (src/pickle/argument.hpp).
ARGUMENTS = {
    "none": b"",
    "u1": b"\x01",
    "u2": b"\x01\x00",
    "i4": b"\xff\xff\xff\xff",
    "u4": b"\x01\x00\x00\x00",
    "u8": b"\x01" + bytes(7),
    "f8_be": b"\x3f\xf8" + bytes(6),
    "float_line": b"1.5\n",
    "integer_line": b"1\n",
    "long_line": b"1L\n",
    "line": b"1\n",
    "quoted_line": b"'a'\n",
    "unicode_line": b"a\n",
    "two_lines": b"m\nn\n",
    "string1": b"\x01a",
    "string4": b"\x01\x00\x00\x00a",
    "bytes1": b"\x01a",
    "bytes4": b"\x01\x00\x00\x00a",
    "bytes8": b"\x01" + bytes(7) + b"a",
    "bytearray8": b"\x01" + bytes(7) + b"a",
    "unicode1": b"\x01a",
    "unicode4": b"\x01\x00\x00\x00a",
    "unicode8": b"\x01" + bytes(7) + b"a",
    "long1": b"\x01\xff",
    "long4": b"\x01\x00\x00\x00\xff",
}

# What torch.save writes around storages, and the records beside data.pkl.
WORDS = {
    "storage": b"X\x07\x00\x00\x00storage",
    "location_cpu": b"X\x03\x00\x00\x00cpu",
    "location_cuda": b"X\x06\x00\x00\x00cuda:0",
    "location_meta": b"X\x04\x00\x00\x00meta",
    "key": b"X\x01\x00\x00\x000",
    "persistent": b"tQK\x00",
    "no_grad_hooks": b"\x89ccollections\nOrderedDict\n)R",
    "parameters": b"X\x0b\x00\x00\x00_parameters}",
    "buffers": b"X\x08\x00\x00\x00_buffers}",
    "modules": b"X\x08\x00\x00\x00_modules}",
    "non_persistent": b"X\x1b\x00\x00\x00_non_persistent_buffers_set",
    "metadata": b"X\x09\x00\x00\x00_metadata",
    "state_dict": b"X\x10\x00\x00\x00model_state_dict",
    "surrogate": b"X\x03\x00\x00\x00\xed\xa0\x80",
    "control": b"X\x02\x00\x00\x00\x1b[",
    "record_data": b"data/0",
    "record_pickle": b"data.pkl",
    "record_byteorder": b"byteorder",
    "record_version": b"version",
    "record_alignment": b".storage_alignment",
    "record_dotted": b".data/version",
    "big": b"big",
}


def escaped(token: bytes) -> str:
    return "".join(chr(b) if 0x20 <= b < 0x7F and chr(b) not in '\\"' else f"\\x{b:02x}" for b in token)


def storage_classes() -> list[str]:
    text = (ROOT / "include/rushlight/dtypes.def").read_text()
    return list(dict.fromkeys(re.findall(r'^RUSHLIGHT_DTYPE\(.*"(\w+Storage)"', text, re.M)))


def dictionary() -> str:
    opcodes = OPCODE.findall((ROOT / "src/pickle/opcodes.def").read_text())
    names = GLOBAL.findall((ROOT / "src/checkpoint/globals.def").read_text())
    if not opcodes or not names:
        sys.exit("make_dictionaries.py: a table has another form than this program reads")
    lines = ["# Written by make_dictionaries.py from src/pickle/opcodes.def and src/checkpoint/globals.def: not edited.",
             "", "# Opcodes, each with an argument."]
    for name, byte, argument in opcodes:
        if argument not in ARGUMENTS:
            sys.exit(f"make_dictionaries.py: an argument of {argument!r} (of {name}) is not known here")
        lines.append(f'{name.lower()}="{escaped(bytes([int(byte, 16)]) + ARGUMENTS[argument])}"')
    lines += ["", "# The allow-list; of names that are only names, a few."]
    only_names = 0
    for module, name, meaning in names:
        only_names += meaning == "name_only"
        if meaning == "name_only" and only_names > 4:
            continue
        key = re.sub(r"\W", "_", f"{module}_{name}")
        lines.append(f'{key}="{escaped(f"c{module}{chr(10)}{name}{chr(10)}".encode())}"')
    lines += ["", "# Storage classes."]
    lines += [f'torch_{name}="{escaped(f"ctorch{chr(10)}{name}{chr(10)}".encode())}"' for name in storage_classes()]
    lines += ["", "# What torch.save writes around storages, and names of records."]
    lines += [f'{key}="{escaped(token)}"' for key, token in WORDS.items()]
    return "\n".join(lines) + "\n"


def main() -> int:
    text = dictionary()
    if sys.argv[1:] == ["--check"]:
        if not TARGET.exists() or TARGET.read_text() != text:
            print(f"{TARGET.name} is out of date: run tests/fuzz/make_dictionaries.py", file=sys.stderr)
            return 1
        return 0
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
