#!/usr/bin/env python3
"""Writes conversions.txt: what torch's Tensor.to makes of every kind of value, for every pair of dtypes it converts.

    make_conversions.py > conversions.txt

Needs torch 2.15 or later, numpy and xxhash, on x86-64 with AVX2. The values are those of conversion_values.hpp, made
here a second time; the digests of the values themselves, at the head of the file, show whether both agree.
"""
import platform
import sys
import warnings

import numpy as np
import torch
import xxhash

warnings.simplefilter("ignore")  # complex to real, and that complex32 is experimental

DTYPES = {name: getattr(torch, name) for name in (
    "bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float16", "bfloat16", "float32",
    "float64", "complex32", "bcomplex32", "complex64", "complex128", "float8_e5m2", "float8_e4m3fn", "float8_e5m2fnuz",
    "float8_e4m3fnuz", "float8_e8m0fnu")}
# Targets of which torch does not say which NaN comes out: it differs between instruction sets and between dense and
# strided sources. The 16-bit codes of their infinity.
ANY_NAN = {"float16": 0x7C00, "bfloat16": 0x7F80, "complex32": 0x7C00, "bcomplex32": 0x7F80}

EXAMPLES = [
    ("float32", "uint8", [-1.0, -1.9, 255.9, 256.0, 300.0, 1e10, float("inf"), float("nan")]),
    ("float32", "int8", [128.0, -129.0, 2147483520.0, 2147483648.0, float("-inf"), float("nan")]),
    ("float32", "uint16", [-1.0, 65536.0, 4294967296.0 + 512, float("nan")]),
    ("float32", "int32", [0.9, -0.9, 2147483648.0, -2147483648.0, float("inf"), float("nan")]),
    ("float32", "uint32", [-1.0, 4294967040.0, 4294967296.0 + 512, float("nan")]),
    ("float64", "int64", [-1.5, 2.0**63, -2.0**63, float("nan")]),
    ("float64", "uint64", [-1.0, 2.0**63, 2.0**64 - 2048, 2.0**64, float("inf"), float("-inf"), float("nan")]),
    ("float64", "float16", [65519.99, 65519.9999999, 65520.0, 2.0**-25, 6e-8, float("-inf")]),
    ("float32", "bfloat16", [1.00390625, 1.01171875, 3.4e38]),
    ("float32", "float8_e5m2", [0.1, 57344.0, 61439.0, 61440.0, 2.0**-17, 2.0**-16, float("inf"), float("nan")]),
    ("float32", "float8_e4m3fn", [0.1, -0.0, 448.0, 464.0, 465.0, 1e9, 2.0**-10, float("-inf"), float("nan")]),
    ("float32", "float8_e5m2fnuz", [-0.0, -1e-9, 57344.0, 61440.0, float("inf"), float("nan")]),
    ("float32", "float8_e4m3fnuz", [-0.0, 240.0, 247.0, 248.0, float("inf")]),
    ("float32", "float8_e8m0fnu", [0.0, 1.0, -1.0, 1.49, 1.5, 3.0, 2.0**-127, 1.5 * 2.0**-127, 3.4e38, float("inf")]),
    ("int64", "float8_e4m3fn", [17, 19, -464, 465]),
    ("int64", "float32", [16777217, 16777219, 2**63 - 1]),
    ("int32", "uint8", [-1, 256, 511]),
    ("int64", "bool", [0, 256]),
    ("float32", "bool", [0.0, -0.0, 1e-40, float("nan")]),
    ("complex64", "bool", [0j, 1j, complex(0, float("nan"))]),
    ("complex64", "float32", [3 - 4j]),
    ("float32", "complex64", [3.0]),
    ("float16", "complex32", [-1.5]),
    ("complex128", "bcomplex32", [1 + 1e39j]),
]


# --- the values, as in conversion_values.hpp ---

def flat(*arrays):
    return np.concatenate([np.asarray(array).reshape(-1) for array in arrays])


def unsigned(dtype, values):
    """Python integers, modulo 2^n."""
    bits = np.dtype(dtype).itemsize * 8
    return np.array([value % (1 << bits) for value in values], dtype)


def half_ties():
    """Halfway between each positive half and the next, 65520 at the end; as doubles."""
    halves = np.arange(0x7C00, dtype=np.uint16).view(np.float16).astype(np.float64)
    return (halves + np.append(halves[1:], 65536.0)) / 2


def quarters():
    return np.concatenate([np.arange(*span) for span in ((0, 1300), (131040, 131108), (262112, 262180))]) * 0.25


def with_neighbours(bits):
    return bits[:, None] + unsigned(bits.dtype, (-1, 0, 1))


def with_signs(bits):
    top = bits.dtype.type(1 << (bits.dtype.itemsize * 8 - 1))
    return flat(bits)[:, None] ^ np.array([0, top], bits.dtype)


def noise():
    state, values = 1, []
    for _ in range(4096):
        state = (state * 6364136223846793005 + 1442695040888963407) % (1 << 64)
        values.append(state)
    return np.array(values, np.uint64)


def float32_values():
    upper = np.arange(65536, dtype=np.uint32) << 16
    lower = np.array([0, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF], np.uint32)
    return flat(upper[:, None] | lower,
                with_signs(with_neighbours(half_ties().astype(np.float32).view(np.uint32))),
                with_signs(quarters().astype(np.float32).view(np.uint32)))


def float64_values():
    upper = np.arange(65536, dtype=np.uint32)
    upper = upper[(upper & 0x7FFF) < 0x7F80] << 16  # not infinity, not NaN
    numbers = (upper[:, None] | np.array([0, 0x8000], np.uint32)).reshape(-1)
    limits = [float(1 << k) + step for k in range(65) for step in (-1.0, -0.5, 0.0, 0.5, 1.0)]
    exponents = np.arange(4096, dtype=np.uint64) << np.uint64(52)
    mantissas = np.array([0, 1, 1 << 28, (1 << 28) + 1, (1 << 29) - 1, (1 << 51) - 1, 1 << 51, (1 << 51) + 1,
                          (1 << 52) - 1], np.uint64)
    return flat(with_neighbours(numbers.view(np.float32).astype(np.float64).view(np.uint64)),
                with_signs(with_neighbours(half_ties().view(np.uint64))),
                with_signs(quarters().view(np.uint64)),
                with_signs(np.array(limits).view(np.uint64)),
                exponents[:, None] | mantissas,
                noise())


def integer_values(dtype):
    bits = np.dtype(dtype).itemsize * 8
    values = list(range(-70000, 70000))
    for k in range(bits):
        for mantissa in range(256 if k >= 8 else 1):
            base = (1 << k) + (mantissa << k >> 8)
            steps = [-1, 0, 1]
            if k >= 25:
                steps += [-(1 << (k - 25)), 1 << (k - 25), 2 << (k - 25), 3 << (k - 25)]
            for step in steps:
                values += [base + step, -(base + step)]
    return flat(unsigned(dtype, values), (noise() >> np.uint64(64 - bits)).astype(dtype))


def paired(parts):
    return np.stack([parts, np.roll(parts, -12345)], axis=1).reshape(-1)


def values_of(name):
    """The elements as unsigned codes, those of complex numbers one part after the other."""
    size = DTYPES[name].itemsize
    if name == "bool":
        return np.arange(2, dtype=np.uint8)
    if size == 1:
        return np.arange(256, dtype=np.uint8)
    if size == 2:
        return np.arange(65536, dtype=np.uint16)
    if name in ("complex32", "bcomplex32"):
        code = np.arange(65536, dtype=np.uint32)
        return np.stack([code, (code * 40503 + 1) & 0xFFFF], axis=1).astype(np.uint16).reshape(-1)
    if name == "float32":
        return float32_values()
    if name == "float64":
        return float64_values()
    if name == "complex64":
        return paired(float32_values())
    if name == "complex128":
        return paired(float64_values())
    return integer_values(np.dtype(f"uint{8 * size}"))


# --- conversion and its digest ---

def as_tensor(codes, dtype):
    return torch.from_numpy(codes.view(np.uint8).copy()).view(dtype)


def strided(tensor):
    """The same elements with gaps between them: torch then converts one element at a time."""
    raw = tensor.view(torch.uint8).view(-1, tensor.element_size())
    return torch.stack([raw, torch.zeros_like(raw)], dim=1).reshape(-1).view(tensor.dtype)[::2]


def raw(tensor):
    return tensor.contiguous().view(torch.uint8).numpy().copy()


def canonical(codes, name):
    """One NaN for all, where torch does not say which."""
    if name in ANY_NAN:
        words = codes.view(np.uint16)
        words[(words & 0x7FFF) > ANY_NAN[name]] = 0x7FFF
    return codes


def fits_uint32(tensor):
    real = tensor.real if tensor.is_complex() else tensor
    real = real.to(torch.float64)
    return ((real > -2.0**31 - 1) & (real < 2.0**32)).numpy()


def convert(tensor, target):
    """What torch gives for a strided source; for a dense one it has to give the same."""
    found = canonical(raw(strided(tensor).to(DTYPES[target])), target)
    dense = canonical(raw(tensor.to(DTYPES[target])), target)
    same = found == dense
    if target == "uint32" and (tensor.is_complex() or tensor.is_floating_point()):
        # Here alone torch differs from itself: what does not fit depends on where the element stands.
        same = same.reshape(-1, 4).all(axis=1) | ~fits_uint32(tensor)
    if not same.all():
        sys.exit(f"{tensor.dtype} to {target}: torch's results depend on the strides")
    return found


def digest(codes):
    return xxhash.xxh3_128_hexdigest(codes.tobytes())


def main():
    if platform.machine() not in ("x86_64", "AMD64") or torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        sys.exit("what becomes of floats that fit no integer depends on the processor: x86-64 with AVX2 is wanted")
    print(f"# Made by make_conversions.py with torch {torch.__version__.split('+')[0]} on x86-64. Do not edit.")
    print("#")
    print("# values SOURCE COUNT XXH3-128           the values of conversion_values.hpp")
    print("# converted SOURCE TARGET XXH3-128       what Tensor.to makes of them, in C order")
    print("# example SOURCE TARGET BEFORE AFTER     one element, its bytes in hexadecimal; then the same for people")
    print("#")
    print("# In float16, bfloat16, complex32 and bcomplex32 every NaN counts as 0x7fff: torch's own differ. To uint32")
    print("# sources are strided: in dense ones what does not fit depends on where the element stands.")
    tensors = {}
    for source, dtype in DTYPES.items():
        codes = values_of(source)
        tensors[source] = as_tensor(codes, dtype)
        print("values", source, tensors[source].numel(), digest(codes))
    for source, tensor in tensors.items():
        for target in DTYPES:
            if target != source:
                print("converted", source, target, digest(convert(tensor, target)))
    for source, target, numbers in EXAMPLES:
        for number in numbers:
            before = torch.tensor([number], dtype=DTYPES[source])
            after = before.to(DTYPES[target])
            print("example", source, target, raw(before).tobytes().hex(), raw(after).tobytes().hex(), "#",
                  before.item(), "->", after.item())


main()
