#!/usr/bin/env python3
"""Cuts and damages files that PyTorch saved: what `rushlight doctor --salvage` writes, PyTorch reads, and every tensor in
it is the one that was saved.

    salvage.py PROGRAM [--count N] [--seed FIRST]

Exits with 1 when anything differed.
"""
import argparse
import json
import pathlib
import random
import subprocess
import sys
import tempfile

import torch


def checkpoint(rng):
    torch.manual_seed(rng.randrange(1 << 30))
    model = torch.nn.Sequential(torch.nn.Linear(rng.randint(1, 40), 16), torch.nn.BatchNorm1d(16), torch.nn.Linear(16, 3))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.5)
    model(torch.randn(4, model[0].in_features)).sum().backward()
    optimizer.step()
    return {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3,
            "half": {"a": torch.randn(7).half(), "b": torch.randn(5, 3).bfloat16()}}


def tensors(value, path=()):
    """{path: tensor} of all tensors in dicts, lists and tuples."""
    found = {}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    for key, item in items:
        if isinstance(item, torch.Tensor):
            found[path + (key,)] = item
        else:
            found.update(tensors(item, path + (key,)))
    return found


def same(one, other):
    return one.dtype == other.dtype and one.shape == other.shape and bool(torch.equal(one, other))


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    problems, written, rescued, all_tensors = [], 0, 0, 0
    with tempfile.TemporaryDirectory() as folder:
        file, out = pathlib.Path(folder) / "model.pt", pathlib.Path(folder) / "rescued.pt"
        for seed in range(arguments.seed, arguments.seed + arguments.count):
            rng = random.Random(seed)
            legacy = seed % 4 == 3
            original = checkpoint(rng)
            torch.save(original, file, _use_new_zipfile_serialization=not legacy)
            data = bytearray(file.read_bytes())
            before = tensors(torch.load(file, map_location="cpu"))
            if seed % 3 != 2 or legacy:
                del data[rng.randrange(len(data) // 3, len(data)):]
            if seed % 3 != 0 and not legacy:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            file.write_bytes(data)
            done = subprocess.run([arguments.program, "doctor", file, "--salvage", out, "--force", "--json"],
                                  capture_output=True, text=True, check=False)
            report = json.loads(done.stdout)
            if "salvage" not in report:
                problems.append(f"seed {seed}: {report['findings']}")
                continue
            salvage = report["salvage"]
            if not salvage["written"]:
                continue
            written += 1
            after = tensors(torch.load(out, map_location="cpu"))
            rescued, all_tensors = rescued + len(after), all_tensors + len(before)
            if len(after) != len(salvage["rescued"]) or len(after) + len(salvage["lost"]) != len(before):
                problems.append(f"seed {seed}: {len(after)} tensors, the report says {len(salvage['rescued'])}")
            if (done.returncode == 0) != (len(after) == len(before)):
                problems.append(f"seed {seed}: exit code {done.returncode}, {len(after)} of {len(before)} tensors")
            for path, tensor in after.items():
                if path not in before or not same(tensor, before[path]):
                    problems.append(f"seed {seed}: {path} is another tensor")
    for problem in problems:
        print(problem)
    print(f"torch {torch.__version__}: {written} of {arguments.count} files written, {rescued} of {all_tensors} tensors, "
          f"{len(problems)} problems")
    return 1 if problems or not written else 0


if __name__ == "__main__":
    sys.exit(main())
