#!/usr/bin/env python3
"""Packs the golden files and writes MANIFEST.json.

    pack.py TESTDATA_DIR [SET ...]    TESTDATA_DIR holds fashion/, format/, images/, torch-releases/ with their READMEs, and what
                                      make_architectures.py, make_modules.py, make_numpy.py, make_operators.py and
                                      make_torchvision_modules.py write; nets/ is in architectures/

Given names, it packs those sets alone and leaves the others in the manifest as they are.
Each set becomes SET.tar.xz, the same bytes on every run; CMake unpacks them into <build>/golden. The manifest gives the
origin and the SHA-256 of every archive and of every file inside.
"""
import hashlib
import io
import json
import lzma
import pathlib
import sys
import tarfile

SETS = {
    "architectures": "torchvision 0.29.2's networks: names, shapes, outputs of PyTorch 2.15.0 (make_architectures.py)",
    "fashion": "Fashion-MNIST CNN trained with PyTorch 1.13.1; images MIT licence, Zalando Research",
    "format": "one small file per feature, PyTorch 2.15.0, torchvision 0.29.2, NumPy 2.4.6 (make_format_goldens.py)",
    "images": "synthetic pictures and their pixels, Pillow 13.0, PyTorch 2.15, torchvision 0.29 (make_image_vectors.py)",
    "modules-more": "whole modules that the set format leaves out, PyTorch 2.15.0, NumPy 2.4.6 (make_modules.py)",
    "nets": "ten small networks with weights, inputs and outputs, PyTorch 2.15.0 (make_architecture_vectors.py)",
    "numpy": "arrays and scalars of NumPy, PyTorch 1.13.0 with NumPy 1.24.2 and 2.15.0 with 2.4.6 (make_numpy.py)",
    "operators": "operators in their corner cases, PyTorch 2.15.0, torchvision 0.29.2 (make_operator_vectors.py)",
    "operators-more": "what the set operators leaves out, PyTorch 2.15.0, torchvision 0.29.2 (make_operators.py)",
    "torch-releases": "files written by 23 PyTorch releases from 1.0.1 to 2.15.0 (make_release_goldens.py)",
    "torchvision-modules": "data.pkl of 26 whole models of torchvision 0.29.2, PyTorch 2.15.0 (make_architecture_vectors.py)",
}

# Too large for the tree: the tests find them in the larger test data.
LEFT_OUT = {"operators/conv2d.pt", "operators/linear.pt"}


def pack(source: pathlib.Path, name: str) -> tuple[bytes, dict]:
    files = {}
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted((source / name).rglob("*")):
            relative = path.relative_to(source).as_posix()
            if path.is_dir() or path.is_symlink() or relative in LEFT_OUT:
                continue
            data = path.read_bytes()
            files[relative] = hashlib.sha256(data).hexdigest()
            entry = tarfile.TarInfo(relative)
            entry.size = len(data)
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(data))
    packed = lzma.compress(buffer.getvalue(), preset=9 | lzma.PRESET_EXTREME)
    return packed, files


def main() -> None:
    source = pathlib.Path(sys.argv[1])
    here = pathlib.Path(__file__).parent
    before = json.loads((here / "MANIFEST.json").read_text())["sets"]
    manifest = {"schema": 1, "sets": []}
    for name, origin in SETS.items():
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            manifest["sets"] += [entry for entry in before if entry["name"] == name]
            continue
        packed, files = pack(source, name)
        archive = here / f"{name}.tar.xz"
        archive.write_bytes(packed)
        manifest["sets"].append({"name": name, "archive": archive.name, "origin": origin, "size_bytes": len(packed),
                                 "sha256": hashlib.sha256(packed).hexdigest(), "files": files})
    (here / "MANIFEST.json").write_text(json.dumps(manifest, indent=1) + "\n")


if __name__ == "__main__":
    main()
