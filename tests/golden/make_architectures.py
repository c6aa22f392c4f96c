#!/usr/bin/env python3
"""Writes the golden set `architectures`: what tests need of torchvision's networks, small enough for the tree.

    make_architectures.py VECTORS TESTDATA_DIR    VECTORS is the whole set, gigabytes of networks in 16 MB: its README
                                                  has the generator of weights, the rule of comparison, the format

Of every network its description (names, shapes, runs), in the same format; the float64 outputs of those runs that take
well under a second, pictures thinned out to every fourth row and eighth column. Descriptions name the other outputs too.
"""
import json
import pathlib
import shutil
import sys

import numpy

ONLY_SIZE = {"maxvit_t", "vit_b_32"}  # they take no smaller picture
EVERY = [1, 1, 4, 8]


def is_kept(name: str, run: dict) -> bool:
    batch, _, height, width = run["input"]["shape"]
    return "constructor" not in run and (name in ONLY_SIZE or batch * height * width < 161 * 200)


def main() -> None:
    vectors, target = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]) / "architectures"
    (target / "constants").mkdir(parents=True, exist_ok=True)
    # The one constant that a graph reads; Swin's follow from the size of the window.
    shutil.copy(vectors / "constants" / "relative_position_index.49x49.npy", target / "constants")
    for name in sorted(json.loads((vectors / "INDEX.json").read_text())["architectures"]):
        description = json.loads((vectors / f"{name}.json").read_text())
        for key in ("leaf_modules", "logits_std", "row_difference", "outputs"):
            description.pop(key, None)
        constructor = description.pop("constructor")
        for run in [description] + description.get("more_runs", []):
            if not is_kept(name, run):
                continue
            for file in run["outputs64"].values():
                if description["task"] == "segmentation":
                    run["every"] = EVERY
                    numpy.save(target / file, numpy.load(vectors / file)[:, :, ::EVERY[2], ::EVERY[3]].copy())
                else:
                    shutil.copy(vectors / file, target)
        description["constructor"] = constructor
        if (vectors / f"{name}.trace.json").exists():
            shutil.copy(vectors / f"{name}.trace.json", target)
        (target / f"{name}.json").write_text(json.dumps(description, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
