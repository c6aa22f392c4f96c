#!/usr/bin/env python3
"""torch.load reads files with a manifest and a signature as it reads them without.

    manifest.py PROGRAM GOLDEN_DIR
"""
import pathlib
import subprocess
import sys
import tempfile

import torch

PROGRAM, GOLDEN = sys.argv[1], pathlib.Path(sys.argv[2])
# Whole files of weights_only=True, all dtypes and layouts among them.
FILES = ["fashion/fashion_cnn.pt", "fashion/fashion_ckpt.pt"]


def flat(value, out):
    if isinstance(value, torch.Tensor):
        out.append(value)
    elif isinstance(value, dict):
        for key in value:
            flat(value[key], out)
    elif isinstance(value, (list, tuple)):
        for item in value:
            flat(item, out)
    return out


def same(a, b):
    a, b = flat(a, []), flat(b, [])
    assert len(a) == len(b) > 0
    for one, other in zip(a, b):
        assert one.dtype == other.dtype and one.stride() == other.stride() and torch.equal(one, other)


def load_all_ways(path):
    yield torch.load(path, weights_only=True)
    try:
        from torch.utils.serialization import config
    except ImportError:
        return
    yield torch.load(path, weights_only=True, mmap=True)
    if hasattr(config.load, "calculate_storage_offsets"):
        config.load.calculate_storage_offsets = True
        try:
            yield torch.load(path, weights_only=True)
            yield torch.load(path, weights_only=True, mmap=True)
        finally:
            config.load.calculate_storage_offsets = False


def rushlight(*words):
    subprocess.run([PROGRAM, *map(str, words), "-q"], check=True, timeout=60)


def main():
    loads = 0
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        own = folder / "own.pt"
        torch.save({"a": torch.arange(6.0).reshape(2, 3).t(), "b": torch.zeros(0), "n": [torch.ones(2_000_000)]}, own)
        for file in [own] + [GOLDEN / f for f in FILES]:
            try:
                plain = torch.load(file, weights_only=True)
            except Exception as error:  # as 1.13 refuses opcodes of optimizers
                assert file != own
                print(f"{file.name}: torch {torch.__version__} refuses it as it is: {str(error)[-40:]}")
                continue
            made = [folder / "xxh3.pt"]
            rushlight("manifest", file, "-o", made[0], "--force")
            try:
                subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", folder / "key.pem"], check=True,
                               capture_output=True)
                has_openssl = True
            except (OSError, subprocess.CalledProcessError):
                has_openssl = False
            if has_openssl:
                made += [folder / "sha256.pt", folder / "signed.pt"]
                rushlight("manifest", file, "--sha256", "-o", made[1], "--force")
                rushlight("sign", made[1], "--key", folder / "key.pem", "-o", made[2], "--force")
            for path in made:
                for loaded in load_all_ways(path):
                    same(plain, loaded)
                    loads += 1
            # What torch writes again has no manifest, and is not bad for it.
            torch.save(torch.load(made[0], weights_only=True), folder / "again.pt")
            rushlight("verify", folder / "again.pt")
    print(f"torch {torch.__version__} loads {loads} files with manifest and signature")


main()
