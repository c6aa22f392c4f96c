#!/usr/bin/env python3
"""NumPy reads the .npz files of a folder as what stands in the .npy files beside them, and writes the same bytes.

    compare_npz.py FOLDER

FOLDER/N.npz and N.compressed.npz hold the arrays NAME of N/NAME.npy. The bytes are compared where Python's zipfile writes
what it does today (since 3.11.4).
"""
import io
import pathlib
import sys
import zipfile

import numpy as np

folder = pathlib.Path(sys.argv[1])
problems = []
count = 0
for file in sorted(folder.glob("*.npz")):
    count += 1
    stored = not file.name.endswith(".compressed.npz")
    expected = {path.name[:-4]: np.load(path) for path in (folder / file.name.split(".")[0]).glob("*.npy")}
    if zipfile.ZipFile(file).testzip() is not None:
        problems.append(f"{file.name}: a CRC does not fit")
    with np.load(file, allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
    if set(found) != set(expected):
        problems.append(f"{file.name}: names {sorted(found)} instead of {sorted(expected)}")
    for name in found:
        a, b = found[name], expected.get(name)
        if b is None or a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
            problems.append(f"{file.name}: {name} differs")
    if stored and sys.version_info >= (3, 11, 4):
        again = io.BytesIO()
        np.savez(again, **found)
        if again.getvalue() != file.read_bytes():
            problems.append(f"{file.name}: numpy.savez writes other bytes")
print(f"{count} files compared, problems: {problems or 'none'}")
sys.exit(bool(problems) or not count)
