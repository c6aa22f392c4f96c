#!/usr/bin/env python3
"""Writes the dictionaries that follow from tables of the sources: all but zip.dict and pickle.dict.

    tests/fuzz/make_dictionaries.py            writes them
    tests/fuzz/make_dictionaries.py --check    fails when a committed one is out of date (ctest runs this)
"""
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent

OPCODE = re.compile(r'^RUSHLIGHT_OPCODE\((\w+),\s*(0x[0-9A-F]{2}),\s*\d+,\s*(\w+),', re.M)
GLOBAL = re.compile(r'^RUSHLIGHT_GLOBAL\("([^"]+)", "([^"]+)", (\w+), .+\)$', re.M)

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


def pickle_lines() -> list[str]:
    opcodes = OPCODE.findall((ROOT / "src/pickle/opcodes.def").read_text())
    names = GLOBAL.findall((ROOT / "src/checkpoint/globals.def").read_text())
    if not opcodes or not names:
        sys.exit("make_dictionaries.py: a table has another form than this program reads")
    lines = ["# Opcodes, each with an argument."]
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
    return lines


# --- what other formats say ---------------------------------------------------------------------------------------------
JSON_KEYS = {
    "safetensors": ["__metadata__", "dtype", "shape", "data_offsets"],
    "sets": ["metadata", "total_size", "weight_map"],
    "manifest": ["rushlight_manifest", "self_xxh3", "self_sha256", "size_bytes", "chunk_bytes", "container", "root",
                 "alignment", "records", "tensors", "name", "header_offset", "data_offset", "stored_bytes", "method",
                 "flags", "crc", "xxh3", "chunks", "sha256", "dtype", "shape", "strides", "record", "storage_offset",
                 "rushlight_signature", "public_key", "ed25519"],
    "calibration": ["rushlight_calibration", "items", "choice", "layers", "low", "high", "least", "most"],
    "spec": ["schema", "description", "input", "inputs", "outputs", "normalise", "scale", "mean", "std", "labels", "layers",
             "name", "same", "valid"],
}
JSON_TOKENS = ["[]", "[0]", "[1,1]", "{}", "true", "false", "null", "-1", "0", "1e999", "9223372036854775807",
               "18446744073709551616", "1.5", "\\u0000", "\\ud800", "\\ud83d\\ude00", ","]
# The ends of float32: the largest, what rounds to it and what does not, the smallest, one that is none.
CALIBRATION_NUMBERS = ["3.4028235e38", "-3.4028235e38", "3.4028235677973365e38", "3.4028236e38", "1e-45", "-1e-45", "1e-46", "-0",
                       "1.1754944e-38"]
DCP_NAMES = ["Metadata", "TensorStorageMetadata", "TensorProperties", "BytesStorageMetadata", "ChunkStorageMetadata",
             "MetadataIndex", "_MEM_FORMAT_ENCODING"]
TAR_NAMES = ["sys_info", "pickle", "tensors", "storages", "PaxHeader", "ustar"]
GGUF_KEYS = ["general.alignment", "general.architecture", "GGUF"]
NPY_WORDS = ["'descr': ", "'fortran_order': True", "'fortran_order': False", "'shape': ", "()", "(0,)", "(1,)", "(2, 3)",
             "(9223372036854775807, 2)", "'|O'", "'|V4'", "[('a', '<i4')]", "'|S3'", "'<U2'", "'<M8[s]'", ".npy"]
IMAGE_WORDS = [b"P2\n", b"P3\n", b"P5\n", b"P6\n", b"# a\n", b"255\n", b"65535\n", b"4294967296 ",
               b"\x00\x00\x08\x01", b"\x00\x00\x08\x03", b"\x00\x00\x0d\x02",
               b"IHDR", b"PLTE", b"IDAT", b"IEND", b"tRNS", b"eXIf", b"iTXt", b"XML:com.adobe.xmp\x00",
               b"tiff:Orientation=\"6", b"II*\x00\x08\x00\x00\x00", b"MM\x00*\x00\x00\x00\x08", b"\x12\x01\x03\x00",
               b"Exif\x00\x00", b"http://ns.adobe.com/xap/1.0/\x00", b"Adobe\x00\x64", b"\xff\xc0", b"\xff\xc2",
               b"\xff\xc4", b"\xff\xda", b"\xff\xdb", b"\xff\xd9"]


def table(path: str, pattern: str) -> list[str]:
    found = list(dict.fromkeys(re.findall(pattern, (ROOT / path).read_text(), re.M)))
    if not found:
        sys.exit(f"make_dictionaries.py: {path} has another form than this program reads")
    return found


def tokens(words) -> list[str]:
    """Each a line, without keys of their own."""
    return [f'"{escaped(word if isinstance(word, bytes) else word.encode())}"' for word in words]


def json_lines(target: str, further: list[str]) -> list[str]:
    return tokens([f'"{word}"' for word in JSON_KEYS[target] + further] + [f'"{key}":' for key in JSON_KEYS[target]] +
                  JSON_TOKENS)


def safetensors_lines() -> list[str]:
    return json_lines("safetensors", table("src/interchange/safetensors_dtypes.def",
                                           r'^RUSHLIGHT_SAFETENSORS_\w+\("(\w+)"'))


def npz_lines() -> list[str]:
    types = [f"'{order}{kind}{size}'" for order in "<>|" for kind, size in
             [("f", 2), ("f", 4), ("f", 8), ("i", 1), ("i", 2), ("i", 8), ("u", 4), ("b", 1), ("c", 8), ("c", 16)]]
    return tokens(NPY_WORDS + types)


def gguf_lines() -> list[str]:
    types = [int(one) for one in table("src/interchange/ggml_types.def", r"^RUSHLIGHT_GGML_\w+\((\d+)")]
    texts = [len(key).to_bytes(8, "little") + key.encode() for key in GGUF_KEYS]
    return tokens(texts + [one.to_bytes(4, "little") for one in types] +
                  [kind.to_bytes(4, "little") + (1).to_bytes(8, "little") for kind in range(13)])


def spec_lines() -> list[str]:
    operators = "include/rushlight/operators.def"
    return json_lines("spec", table(operators, r'^RUSHLIGHT_OPERATOR\(\w+, "(\w+)"') +
                      table(operators, r"^RUSHLIGHT_ATTRIBUTE\(\w+, [\w:]+, (\w+)"))


def calibration_lines() -> list[str]:
    return json_lines("calibration", ["least_error", "min_max", "0"]) + tokens(CALIBRATION_NUMBERS)


def tuning_lines() -> list[str]:
    words = re.findall(r'"(\w+)"', (ROOT / "src/runtime/cpu/conv_choice.cpp").read_text())
    return tokens(["rushlight tuning 1\n", "machine ", " : ", " # ", "conv3x3 strict threads=1 in=1x4x4x16 out=1x4x4x16", "# a\n",
                   "\r\n", *dict.fromkeys(words)])


def sets_lines() -> list[str]:
    names = [f"ctorch.distributed.checkpoint.metadata\n{name}\n" for name in DCP_NAMES]
    words = ["fqn", "offset", "index", "relative_path", "length", "state_dict_metadata", "storage_data", "planner_data",
             "properties", "size", "chunks", "sizes", "offsets", "transform_descriptors"]
    return json_lines("sets", []) + tokens(names + [f"X{chr(len(word))}\0\0\0{word}" for word in words])


def tar_lines() -> list[str]:
    return tokens(TAR_NAMES + [f"ctorch\n{name}Tensor\n" for name in ("Float", "Long", "Half")])


def dictionaries() -> dict[str, str]:
    pickles = pickle_lines()
    lines = {"checkpoint": pickles, "tar": tar_lines() + pickles, "safetensors": safetensors_lines(), "npz": npz_lines(),
             "gguf": gguf_lines(), "sets": sets_lines(), "spec": spec_lines(), "manifest": json_lines("manifest", ["zip", "4194304"]),
             "image": tokens(IMAGE_WORDS),
             "calibration": calibration_lines(), "tuning": tuning_lines()}
    head = "# Written by make_dictionaries.py from tables of the sources: not edited.\n\n"
    return {target: head + "\n".join(rows) + "\n" for target, rows in lines.items()}


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    failed = False
    for target, text in dictionaries().items():
        path = HERE / f"{target}.dict"
        if not check:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            print(f"{path.name} is out of date: run tests/fuzz/make_dictionaries.py", file=sys.stderr)
            failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
