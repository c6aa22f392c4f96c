#!/usr/bin/env python3
"""Writes the files in safetensors/: what the safetensors package itself saves, and MANIFEST.json about them.

    make_safetensors.py safetensors

Byte i of the elements of every tensor is i % 251, of booleans i % 2. safetensors_writer_test.cpp makes the same tensors
and compares the bytes.
"""
import hashlib
import json
import pathlib
import sys

import safetensors
import torch
from safetensors.torch import save

folder = pathlib.Path(sys.argv[1])
folder.mkdir(exist_ok=True)


def tensor(dtype, shape):
    count = 1
    for size in shape:
        count *= size
    width = 2 if dtype == torch.bool else 251
    data = torch.tensor([i % width for i in range(count * dtype.itemsize)], dtype=torch.uint8)
    return data.view(dtype).reshape(shape) if count else torch.empty(shape, dtype=dtype)


DTYPES = ("bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32 float64 complex64 float8_e5m2 "
          "float8_e4m3fn float8_e5m2fnuz float8_e4m3fnuz float8_e8m0fnu float4_e2m1fn_x2").split()
files = {
    # Two names a dtype, so that both keys of the order are seen.
    "dtypes": ({f"{letter}.{name}": tensor(getattr(torch, name), (2, 4)) for letter in "ba" for name in DTYPES}, None),
    "names": ({name: tensor(torch.float32, shape) for name, shape in (
        ("b\"q\\\n\t\x7f\x01é\u2028/😀", (2,)), ("B", ()), ("a", (0, 3)), ("", (1,)), ("é", (1,)), ("aa", (2, 2)))},
        {"fo\"r\nmat": "p\x00t\x1fé\b\f\r/\\"}),
    "strided": ({"transposed": tensor(torch.int16, (3, 4)).T.contiguous(),
                 "every_other": tensor(torch.uint8, (10,))[::2].contiguous(),
                 "expanded": tensor(torch.float64, (1, 3)).expand(4, 3).contiguous(),
                 "conj": tensor(torch.complex64, (3,)).conj().resolve_conj(),
                 "shared": tensor(torch.int16, (3, 4)).clone()}, {"format": "pt"}),
    "empty": ({}, None),
}
hashes = {}
for name, (tensors, metadata) in files.items():
    data = save(tensors, metadata)
    (folder / f"{name}.safetensors").write_bytes(data)
    hashes[f"{name}.safetensors"] = hashlib.sha256(data).hexdigest()
manifest = {"script": "tests/interchange/make_safetensors.py", "safetensors": safetensors.__version__,
            "torch": torch.__version__.split("+")[0], "sha256": hashes}
(folder / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n")
