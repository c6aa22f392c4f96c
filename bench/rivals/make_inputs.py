#!/usr/bin/env python3
"""Makes the inputs of the load benchmarks with PyTorch.

    make_inputs.py DIR

dense.pt   a state dict of 64 float32 tensors, 1 GiB of random bytes
many.pt    20,000 tensors of 64 KiB, all zero; the file is sparse, so that it costs little disk
Both also as .safetensors where that package imports.
"""
import collections
import os
import pathlib
import shutil
import sys

import torch


def save(state, path: pathlib.Path, sparse: bool) -> None:
    torch.save(state, path)
    if sparse:
        punched = path.with_suffix(".sparse")
        os.system(f"cp --sparse=always '{path}' '{punched}'")
        shutil.move(punched, path)


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    dense = collections.OrderedDict((f"layer{i}.weight", torch.rand(2048, 2048)) for i in range(64))
    many = collections.OrderedDict((f"block{i // 8}.part{i % 8}.weight", torch.zeros(128, 128)) for i in range(20_000))
    for name, state, sparse in (("dense", dense, False), ("many", many, True)):
        path = folder / f"{name}.pt"
        if not path.exists():
            save(state, path, sparse)
        try:
            from safetensors.torch import save_file
        except ImportError:
            print("safetensors does not import: its inputs are skipped")
            continue
        if not path.with_suffix(".safetensors").exists():
            save_file(dict(state), path.with_suffix(".safetensors"))
    print(*(f"{p.name} {p.stat().st_size}" for p in sorted(folder.iterdir())), sep="\n")


if __name__ == "__main__":
    main()
