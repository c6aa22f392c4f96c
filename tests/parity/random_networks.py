#!/usr/bin/env python3
"""Random networks beside PyTorch: in each precision, by each instruction set, with one thread and several.

    random_networks.py PROGRAM [--count N] [--seed N] [--folder DIR] [--json FILE] [--device cuda:0]

The networks are those of random_layers.py: pictures, lines, volumes and sequences, with the strides, paddings and sizes at
which Rushlight goes one way or another. A network's spec, weights and input are written, the program runs them, and the
output is compared with PyTorch's in double. The error, by the greatest value, may be in `strict` four times PyTorch's own in
float32, or 2e-5; in `fast` sixteen times, or 1e-4; in `bf16` four times what comes of weights and operands rounded to bfloat16,
computed in double, or 2e-2. Where that says that roundings grow in a network, the share of it that float32 has with its digits
is allowed too. `int8` is compared with the codes of its own ranges (M-24 of format-spec/models.md), computed in double: as much
as these codes cost may differ, since a sum at the border between two codes may fall on either side, or 2e-2. The bits
must be the same with any number of threads, and for an item at any place of the batch; one NaN or infinity in the input must
reach exactly the outputs that it reaches in PyTorch. What differs stays in DIR. Exits with 1 when anything did.

`--device cuda:0` is for the program over emulated kernels (build/dev/tests/cuda/fake_gpu/rushlight): smaller networks, as a GPU
of compute capability 8.0 and as one of 9.0. `tf32` and `fp16` may err by half of what `bf16` does in PyTorch, or 5e-3.
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

WAYS = {"cpu": ("", "avx2", "baseline"), "cuda:0": ("80", "90")}  # RUSHLIGHT_ISA, or the GPU's compute capability
MORE_THREADS = {"cpu": (2, 3), "cuda:0": ()}
SIZES = {"cpu": {}, "cuda:0": {"most_elements": 20_000, "most_macs": 1_500_000}}
# Times PyTorch's error; at least; and the share of the error with bfloat16, whose roundings are 2^16 times as large.
LIMITS = {"strict": (4, 2e-5, 2.0 ** -12), "fast": (16, 1e-4, 2.0 ** -10), "bf16": (4, 2e-2, 0), "int8": (1, 2e-2, 0),
          "tf32": (4, 5e-3, 0.5), "fp16": (4, 5e-3, 0.5)}
PRECISIONS = {"cpu": ("strict", "fast", "bf16", "int8"), "cuda:0": ("strict", "tf32", "bf16", "fp16")}
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


class Program:
    """`rushlight` with the files of one network."""

    def __init__(self, program, folder, device):
        self.program = program
        self.folder = folder
        self.device = device
        self.ranges = folder / "ranges.json"

    def call(self, *words, way=""):
        """What it complained of, or None."""
        variable, value = ("RUSHLIGHT_ISA", way) if self.device == "cpu" else ("FAKE_GPU", f"capability={way}")
        environment = {**os.environ, **({variable: value} if way else {})}
        files = [self.folder / name for name in ("spec.json", "weights.pt", "input.npy")]
        done = subprocess.run([self.program, words[0], files[0], "--weights", files[1], "--input", files[2], "-q", *words[1:]],
                              capture_output=True, text=True, check=False, env=environment)
        return f"{words[0]} ended with {done.returncode}: {done.stderr.strip()[-300:]}" if done.returncode else None

    def output(self, precision, threads, way):
        output = self.folder / "output.npy"
        output.unlink(missing_ok=True)
        ranges = ("--calibration", self.ranges) if precision == "int8" else ()
        where = ("--threads", str(threads)) if self.device == "cpu" else ("--device", self.device)
        failed = self.call("run", "--output", output, "--precision", precision, *where, *ranges, way=way)
        if failed:
            raise RuntimeError(failed)
        return np.load(output)


def compare(program, folder, device, seed):
    """What is wrong with it: a list of words; and its greatest errors, by precision."""
    rushlight = Program(program, folder, device)
    wrong, errors = [], {}
    with torch.no_grad():
        net = random_network(seed, **SIZES[device])
        torch.save({name: value.clone() for name, value in net.modules.state_dict().items()}, folder / "weights.pt")
        (folder / "spec.json").write_text(json.dumps({"schema": 1, "input": list(net.input.shape[1:]), "layers": net.words}))
        np.save(folder / "input.npy", net.input.numpy())
        failed = rushlight.call("calibrate", "-o", rushlight.ranges, "--force", "--range", ("least_error", "min_max")[seed % 2])
        if failed:
            return [failed], {}
        try:
            wrong += places_and_odd_values(rushlight, net, seed)
            errors = compare_numbers(rushlight, net, wrong)
        except RuntimeError as failure:
            wrong.append(str(failure))
    return wrong, errors


def places_and_odd_values(rushlight, net, seed):
    """In one way and with one number of threads: which ones is a matter of the seed.

    Where PyTorch interpolates at a whole pixel, its float32 coordinates may give a neighbour 1e-7 of the sum, and so all of an
    infinity; Rushlight's are of double.
    """
    ways = WAYS[rushlight.device]
    way, threads = ways[seed % len(ways)], (1, 2)[seed // 3 % 2]
    value = (np.nan, np.inf, -np.inf)[seed // 6 % 3]
    odd = net.input.clone()
    at = seed * 7919 % odd.numel()
    odd.view(-1)[at] = value
    torch.backends.mkldnn.enabled = False  # its GELU of infinity is NaN
    expected = net.forward(odd).numpy()
    torch.backends.mkldnn.enabled = True
    turned = net.input.roll(1, 0).numpy()
    interpolates = any(word.get("upsample") and word.get("mode", "nearest") != "nearest" for word in net.words)
    wrong = []
    for precision in PRECISIONS[rushlight.device]:
        where = f"{net.family}, {precision}, {way or 'best'}, {threads} threads"
        y = rushlight.output(precision, threads, way)
        np.save(rushlight.folder / "input.npy", turned)
        if len(turned) == len(y) and np.roll(y, 1, 0).tobytes() != rushlight.output(precision, threads, way).tobytes():
            wrong.append(f"{where}: other bits at another place in the batch")
        np.save(rushlight.folder / "input.npy", odd.numpy())
        y = rushlight.output(precision, threads, way)
        differ = [int((is_odd(y) != is_odd(expected)).sum()) for is_odd in (np.isnan, np.isposinf, np.isneginf)]
        if any(differ):
            words = (f"{where}: {value} at element {at} makes NaN, inf or -inf of {differ} outputs that PyTorch does not, "
                     "or the other way round")
            if interpolates and np.isinf(value):
                print(f"seed {seed}: not counted, since the network interpolates: {words}")
            else:
                wrong.append(words)
        np.save(rushlight.folder / "input.npy", net.input.numpy())
    return wrong


def compare_numbers(rushlight, net, wrong):
    """In each precision and way."""
    found = net.forward(net.input).double().numpy()
    net.modules.double()
    exact = net.forward(net.input.double()).numpy()
    narrow = with_rounded_products(net)
    coded = with_coded_products(net, json.loads(rushlight.ranges.read_text())["layers"])
    np.save(rushlight.folder / "exact.npy", exact)
    np.save(rushlight.folder / "coded.npy", coded)
    largest = max(float(np.abs(exact).max()), 1e-30)

    def error(y, right=exact):
        return float(np.abs(y - right).max()) / largest

    own = {**dict.fromkeys(LIMITS, error(found)), "bf16": error(narrow), "int8": error(coded)}
    errors = {}
    for precision in PRECISIONS[rushlight.device]:
        times, least, share = LIMITS[precision]
        most = max(times * own[precision], least, share * own["bf16"])
        for way in WAYS[rushlight.device]:
            where = f"{net.family}, {precision}, {way or 'best'}"
            y = rushlight.output(precision, 1, way)
            for threads in MORE_THREADS[rushlight.device]:
                if rushlight.output(precision, threads, way).tobytes() != y.tobytes():
                    wrong.append(f"{where}: other bits with {threads} threads than with one")
            if y.shape != exact.shape:
                wrong.append(f"{where}: shape {y.shape}, not {exact.shape}")
                continue
            found_error = error(y, coded if precision == "int8" else exact)
            errors[precision] = max(errors.get(precision, 0), found_error)
            if not found_error <= most:
                wrong.append(f"{where}: error {found_error:.1e}, PyTorch's {own[precision]:.1e}")
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=pathlib.Path)
    parser.add_argument("--json", type=pathlib.Path)
    parser.add_argument("--device", choices=tuple(WAYS), default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    bad, worst = [], {}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(arguments.seed, arguments.seed + arguments.count):
            folder = (arguments.folder or pathlib.Path(scratch)) / f"network{seed}"
            folder.mkdir(parents=True, exist_ok=True)
            wrong, errors = compare(arguments.program, folder, arguments.device, seed)
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
