#!/usr/bin/env python3
"""Loads, lists and checks the same files with torch, safetensors and zipfile; prints one JSON object of raw samples.

    load.py DIR [--rounds 5] [--cli PATH_OF_RUSHLIGHT]

Samples are seconds, warm (one round before is not counted). What does not import is named under "skipped".
"""
import argparse
import json
import pathlib
import subprocess
import time
import zipfile


def samples(action, rounds: int) -> list[float]:
    action()
    taken = []
    for _ in range(rounds):
        start = time.perf_counter()
        action()
        taken.append(time.perf_counter() - start)
    return taken


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--cli", type=pathlib.Path)
    options = arguments.parse_args()
    results, skipped = {}, {}

    def measure(name: str, action) -> None:
        results[name] = samples(action, options.rounds)

    dense, many = options.folder / "dense.pt", options.folder / "many.pt"
    try:
        import torch
    except ImportError as error:
        skipped["torch"] = str(error)
    else:
        mmap = {"mmap": True, "weights_only": True} if torch.__version__ >= "2.1" else {}
        label = f"torch {torch.__version__.split('+')[0]} load" + (" mmap" if mmap else " (no mmap in this release)")
        measure(f"{label}, 1 GiB in 64 tensors", lambda: torch.load(dense, map_location="cpu", **mmap))
        measure(f"{label}, 20,000 tensors", lambda: torch.load(many, map_location="cpu", **mmap))
    try:
        from safetensors import safe_open
    except ImportError as error:
        skipped["safetensors"] = str(error)
    else:
        def keys(path):
            with safe_open(path, framework="np") as file:
                return [file.get_slice(key).get_shape() for key in file.keys()]

        measure("safetensors open and shapes, 1 GiB in 64 tensors", lambda: keys(dense.with_suffix(".safetensors")))
        measure("safetensors open and shapes, 20,000 tensors", lambda: keys(many.with_suffix(".safetensors")))
    measure("zipfile.testzip, 1 GiB", lambda: zipfile.ZipFile(dense).testzip())
    if options.cli:
        def command(*words):
            return lambda: subprocess.run([options.cli, *words], check=True, stdout=subprocess.DEVNULL)

        measure("rushlight list (process), 1 GiB in 64 tensors", command("list", dense))
        measure("rushlight list (process), 20,000 tensors", command("list", many))
        measure("rushlight verify (process, 1 thread), 1 GiB", command("verify", dense, "--threads", "1"))
        measure("rushlight verify (process, 2 threads), 1 GiB", command("verify", dense, "--threads", "2"))
        measure("rushlight --version (process)", command("--version"))
    print(json.dumps({"seconds": results, "skipped": skipped}, indent=1))


if __name__ == "__main__":
    main()
