#!/usr/bin/env python3
"""Unpacks the pickles of whole torchvision modules for pack.py.

    make_torchvision_modules.py TESTDATA_DIR OUT_DIR     TESTDATA_DIR holds architectures/; writes OUT_DIR/torchvision-modules
"""
import gzip
import pathlib
import sys


def main() -> None:
    source = pathlib.Path(sys.argv[1]) / "architectures"
    out = pathlib.Path(sys.argv[2]) / "torchvision-modules"
    out.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.module.pkl.gz")):
        arch = path.name.removesuffix(".module.pkl.gz")
        (out / f"{arch}.pkl").write_bytes(gzip.decompress(path.read_bytes()))
        (out / f"{arch}.json").write_bytes((source / f"{arch}.module.json").read_bytes())


if __name__ == "__main__":
    main()
