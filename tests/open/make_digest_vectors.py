#!/usr/bin/env python3
"""Writes format-spec/vectors/digest.*: the same named tensors in four containers, and what their digests are.

    make_digest_vectors.py format-spec/vectors

Needs torch (with complex64), NumPy, safetensors, and the XXH3 of libxxhash. The files hold the tensors in other orders,
with other strides, and with shared storages; digest.json has the elements in C order, and digests computed by
content_digest.py beside this script, which knows nothing of Rushlight. Made with PyTorch 2.15, safetensors 0.8.0 and
NumPy 2.4.
"""
import json
import pathlib
import sys

import numpy as np
import torch
from safetensors.torch import save_file

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from content_digest import ALGORITHMS, content_digest, tensor_digest  # noqa: E402

folder = pathlib.Path(sys.argv[1])
matrix = torch.arange(12, dtype=torch.float32).reshape(3, 4) / 8 - 0.5
tensors = {
    "layer.weight": matrix.T,  # strided
    "tied.weight": matrix.T,
    "layer.bias": torch.tensor([0.0, -0.0, float("inf")], dtype=torch.float16),
    "épaule": torch.tensor([[7, -7]], dtype=torch.int64).expand(2, 2),
    "flags": torch.tensor([[0, 1, 2, 255]], dtype=torch.uint8).view(torch.bool),  # True is any byte but 0
    "phase": torch.tensor([1 + 2j, 3 - 4j], dtype=torch.complex64).conj(),
    "steps": torch.tensor(41, dtype=torch.int32),
    "nothing": torch.zeros(2, 0, dtype=torch.float64),
}
numbers = {name: np.array(t.resolve_conj().contiguous().numpy()) for name, t in tensors.items()}
numbers["flags"] = np.array([[False, True, True, True]])
plain = {name: torch.from_numpy(array.copy()) for name, array in numbers.items()}

torch.save(tensors, folder / "digest.pt")
torch.save(dict(sorted(tensors.items())), folder / "digest.legacy.pt", _use_new_zipfile_serialization=False)
save_file(plain, folder / "digest.safetensors")
np.savez(folder / "digest.npz", **{name: np.asfortranarray(a) if a.ndim else a for name, a in reversed(numbers.items())})

rows = [{"name": name, "dtype": str(plain[name].dtype).split(".")[1], "shape": list(array.shape),
         "elements": array.tobytes().hex()} for name, array in sorted(numbers.items())]
listed = [(row["name"], row["dtype"], row["shape"], bytes.fromhex(row["elements"])) for row in rows]
for algorithm, new in ALGORITHMS.items():
    for row, (_, _, _, data) in zip(rows, listed):
        row[algorithm] = tensor_digest(data, new)
vector = {"tensors": rows,
          "content_digest": {algorithm: content_digest(listed, new) for algorithm, new in ALGORITHMS.items()},
          "files": ["digest.pt", "digest.legacy.pt", "digest.safetensors", "digest.npz"]}
(folder / "digest.json").write_text(json.dumps(vector, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
