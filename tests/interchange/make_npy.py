#!/usr/bin/env python3
"""Writes the arrays in npy/: what NumPy itself saves. The files in the tree were made with NumPy 1.24.2.

    make_npy.py npy

Element i (in C order) of every array of numbers is i - 2, of floats (i - 2) / 2, of complex numbers (i - 2) / 2 - i j,
of booleans i % 2 == 1; unsigned integers wrap.
"""
import pathlib
import sys

import numpy as np
from numpy.lib import format as npy

folder = pathlib.Path(sys.argv[1])
folder.mkdir(exist_ok=True)


def elements(dtype, shape):
    i = np.arange(int(np.prod(shape)), dtype=np.int64)
    kind = np.dtype(dtype).kind
    if kind == "b":
        values = i % 2 == 1
    elif kind == "f":
        values = (i - 2) / 2
    elif kind == "c":
        values = (i - 2) / 2 - 1j * i
    else:
        values = i - 2
    return values.astype(dtype).reshape(shape)


for code in ("?", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"):
    name = "b1" if code == "?" else code
    np.save(folder / f"{name}.npy", elements("<" + code, (2, 3)))
    if np.dtype(code).itemsize > 1:
        np.save(folder / f"{name}_big_endian.npy", elements(">" + code, (2, 3)))
np.save(folder / "fortran.npy", np.asfortranarray(elements("<f4", (2, 3, 4))))
np.save(folder / "fortran_big_endian.npy", np.asfortranarray(elements(">i4", (3, 2))))
np.save(folder / "vector.npy", elements("<f4", (5,)))
np.save(folder / "scalar.npy", elements("<f8", ()))
np.save(folder / "empty.npy", elements("<f4", (0, 7)))
np.save(folder / "many_dims.npy", elements("<i2", (1, 2, 1, 3, 1, 1, 2, 1, 1, 1)))
for version in ((2, 0), (3, 0)):
    with open(folder / f"version{version[0]}.npy", "wb") as file:
        npy.write_array(file, elements("<f4", (2, 3)), version=version)
