#!/usr/bin/env python3
"""What `rushlight diff` measures of random pairs of arrays, against NumPy.

    diff_numpy.py PROGRAM
"""
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

FILES, ARRAYS = 25, 40
DTYPES = "f2 f4 f8 i1 u1 i2 u2 i4 u4 i8 u8 ? c8 c16".split()
INTEGER = {2: np.int16, 4: np.int32, 8: np.int64}
random = np.random.default_rng(17)


def numbers(code):
    count = int(random.integers(1, 200))
    dtype = np.dtype(code)
    if dtype.kind in "fc":
        parts = count * (2 if dtype.kind == "c" else 1)
        part = np.dtype(f"f{dtype.itemsize // (2 if dtype.kind == 'c' else 1)}")
        values = (random.standard_normal(parts) * 10.0 ** random.integers(-4, 4, parts)).astype(part)
        for special in (0.0, -0.0, np.inf, -np.inf, np.nan, np.finfo(part).smallest_subnormal):
            values[random.random(parts) < 0.02] = special
        return values.view(dtype)
    if code == "?":
        return random.random(count) < 0.5
    least, most = np.iinfo(dtype).min, np.iinfo(dtype).max
    return random.integers(least, most, count, dtype=dtype, endpoint=True)


def places(values):
    """Floats as integers in their order, both zeros 0."""
    bits = values.view(INTEGER[values.dtype.itemsize])
    magnitude = bits & np.iinfo(bits.dtype).max
    return [-int(m) if b < 0 else int(m) for b, m in zip(bits, magnitude)]


def expected(a, b):
    unequal = np.array([x.tobytes() != y.tobytes() for x, y in zip(a, b)])
    result = {"elements": len(a), "different": int(unequal.sum())}
    if a.dtype.kind in "biu":
        wide = [(int(x), int(y)) for x, y in zip(a, b)]
        result["max_abs"] = float(max(abs(x - y) for x, y in wide))
        return result
    nan = unequal & (np.isnan(a) | np.isnan(b))
    result["nan"] = int(nan.sum())
    measured = unequal & ~nan
    if not measured.any():
        result["max_abs"] = result["max_ulp"] = None
        return result
    wide = np.complex128 if a.dtype.kind == "c" else np.float64
    with np.errstate(all="ignore"):
        # Part by part: parts with the same bits are no distance apart, infinities too.
        def distance(x, y):
            d = np.abs(x.astype(np.float64) - y.astype(np.float64))
            return np.where(x.view(INTEGER[x.dtype.itemsize]) == y.view(INTEGER[y.dtype.itemsize]), 0.0, d)
        if wide is np.complex128:
            distances = np.hypot(distance(np.ascontiguousarray(a.real), np.ascontiguousarray(b.real)),
                                 distance(np.ascontiguousarray(a.imag), np.ascontiguousarray(b.imag)))
        else:
            distances = distance(a, b)
        result["max_abs"] = float(distances[measured].max())
        x, y = a.astype(wide), b.astype(wide)
        if np.isfinite(x).all() and np.isfinite(y).all() and np.linalg.norm(x) > 0 and np.linalg.norm(y) > 0:
            result["rel_l2"] = float(np.linalg.norm(y - x) / np.linalg.norm(x))
            result["cosine"] = float(np.vdot(x, y).real / (np.linalg.norm(x) * np.linalg.norm(y)))
    part = np.dtype(f"f{a.dtype.itemsize // 2}") if a.dtype.kind == "c" else a.dtype
    width = a.dtype.itemsize // part.itemsize
    ulp = np.array([abs(p - q) for p, q in zip(places(a.view(part)), places(b.view(part)))], dtype=object)
    result["max_ulp"] = max(int(max(ulp[i * width:(i + 1) * width])) for i in np.flatnonzero(measured))
    return result


def agrees(found, wanted):
    if isinstance(found, str):
        found = float({"Infinity": "inf", "-Infinity": "-inf", "NaN": "nan"}.get(found, found))
    if wanted is None or found is None:
        return found is wanted
    return found == wanted or abs(found - wanted) <= 1e-12 * max(1.0, abs(wanted))


problems = []
compared = 0
with tempfile.TemporaryDirectory() as folder:
    for number in range(FILES):
        pairs = {}
        for i in range(ARRAYS):
            a = numbers(DTYPES[int(random.integers(len(DTYPES)))])
            b = a.copy()
            if i % 4:
                other = np.resize(numbers(a.dtype.str[1:] if a.dtype.kind != "b" else "?"), len(a))
                where = random.random(len(a)) < random.choice([0.05, 0.5, 1.0])
                b[where] = other[where]
            pairs[f"{i}.{a.dtype.name}"] = (a, b)
        paths = [pathlib.Path(folder) / f"{number}.{side}.npz" for side in "ab"]
        for side, path in enumerate(paths):
            np.savez(path, **{name: pair[side] for name, pair in pairs.items()})
        done = subprocess.run([sys.argv[1], "diff", *paths, "--json"], capture_output=True, text=True, timeout=60)
        report = json.loads(done.stdout)
        changed = {change["name"]: change for change in report["changed"]}
        for name, (a, b) in pairs.items():
            compared += 1
            if a.tobytes() == b.tobytes():
                if name in changed:
                    problems.append((name, "equal", changed[name]))
                continue
            wanted = expected(a, b)
            found = changed.get(name, {})
            wrong = {key: (found.get(key), value) for key, value in wanted.items() if not agrees(found.get(key), value)}
            if wrong:
                problems.append((number, name, wrong))
        if done.returncode != (1 if changed else 0):
            problems.append((number, "exit", done.returncode))
print(f"{compared} pairs compared, problems: {problems[:5] or 'none'}")
sys.exit(bool(problems) or compared != FILES * ARRAYS)
