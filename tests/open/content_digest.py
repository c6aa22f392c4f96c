#!/usr/bin/env python3
"""The content digest of format-spec/07-manifest.md once more, in Python and from the page alone: compared with the
vector there, and with what the program says of the files that hold its tensors.

    content_digest.py PROGRAM VECTORS_DIR

SHA-256 comes from Python, XXH3-128 from the module xxhash or else from libxxhash; without both that half is skipped, and
said to be.
"""
import ctypes
import ctypes.util
import hashlib
import json
import pathlib
import subprocess
import sys


class Xxh3OfLibrary:
    """XXH3-128 of libxxhash, canonical: the high half first, big-endian."""

    class Hash(ctypes.Structure):
        _fields_ = [("low", ctypes.c_uint64), ("high", ctypes.c_uint64)]

    name = ctypes.util.find_library("xxhash")
    library = ctypes.CDLL(name) if name else None
    if library is not None:
        library.XXH3_128bits.restype = Hash
        library.XXH3_128bits.argtypes = [ctypes.c_char_p, ctypes.c_size_t]

    def __init__(self, data=b""):
        self.data = data

    def update(self, data):
        self.data += data

    def hexdigest(self):
        found = self.library.XXH3_128bits(self.data, len(self.data))
        return f"{found.high:016x}{found.low:016x}"


ALGORITHMS = {"sha256": hashlib.sha256}
try:
    import xxhash
    ALGORITHMS["xxh3-128"] = xxhash.xxh3_128
except ImportError:
    if Xxh3OfLibrary.library is not None:
        ALGORITHMS["xxh3-128"] = Xxh3OfLibrary


def tensor_digest(data, new=hashlib.sha256):
    return new(data).hexdigest()


def content_digest(tensors, new=hashlib.sha256):
    """Of a list of (name, dtype, sizes, elements in C order, little-endian)."""
    def u64(number):
        return number.to_bytes(8, "little")

    def counted(data):
        return u64(len(data)) + data

    total = new(b"rushlight content digest 1\n" + u64(len(tensors)))
    for name, dtype, sizes, data in sorted(tensors, key=lambda tensor: tensor[0].encode()):
        total.update(counted(name.encode()) + counted(dtype.encode()) + u64(len(sizes)))
        for size in sizes:
            total.update(u64(size))
        total.update(counted(tensor_digest(data, new).encode()))
    return total.hexdigest()


def main():
    program, folder = sys.argv[1], pathlib.Path(sys.argv[2])
    vector = json.loads((folder / "digest.json").read_text(encoding="utf-8"))
    tensors = [(row["name"], row["dtype"], row["shape"], bytes.fromhex(row["elements"])) for row in vector["tensors"]]
    problems = []
    compared = 0
    for algorithm in ("sha256", "xxh3-128"):
        new = ALGORITHMS.get(algorithm)
        if new is None:
            print(f"SKIPPED: {algorithm}: neither the module xxhash nor libxxhash is there")
            continue
        if content_digest(tensors, new) != vector["content_digest"][algorithm]:
            problems.append(f"{algorithm}: the vector is another")
        for row, (name, _, _, data) in zip(vector["tensors"], tensors):
            if tensor_digest(data, new) != row[algorithm]:
                problems.append(f"{algorithm}: {name}: the vector is another")
        for file in vector["files"]:
            done = subprocess.run([program, "hash", folder / file, "--algo", algorithm, "--json"], capture_output=True,
                                  text=True, timeout=60)
            report = json.loads(done.stdout)
            if report.get("error") == "unsupported":
                print(f"SKIPPED: {algorithm}: the program was built without it")
                break
            compared += 1
            if report["content_digest"] != content_digest(tensors, new):
                problems.append(f"{algorithm}: {file}: {report['content_digest']}")
            digests = {tensor["name"]: tensor["digest"] for tensor in report["tensors"]}
            if digests != {name: tensor_digest(data, new) for name, _, _, data in tensors}:
                problems.append(f"{algorithm}: {file}: {digests}")
    print(f"{compared} digests compared, problems: {problems or 'none'}")
    return 1 if problems or not compared else 0


if __name__ == "__main__":
    sys.exit(main())
