#!/usr/bin/env python3
"""Copies those of the golden files that are a target's kind, as its seeds.

    tests/fuzz/golden_seeds.py TARGET GOLDEN FOLDER MOST_BYTES
"""
import pathlib
import sys
import zipfile

MAGIC = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"


def kind_of(path: pathlib.Path, data: bytes) -> str:
    if data[:4] == b"PK\x03\x04":
        return "npz" if path.suffix == ".npz" else "zip"
    if MAGIC in data[:32]:
        return "legacy"
    if data[257:262] == b"ustar":
        return "tar"
    if data[:6] == b"\x93NUMPY":
        return "npy"
    if data[:4] == b"GGUF":
        return "gguf"
    if path.suffix == ".safetensors":
        return "safetensors"
    if path.suffix in (".pgm", ".ppm", ".idx", ".png", ".jpg") or path.name.endswith("-ubyte"):
        return "image"
    if data[:1] == b"\x80":
        return "pickle"
    return "other"


WANTED = {
    "zip": {"zip", "npz"},
    "pickle": {"pickle", "legacy"},
    "checkpoint": {"zip", "pickle", "legacy"},
    "save": {"zip", "pickle", "legacy"},
    "salvage": {"zip", "legacy", "safetensors"},
    "legacy": {"legacy", "pickle"},
    "tar": {"tar"},
    "safetensors": {"safetensors"},
    "npz": {"npz", "npy"},
    "gguf": {"gguf"},
    "module": {"zip"},
    "image": {"image"},
    "differential": {"zip", "npz", "legacy", "tar", "npy", "gguf", "safetensors", "pickle"},
}


def packed(files) -> bytes:
    """tests/fuzz/packed_files.hpp."""
    out = b""
    for name, data in files:
        raw = name.encode()
        out += bytes([len(raw)]) + raw + len(data).to_bytes(2, "little") + data
    return out


def sets(golden: pathlib.Path):
    """The files of a folder with an index or `.metadata`, that one first."""
    for first in [*golden.rglob("*.index.json"), *golden.rglob(".metadata")]:
        beside = [path for path in sorted(first.parent.iterdir())
                  if path.is_file() and path != first and not path.name.endswith(".expect.json")]
        if all(path.stat().st_size < 65536 for path in beside):
            yield first.parent.name, packed([(path.name, path.read_bytes()) for path in [first, *beside]])


def seeds(target: str, golden: pathlib.Path):
    if target == "sets":
        yield from sets(golden)
        return
    for path in sorted(golden.rglob("*")):
        if not path.is_file() or path.suffix in (".json", ".md", ".sha256"):
            continue
        data = path.read_bytes()
        kind = kind_of(path, data)
        name = "_".join(path.relative_to(golden).parts)
        if kind in WANTED.get(target, set()):
            yield name, data
        if target == "pickle" and kind == "zip":
            try:
                with zipfile.ZipFile(path) as archive:
                    for record in archive.namelist():
                        if record.endswith(".pkl"):
                            yield f"{name}_{record.replace('/', '_')}", archive.read(record)
            except (zipfile.BadZipFile, NotImplementedError):
                pass  # made to be refused


def main() -> int:
    target, golden, folder, most_bytes = sys.argv[1:]
    out = pathlib.Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    count = 0
    for name, data in seeds(target, pathlib.Path(golden)):
        if 0 < len(data) <= int(most_bytes):
            (out / name).write_bytes(data)
            count += 1
    print(f"{target}: {count} golden seeds")
    return 0


if __name__ == "__main__":
    sys.exit(main())
