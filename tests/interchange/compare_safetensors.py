#!/usr/bin/env python3
"""The safetensors package reads every file of a folder, and writes its tensors again as the same bytes.

    compare_safetensors.py FOLDER
"""
import pathlib
import sys

from safetensors import safe_open
from safetensors.torch import load_file, save

files = sorted(pathlib.Path(sys.argv[1]).glob("*.safetensors"))
different = []
for file in files:
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    if save(load_file(file), metadata) != file.read_bytes():
        different.append(file.name)
print(f"{len(files)} files compared, different: {different or 'none'}")
sys.exit(bool(different) or not files)
