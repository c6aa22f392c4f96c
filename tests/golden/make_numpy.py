#!/usr/bin/env python3
"""Writes the golden set `numpy`: arrays and scalars of NumPy in files of torch.save.

    make_numpy.py TESTDATA_DIR DESCRIBE    DESCRIBE is describe_checkpoint.py, which writes FILE.expect.json

Run it once with each PyTorch: files go to TESTDATA_DIR/numpy/torch-VERSION. The same versions write the same bytes,
but for the serialization id of the archives.
"""
import collections
import pathlib
import subprocess
import sys

import numpy
import torch


def values():
    """Every dtype in both byte orders, every form of a scalar, every order of elements."""
    made = collections.OrderedDict(weight=torch.arange(6.0).reshape(2, 3))
    for code in ("b1", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "f2", "f4", "f8", "c8", "c16"):
        plain = numpy.array([[0, 1, 2], [3, 4, 5]]).astype(code)
        made["little_" + code] = plain.astype("<" + code)
        made["big_" + code] = plain.astype(">" + code)
        made["scalar_" + code] = plain.dtype.type(1)
    made["fortran"] = numpy.asfortranarray(numpy.arange(24, dtype="<i4").reshape(2, 3, 4))
    made["permuted"] = numpy.arange(24, dtype=">f4").reshape(2, 3, 4).transpose(1, 0, 2)
    made["strided"] = numpy.arange(24, dtype="<i2").reshape(4, 6)[::2, 1::3]
    made["reversed"] = numpy.arange(5, dtype="<f8")[::-1]
    made["no_dims"] = numpy.array(2.5, "<f4")
    made["no_elements"] = numpy.zeros((3, 0, 2), "<f4")
    made["texts"] = numpy.array([["a", "größe"], ["", "x"]])
    made["big_texts"] = numpy.array(["a", "bc"], ">U2")
    made["bytes"] = numpy.array([b"ab", b"c"])
    made["void"] = numpy.frombuffer(b"abcdef", "V3")
    made["days"] = numpy.array(["2020-01-02", "NaT"], "M8[D]")
    made["spans"] = numpy.array([1, 2], ">m8[25s]")
    made["fields"] = numpy.array([(1, [2, 3], b"x")], [("a", ">i4"), ("b", "<f8", (2,)), ("c", "S3")])
    made["nested_fields"] = numpy.array([((1, 2), 3)], [("in", [("x", "<i2"), ("y", "u1")]), ("z", "<f4")])
    made["objects"] = numpy.array([[1, "two"], [None, 4.5]], object)
    made["itself"] = numpy.array([1, None], object)
    made["itself"][1] = made["itself"]
    made["text"] = numpy.str_("größe")
    made["byte_text"] = numpy.bytes_(b"ab")
    made["day"] = numpy.datetime64("2020-01-02")
    made["shared"] = [made["fortran"], made["fortran"]]
    return made


def training_checkpoint():
    """As trainers write it: a state dict beside a best score and the state of random generators."""
    numpy.random.seed(7)
    return {
        "epoch": 3,
        "best_acc": numpy.float64(0.875),
        "state_dict": torch.nn.Linear(2, 3).state_dict(),
        "confusion": numpy.arange(9).reshape(3, 3),
        "rng": {"numpy": numpy.random.get_state(), "torch": torch.get_rng_state()[:16]},
        "generator": numpy.random.RandomState(7),
    }


def main():
    top, describe = pathlib.Path(sys.argv[1]), sys.argv[2]
    folder = top / "numpy" / ("torch-" + torch.__version__.split("+")[0])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    files = [("values.protocol%d.pt" % protocol, values, {"pickle_protocol": protocol}) for protocol in (2, 3, 4, 5)]
    files += [("values.legacy.pt", values, {"_use_new_zipfile_serialization": False}),
              ("training.pt", training_checkpoint, {})]
    for name, make, options in files:
        file = folder / name
        torch.save(make(), str(file), **options)
        subprocess.run([sys.executable, describe, str(file), "-o", str(file) + ".expect.json"], check=True)


if __name__ == "__main__":
    main()
