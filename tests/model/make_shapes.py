#!/usr/bin/env python3
"""Writes shapes.json: what torch makes of operators and input shapes, for shapes_test.cpp.

    /usr/bin/python3 tests/model/make_shapes.py > tests/model/shapes.json

Each case has the operator's spec name, its attributes as operators.def names them, the shapes of the inputs, and the
shape of the output, or null where torch refuses. Seeded: the same torch writes the same file.
"""
import json
import random
import sys

import torch
from torch import nn

random.seed(7)
cases = []


def both(value):
    return tuple(value) if isinstance(value, list) else value


def run(make, inputs):
    try:
        with torch.no_grad():
            return list(make()(*[torch.zeros(shape) for shape in inputs]).shape)
    except (RuntimeError, ValueError, IndexError, AssertionError):
        return None


def add(op, attributes, make, *inputs):
    cases.append({"op": op, "attributes": attributes, "inputs": [list(i) for i in inputs], "output": run(make, inputs)})


def conv(shape, **attributes):
    arguments = {key: both(value) for key, value in attributes.items()}
    add("conv2d", attributes, lambda: nn.Conv2d(**arguments), shape)


def pool(op, shape, **attributes):
    arguments = {key: both(value) for key, value in attributes.items()}
    kind = {"maxpool2d": nn.MaxPool2d, "avgpool2d": nn.AvgPool2d}[op]
    add(op, attributes, lambda: kind(**arguments), shape)


def size(limit):
    one = random.randint(1, limit)
    return one if random.random() < 0.6 else [one, random.randint(1, limit)]


def padding(limit):
    one = random.randint(0, limit)
    return one if random.random() < 0.6 else [one, random.randint(0, limit)]


# Convolutions.
for _ in range(160):
    groups = random.choice([1, 1, 1, 2, 3])
    attributes = {"in_channels": groups * random.randint(1, 2), "out_channels": groups * random.randint(1, 3),
                  "kernel_size": size(5), "stride": size(3), "dilation": size(3), "groups": groups,
                  "bias": random.random() < 0.5}
    kind = random.random()
    attributes["padding"] = "valid" if kind < 0.1 else padding(4)
    if kind > 0.8:
        attributes["padding"] = "same"
        if kind < 0.95:
            attributes["stride"] = 1
    shape = [random.choice([0, 1, 2]), attributes["in_channels"], random.randint(1, 12), random.randint(1, 12)]
    if random.random() < 0.2:
        shape = shape[1:]
    conv(shape, **attributes)
conv([1, 3, 8, 8], in_channels=4, out_channels=2, kernel_size=3)
conv([3, 8], in_channels=3, out_channels=2, kernel_size=3)
conv([1, 1, 3, 8, 8], in_channels=3, out_channels=2, kernel_size=3)
conv([1, 3, 8, 8], in_channels=3, out_channels=2, kernel_size=3, groups=2)
conv([1, 4, 8, 8], in_channels=4, out_channels=3, kernel_size=3, groups=2)
conv([1, 3, 2, 9], in_channels=3, out_channels=2, kernel_size=[3, 1])
conv([1, 3, 2, 9], in_channels=3, out_channels=2, kernel_size=[3, 1], padding=[1, 0])

# Pools: every small combination in which ceil_mode, padding and dilation may matter, and random larger ones.
for n in range(1, 8):
    for k in (1, 2, 3):
        for s in (1, 2, 3):
            for p in (0, 1):
                pool("avgpool2d", [1, 1, n, 7], kernel_size=[k, 1], stride=[s, 1], padding=[p, 0], ceil_mode=True)
for _ in range(200):
    op = random.choice(["maxpool2d", "maxpool2d", "avgpool2d"])
    attributes = {"kernel_size": size(4), "padding": padding(2), "ceil_mode": random.random() < 0.6}
    if random.random() < 0.7:
        attributes["stride"] = size(4)
    if op == "maxpool2d":
        attributes["dilation"] = size(3)
    elif random.random() < 0.3:
        attributes["divisor_override"] = random.randint(1, 5)
    shape = [random.choice([0, 1, 2]), random.randint(1, 3), random.randint(1, 10), random.randint(1, 10)]
    if random.random() < 0.2:
        shape = shape[1:]
    pool(op, shape, **attributes)
pool("maxpool2d", [2, 8], kernel_size=2)
pool("avgpool2d", [1, 1, 2, 8, 8], kernel_size=2)

# Adaptive pools: -1 is torch's None.
for output in (1, 7, [3, 5], [-1, 2], [4, -1], [-1, -1]):
    for shape in ([1, 2, 9, 7], [0, 2, 3, 3], [2, 1, 1], [1, 2, 2, 40], [3, 3], [1, 1, 1, 1, 1]):
        if len(shape) not in (3, 4) and output != 7:
            continue  # where the output is 1x1 torch takes a mean and forgets to look at the rank; we refuse
        sides = tuple(None if side == -1 else side for side in output) if isinstance(output, list) else output
        add("adaptiveavgpool2d", {"output_size": output}, lambda: nn.AdaptiveAvgPool2d(sides), shape)

# Flatten.
for shape in ([], [3], [2, 3], [2, 3, 4, 5], [0, 3, 4]):
    for start in (-3, -1, 0, 1, 2, 4):
        for end in (-5, -2, -1, 0, 2):
            add("flatten", {"start_dim": start, "end_dim": end}, lambda: nn.Flatten(start, end), shape)

# Linear, batch norms, softmax.
for shape in ([], [4], [3, 4], [0, 4], [2, 3, 4], [2, 5], [1, 2, 3, 1, 4]):
    for bias in (True, False):
        attributes = {"in_features": 4, "out_features": 6, "bias": bias}
        add("linear", attributes, lambda: nn.Linear(**attributes), shape)
for shape in ([3], [2, 3], [0, 3], [2, 4], [2, 3, 5], [2, 3, 5, 6], [1, 3, 1, 1], [3, 5, 6], [2, 3, 4, 5, 6]):
    add("batchnorm1d", {"num_features": 3}, lambda: nn.BatchNorm1d(3).eval(), shape)
    add("batchnorm2d", {"num_features": 3, "affine": False}, lambda: nn.BatchNorm2d(3, affine=False).eval(), shape)
for shape in ([], [4], [2, 3], [2, 3, 4, 5], [0, 3]):
    for dim in (-3, -1, 0, 1, 2, 5):
        add("softmax", {"dim": dim}, lambda: nn.Softmax(dim), shape)

# Norms of pictures that are empty or of a single value. Affine instance norms of an empty batch are left out, where
# torch trips over its own check, and those with statistics of other channels, which it notices where there are elements.
for shape in ([2, 4, 3], [2, 4, 0], [0, 4, 3], [2, 4, 1], [1, 4, 1], [4, 3], [4, 0], [4, 1], [2, 1, 3], [2, 0, 3],
              [0, 1, 0]):
    for affine in (False, True):
        for tracks in (False, True):
            if affine and shape[0] == 0 or tracks and not affine and 4 not in shape:
                continue
            attributes = {"num_features": 4, "affine": affine, "track_running_stats": tracks}
            add("instancenorm1d", attributes, lambda: nn.InstanceNorm1d(**attributes).eval(), shape)
            add("instancenorm2d", attributes, lambda: nn.InstanceNorm2d(**attributes).eval(), shape + shape[-1:])
for shape in ([2, 4], [1, 4], [0, 4], [2, 4, 1], [1, 4, 1], [0, 4, 1], [0, 4, 0], [2, 4, 0], [1, 4, 2], [1, 4, 1, 1]):
    for groups in (1, 2, 4):
        attributes = {"num_groups": groups, "num_channels": 4}
        add("groupnorm", attributes, lambda: nn.GroupNorm(**attributes).eval(), shape)
    attributes = {"num_features": 4, "track_running_stats": False}
    add("batchnorm1d", attributes, lambda: nn.BatchNorm1d(**attributes).eval(), shape)
    add("batchnorm2d", attributes, lambda: nn.BatchNorm2d(**attributes).eval(), shape)

# What changes no shape.
for shape in ([], [3], [0, 2], [2, 3, 4, 5]):
    add("relu", {}, lambda: nn.ReLU(), shape)
    add("dropout", {"p": 0.25}, lambda: nn.Dropout(0.25).eval(), shape)
    add("identity", {}, lambda: nn.Identity(), shape)

# Broadcasting.
shapes = [[], [1], [3], [4], [2, 3], [2, 1], [1, 3], [4, 2, 3], [4, 1, 1], [2, 4, 2, 3], [0, 3], [0, 1], [1, 64, 1, 1]]
for a in shapes:
    for b in shapes:
        add("add", {}, lambda: torch.add, a, b)

# Padding that crops at one end and adds at the other, of dimensions that are hardly as long. Circular padding that
# neither reads beyond what is left nor adds to nothing: torch copies memory onto itself there, or nothing at all.
for n in range(4):
    for before in range(-4, 4):
        for after in range(-4, 4):
            left = n + min(before, 0) + min(after, 0)
            for mode in ("constant", "reflect", "replicate", "circular"):
                if mode == "circular" and max(before, after) > left:
                    continue
                for shape in ([2, 3, n], [0, 3, n], [2, 0, n], [3, n]) if n == 3 else ([2, 3, n],):
                    add("pad", {"pad": [before, after], "mode": mode},
                        lambda: lambda x: nn.functional.pad(x, (before, after), mode), shape)

lines = ",\n".join(json.dumps(case) for case in cases)
sys.stdout.write('{"torch": %s, "cases": [\n%s\n]}\n' % (json.dumps(torch.__version__), lines))
