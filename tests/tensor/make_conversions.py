#!/usr/bin/env python3
"""Writes conversions.txt: what torch makes of special values, for every pair of dtypes it converts.

    make_conversions.py > conversions.txt

Each pair is three lines: "float64 int8", the elements before and the elements after, as bytes in hexadecimal. The file
in the tree was made with torch 1.13.1 on x86-64. Complex to bool is left out: 1.13 looks at the real part alone, later
releases at both.
"""
import math
import warnings

import torch

warnings.simplefilter("ignore")

REALS = [0.0, -0.0, 0.5, -0.5, 0.999, 1.0, 1.5, -1.5, 2.5, 127.0, 128.0, -128.0, -129.0, 255.0, 256.0, 300.0, -300.0,
         2049.0, 32767.0, 32768.0, -32769.0, 65503.9, 65519.99, 65519.9999999, 65520.0, 65536.0, 16777217.0,
         2147483647.0, 2147483648.0, -2147483648.0, -2147483649.0, 4294967295.0, 4294967296.0, 4294967301.0,
         -4294967301.0, 9007199254740993.0, 9.2233720368547e18, 9.3e18, -9.3e18, 1.9e19, 1e30, -1e30, 3.4e38, 1e39,
         1e-3, 6e-8, 5.9e-8, 2.9e-8, 1e-40, 1e-320, 3.3895313892515355e38, 1.00390625, 1.01171875,
         math.inf, -math.inf, math.nan]
INTEGERS = [0, 1, -1, 2, 127, 128, -128, -129, 255, 256, 257, 2047, 2049, 2051, 32767, 32768, -32768, -32769, 65504,
            65519, 65520, 65535, 65536, 16777217, 16777219, -16777217, 2147483647, 2147483648, -2147483648, -2147483649,
            4294967295, 4294967296, 4294967301, 9007199254740993, 4611686018427387905, 9223372036854775807,
            -9223372036854775808, 36028797018963969, 36028797018963970]
DTYPES = {name: getattr(torch, name) for name in
          ("bool", "uint8", "int8", "int16", "int32", "int64", "float16", "bfloat16", "float32", "float64", "complex64",
           "complex128")}


def elements(name, dtype):
    if name == "bool":
        return torch.tensor([False, True])
    if dtype.is_complex:
        reals = torch.tensor(REALS, dtype=torch.float64)
        return torch.complex(reals, reals.flip(0)).to(dtype)
    if dtype.is_floating_point:
        return torch.tensor(REALS, dtype=torch.float64).to(dtype)
    info = torch.iinfo(dtype)
    return torch.tensor(sorted({v for v in INTEGERS if info.min <= v <= info.max}), dtype=dtype)


def raw(tensor):
    if tensor.is_complex():
        tensor = torch.view_as_real(tensor)
    if tensor.dtype == torch.bfloat16:
        return tensor.contiguous().view(torch.int16).numpy().tobytes().hex()
    return tensor.contiguous().numpy().tobytes().hex()


for source, source_dtype in DTYPES.items():
    before = elements(source, source_dtype)
    for target, target_dtype in DTYPES.items():
        if source == target or (source_dtype.is_complex and target == "bool"):
            continue
        print(source, target)
        print(raw(before))
        print(raw(before.to(target_dtype)))
