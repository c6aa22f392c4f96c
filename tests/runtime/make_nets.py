#!/usr/bin/python3
"""Writes nets.inc: what PyTorch computes for the small networks of nets_test.cpp.

Parameters and inputs come from a counter-based generator that networks.hpp has too, so only outputs are kept. Needs
torch (any version; the kept file was made with 1.13) and numpy. Usage: make_nets.py > nets.inc
"""
import sys

import numpy as np
import torch
from torch import nn


def units(name, count):
    """Numbers in [0, 1) with 24 bits each: splitmix64 over the FNV-1a hash of the name."""
    state = 0xCBF29CE484222325
    for byte in name.encode():
        state = ((state ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    with np.errstate(over="ignore"):
        z = np.uint64(state) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(40)).astype(np.float64) / 2.0**24


def values(name, shape):
    """Variances in [0.5, 1.5), norm weights too, everything else in [-s, s) with s a power of two near sqrt(1 / fan in)."""
    shape = tuple(shape)
    u = units(name, int(np.prod(shape)))
    if name.endswith("running_var") or (name.endswith("weight") and len(shape) == 1):
        v = u + 0.5
    else:
        fan_in = int(np.prod(shape[1:])) if name.endswith("weight") else 1
        v = (u - 0.5) * 2.0 ** (2 - fan_in.bit_length() // 2)
    return torch.from_numpy(v.astype(np.float32).reshape(shape))


class BasicBlock(nn.Module):
    def __init__(self, inside, outside, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(inside, outside, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outside)
        self.conv2 = nn.Conv2d(outside, outside, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outside)
        self.downsample = None
        if stride != 1 or inside != outside:
            self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x):
        y = self.bn2(self.conv2(torch.relu(self.bn1(self.conv1(x)))))
        return torch.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(8)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        self.layer1 = nn.Sequential(BasicBlock(8, 8, 1), BasicBlock(8, 8, 1))
        self.layer2 = nn.Sequential(BasicBlock(8, 20, 2), BasicBlock(20, 20, 1))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(20, 10)

    def forward(self, x):
        x = self.maxpool(torch.relu(self.bn1(self.conv1(x))))
        x = self.avgpool(self.layer2(self.layer1(x)))
        return self.fc(torch.flatten(x, 1))


class FashionCnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(1, 32, 3, padding=1), nn.BatchNorm2d(32)
        self.conv2, self.bn2 = nn.Conv2d(32, 64, 3, padding=1), nn.BatchNorm2d(64)
        self.pool = nn.MaxPool2d(2)
        self.fc1, self.fc2 = nn.Linear(64 * 7 * 7, 128), nn.Linear(128, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.bn1(self.conv1(x))))
        x = self.pool(torch.relu(self.bn2(self.conv2(x))))
        return self.fc2(torch.relu(self.fc1(x.flatten(1))))


def vgg():
    """Two stages, an adaptive pool that keeps 3 x 3 pixels, and dropouts between flatten and the linear layers."""
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.ReLU(),
        nn.MaxPool2d(2, 2), nn.Conv2d(16, 24, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2, 2), nn.AdaptiveAvgPool2d((3, 3)),
        nn.Flatten(), nn.Dropout(), nn.Linear(24 * 9, 40), nn.ReLU(), nn.Dropout(), nn.Linear(40, 10))


NETS = [
    ("mlp", nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)), (3, 784)),
    ("simple", nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 10)), (5, 10)),
    ("normed_mlp", nn.Sequential(nn.Linear(12, 33), nn.BatchNorm1d(33), nn.ReLU(), nn.Linear(33, 7), nn.Softmax(1)),
     (4, 12)),
    ("fashion", FashionCnn(), (2, 1, 28, 28)),
    ("vgg", vgg(), (2, 3, 26, 30)),
    ("resnet", ResNet(), (2, 3, 45, 39)),
]


def main():
    torch.set_num_threads(1)
    print(f"// Made by make_nets.py with torch {torch.__version__.split('+')[0]}. Outputs in float32, and in double from the same")
    print("// float32 parameters.")
    for name, net, shape in NETS:
        net.eval()
        state = {key: values(key, value.shape) if value.is_floating_point() else value
                 for key, value in net.state_dict().items()}
        net.load_state_dict(state)
        x = values("input", shape)
        with torch.no_grad():
            single = net(x)
            double = net.double()(x.double())
        for suffix, tensor in (("", single), ("_double", double)):
            numbers = ", ".join(float(v).hex() for v in tensor.flatten().tolist())
            print(f"constexpr double k_{name}{suffix}[] = {{{numbers}}};")


if __name__ == "__main__":
    sys.exit(main())
