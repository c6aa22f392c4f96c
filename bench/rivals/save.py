#!/usr/bin/env python3
"""Writes the same checkpoint with cp, torch and safetensors, and with Rushlight; prints one JSON object of raw samples.

    save.py DIR [--rounds 5] [--cli PATH_OF_RUSHLIGHT]

Samples are seconds until the bytes are on the disk: every file is synced, as Rushlight syncs its own. The rows take turns
within a round, so that a disk which changes its mind does so for all of them. What does not import is named under
"skipped". `anonymous_kib` is the peak of memory that belongs to no file, of the program that rewrites 1 GiB.
"""
import argparse
import json
import os
import pathlib
import subprocess
import time


def sync(path):
    file = os.open(path, os.O_RDONLY)
    os.fsync(file)
    os.close(file)


def peak_anonymous_kib(command):
    """Of a child, looked at every millisecond."""
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = 0
    while child.poll() is None:
        try:
            with open("/proc/%d/status" % child.pid) as status:
                for line in status:
                    if line.startswith("RssAnon:"):
                        peak = max(peak, int(line.split()[1]))
        except OSError:
            break
        time.sleep(0.001)
    child.wait()
    return peak


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--cli", type=pathlib.Path)
    options = arguments.parse_args()
    dense, out = options.folder / "dense.pt", options.folder / "written"
    actions, skipped = {}, {}

    def copy():
        subprocess.run(["cp", str(dense), str(out)], check=True)
        subprocess.run(["sync", str(out)], check=True)

    actions["cp and sync, 1 GiB"] = copy
    if options.cli:
        def command(*words):
            return lambda: subprocess.run([str(options.cli), *map(str, words)], check=True, stdout=subprocess.DEVNULL)

        actions["rushlight convert to .pt, 1 GiB"] = command("convert", dense, out, "--to", "torch-zip", "--force", "-q")
        actions["rushlight convert to .safetensors, 1 GiB"] = command("convert", dense, out, "--to", "safetensors", "--force", "-q")
    try:
        import torch
    except ImportError as error:
        skipped["torch"] = str(error)
    else:
        state = torch.load(dense, map_location="cpu", **({"weights_only": True} if torch.__version__ >= "2" else {}))

        def save():
            torch.save(state, out)
            sync(out)

        actions["torch %s save and sync, 1 GiB" % torch.__version__.split("+")[0]] = save
    try:
        import safetensors.torch
    except ImportError as error:
        skipped["safetensors"] = str(error)
    else:
        def save_safetensors():
            safetensors.torch.save_file(state, out)
            sync(out)

        if "torch" not in skipped:
            actions["safetensors save_file and sync, 1 GiB"] = save_safetensors
    results = {name: [] for name in actions}
    for number in range(options.rounds + 1):
        for name, action in actions.items():
            out.unlink(missing_ok=True)
            start = time.perf_counter()
            action()
            if number > 0:  # the first round warms up
                results[name].append(time.perf_counter() - start)
    document = {"seconds": results, "skipped": skipped}
    if options.cli:
        document["anonymous_kib"] = peak_anonymous_kib([str(options.cli), "convert", str(dense), str(out), "--to", "torch-zip",
                                                        "--force", "-q"])
    out.unlink(missing_ok=True)
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
