#!/usr/bin/env python3
"""Random networks beside PyTorch: in each precision, by each instruction set, with one thread and several.

    random_networks.py PROGRAM [--count N] [--seed N] [--folder DIR] [--json FILE]

The networks are those of random_layers.py: pictures, lines, volumes and sequences, with the strides, paddings and sizes at
which Rushlight goes one way or another. A network's spec, weights and input are written, the program runs them, and the
output is compared with PyTorch's in double. The error, by the greatest value, may be in `strict` four times PyTorch's own in
float32, or 2e-5; in `fast` sixteen times, or 1e-4; in `bf16` four times what comes of weights and operands rounded to bfloat16,
computed in double, or 2e-2. Where that says that roundings grow in a network, the share of it that float32 has with its digits
is allowed too. `int8` is compared with the codes of its own ranges (M-24 of format-spec/models.md), computed in double: half
of what these codes cost may differ, since a sum at the border between two codes may fall on either side, or 1e-2. The bits
must be the same with any number of threads. What differs stays in DIR. Exits with 1 when anything did.
"""
import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
from torch import nn

from random_layers import random_network

ISAS = ("", "avx2", "baseline")
# Times PyTorch's error; at least; and the share of the error with bfloat16, whose roundings are 2^16 times as large.
LIMITS = {"strict": (4, 2e-5, 2.0 ** -12), "fast": (16, 1e-4, 2.0 ** -10), "bf16": (4, 2e-2, 0), "int8": (0.5, 1e-2, 0)}
NARROW_PRODUCTS = (nn.Conv1d, nn.Conv2d, nn.Linear)


def narrow_modules(net):
    return [(name, module) for name, module in net.modules.items() if isinstance(module, NARROW_PRODUCTS)]


def rounded(values):
    return values.float().bfloat16().double()


def with_rounded_products(net):
    """What a network in double gives when its products are of bfloat16."""
    undo = [hook_inputs(module, rounded(module.weight), rounded) for _, module in narrow_modules(net)]
    return outcome(net, undo)


def with_coded_products(net, ranges):
    """What it gives when they are of 8-bit codes: format-spec/models.md, M-24."""

    def coded(scale, zero_point):
        return lambda x: (torch.clamp(torch.round(x / scale) + zero_point, 0, 255) - zero_point) * scale

    undo = []
    for name, module in narrow_modules(net):
        if getattr(module, "groups", 1) > 1 and module.weight.shape[1] % 4:
            continue  # stays in float32
        low, high = (ranges[name][end] for end in ("low", "high")) if name in ranges else (0, 0)
        if low == high:
            continue  # nothing needs its output, or it reads nothing but zeros
        scale = (high - low) / 255
        steps = module.weight.flatten(1).abs().amax(1).clamp_min(1e-30) / 127
        steps = steps.reshape(-1, *[1] * (module.weight.dim() - 1))
        undo.append(hook_inputs(module, torch.round(module.weight / steps) * steps,
                                coded(scale, round(-low / scale))))
    return outcome(net, undo)


def hook_inputs(module, weight, change):
    before = module.weight.clone()
    module.weight.copy_(weight)
    hook = module.register_forward_pre_hook(lambda _, inputs: (change(inputs[0]),))
    return module, before, hook


def outcome(net, undo):
    y = net.forward(net.input.double()).numpy()
    for module, before, hook in undo:
        module.weight.copy_(before)
        hook.remove()
    return y


def run(program, folder, *words, isa=""):
    environment = {**os.environ, **({"RUSHLIGHT_ISA": isa} if isa else {})}
    done = subprocess.run([program, words[0], folder / "spec.json", "--weights", folder / "weights.pt", "--input",
                           folder / "input.npy", "-q", *words[1:]], capture_output=True, text=True, check=False, env=environment)
    return f"{words[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}" if done.returncode else None


def compare(program, folder, seed):
    """What is wrong with it: a list of words; and its greatest errors, by precision."""
    with torch.no_grad():
        net = random_network(seed)
        found = net.forward(net.input).double().numpy()
        torch.save({name: value.clone() for name, value in net.modules.state_dict().items()}, folder / "weights.pt")
        (folder / "spec.json").write_text(json.dumps({"schema": 1, "input": list(net.input.shape[1:]), "layers": net.words}))
        np.save(folder / "input.npy", net.input.numpy())
        ranges = folder / "ranges.json"
        failed = run(program, folder, "calibrate", "-o", ranges, "--force", "--range", ("least_error", "min_max")[seed % 2])
        if failed:
            return [failed], {}
        net.modules.double()
        exact = net.forward(net.input.double()).numpy()
        narrow = with_rounded_products(net)
        coded = with_coded_products(net, json.loads(ranges.read_text())["layers"])
    np.save(folder / "exact.npy", exact)
    np.save(folder / "coded.npy", coded)
    largest = max(float(np.abs(exact).max()), 1e-30)

    def error(y, right=exact):
        return float(np.abs(y - right).max()) / largest

    own = {"strict": error(found), "fast": error(found), "bf16": error(narrow), "int8": error(coded)}
    wrong, errors = [], {}
    for precision, (times, least, share) in LIMITS.items():
        most = max(times * own[precision], least, share * own["bf16"])
        output = folder / "output.npy"
        for isa in ISAS:
            first = None
            for threads in (1, 2, 3):
                where = f"{net.family}, {precision}, {isa or 'best'}, {threads} threads"
                output.unlink(missing_ok=True)
                failed = run(program, folder, "run", "--output", output, "--precision", precision, "--threads", str(threads),
                             *(("--calibration", ranges) if precision == "int8" else ()), isa=isa)
                if failed:
                    wrong.append(f"{where}: {failed}")
                    break
                y = np.load(output)
                if first is not None:
                    if y.tobytes() != first.tobytes():
                        wrong.append(f"{where}: other bits than with one")
                    continue
                first = y
                if y.shape != exact.shape:
                    wrong.append(f"{where}: shape {y.shape}, not {exact.shape}")
                    break
                found_error = error(y, coded if precision == "int8" else exact)
                errors[precision] = max(errors.get(precision, 0), found_error)
                if not found_error <= most:
                    wrong.append(f"{where}: error {found_error:.1e}, PyTorch's {own[precision]:.1e}")
    return wrong, errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bad, worst = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(arguments.seed, arguments.seed + arguments.count):
            folder = (arguments.folder or pathlib.Path(scratch)) / f"network{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            wrong, errors = compare(arguments.program, folder, seed)
            for precision, error in errors.items():
                worst[precision] = max(worst.get(precision, 0), error)
            for words in wrong:
                print(f"seed {seed}: {words}")
            if wrong:
                bad.append(seed)
            else:
                for file in folder.iterdir():
                    file.unlink()
                folder.rmdir()
    summary = ", ".join(f"{precision} {error:.1e}" for precision, error in worst.items())
    print(f"{arguments.count} networks, {len(bad)} wrong; greatest errors: {summary}")
    if arguments.json:
        arguments.json.write_text(json.dumps({"torch": torch.__version__, "networks": arguments.count, "seed": arguments.seed,
                                              "wrong": bad, "greatest_errors": worst}))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
