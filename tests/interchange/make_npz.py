#!/usr/bin/env python3
"""Writes the files in npz/: what numpy.savez itself saves, and MANIFEST.json about them.

    make_npz.py npz

Byte i of the elements of every array is i % 251, of booleans i % 2, counted in C order. npz_writer_test.cpp makes the
same arrays and compares the bytes.
"""
import hashlib
import json
import pathlib
import platform
import sys

import numpy as np

folder = pathlib.Path(sys.argv[1])
folder.mkdir(exist_ok=True)


def array(code, shape):
    dtype = np.dtype(code)
    width = 2 if code == "?" else 251
    count = int(np.prod(shape)) * dtype.itemsize
    return np.array([i % width for i in range(count)], dtype=np.uint8).view(dtype).reshape(shape)


files = {
    "dtypes": {code: array(code, (2, 3)) for code in "? u1 i1 u2 i2 u4 i4 u8 i8 f2 f4 f8 c8 c16".split()},
    "layouts": {"transposed": array("<f4", (3, 4)).T, "permuted": array("<i2", (2, 3, 4)).transpose(1, 0, 2),
                "scalar": array("<f8", ()), "no elements": array("<f4", (0, 7)).T, "layer.1/weight": array("<f4", (1, 5)),
                "é": array("<i8", (130,))},
    "nothing": {},
}
hashes = {}
for name, arrays in files.items():
    np.savez(folder / f"{name}.npz", **arrays)
    hashes[f"{name}.npz"] = hashlib.sha256((folder / f"{name}.npz").read_bytes()).hexdigest()
manifest = {"script": "tests/interchange/make_npz.py", "numpy": np.__version__, "python": platform.python_version(),
            "sha256": hashes}
(folder / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n")
