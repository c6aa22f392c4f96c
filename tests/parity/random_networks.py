#!/usr/bin/env python3
"""Random convolutional networks beside PyTorch: in each precision, by each instruction set, with one thread and several.

    random_networks.py PROGRAM [--count N] [--seed N] [--folder DIR] [--json FILE]

A network is a list of layers that read any earlier ones: windows of all kinds, depthwise and grouped, with the strides,
paddings and sizes at which Rushlight goes one way or another, and what stands between them. Its spec, weights and input are
written, the program runs them, and the output is compared with PyTorch's in double. The error, by the greatest value, may be
in `strict` four times PyTorch's own in float32, or 2e-5; in `fast` sixteen times, or 1e-4; in `bf16` four times what comes of
weights and operands rounded to bfloat16, computed in double, or 2e-2. Where that says that roundings grow in a network, the
share of it that float32 has with its digits is allowed too. The bits must be the same with any number of threads. What differs
stays in DIR. Exits with 1 when anything did.
"""
import argparse
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

CHANNELS = (1, 2, 3, 4, 7, 8, 12, 16, 16, 17, 24, 31, 32, 32, 33, 48, 64, 64, 65, 80, 96, 128, 130)
ISAS = ("", "avx2", "baseline")
MOST_ELEMENTS = 400_000
MOST_MACS = 60_000_000
# Times PyTorch's error; at least; and the share of the error with bfloat16, whose roundings are 2^16 times as large.
LIMITS = {"strict": (4, 2e-5, 2.0 ** -12), "fast": (16, 1e-4, 2.0 ** -10), "bf16": (4, 2e-2, 0)}


class Network:
    """Layers with what PyTorch computes of them, and the words of the spec."""

    def __init__(self, dice):
        self.dice = dice
        self.layers = []     # (name, function of tensors, names of inputs)
        self.modules = nn.ModuleDict()
        self.words = []
        self.values = {}     # name -> a tensor of its shape
        self.last = "input"
        self.macs = 0
        shape = (dice.choice((1, 1, 2, 3, 5, 8)), dice.choice(CHANNELS), dice.randint(1, 40), dice.randint(1, 40))
        if dice.random() < 0.3:
            shape = (shape[0], dice.choice((1, 3, 3, 4)), dice.randint(16, 70), dice.randint(16, 70))
        self.input = torch.randn(shape, generator=torch.Generator().manual_seed(dice.randrange(1 << 30)))
        if dice.random() < 0.3:
            self.input = self.input.relu()
        self.values["input"] = self.input

    def add(self, layer, function, inputs, module=None, **attributes):
        """Whether there is such a layer: PyTorch's word."""
        name = f"layer{len(self.layers)}"
        try:
            value = function(*(self.values[one] for one in inputs))
        except (RuntimeError, ValueError):
            return False
        if value.numel() == 0 or value.numel() > MOST_ELEMENTS or not bool(torch.isfinite(value).all()):
            return False
        first = attributes.pop("first", None)
        word = {layer: name} if first is None else {layer: first, "name": name}
        if module is not None:
            self.modules[name] = module
        before = self.layers[-1][0] if self.layers else "input"
        if list(inputs) != [before]:
            word["input"] = inputs[0] if len(inputs) == 1 else list(inputs)
        self.words.append({**word, **attributes})
        self.layers.append((name, function, inputs))
        self.values[name] = value
        self.last = name
        return True

    def forward(self, x):
        values = {"input": x}
        for name, function, inputs in self.layers:
            values[name] = function(*(values[one] for one in inputs))
        return values[self.last]


def weighted(net, layer, module, **attributes):
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("weight") and parameter.dim() > 1:
                parameter.mul_(2)  # so that values neither vanish nor explode through the layers
    return net.add(layer, module.eval(), [net.last], module, **attributes)


def convolution(net):
    dice = net.dice
    x = net.values[net.last]
    if x.dim() != 4:
        return False
    in_channels = x.shape[1]
    kind = dice.random()
    out = dice.choice(CHANNELS)
    groups = 1
    if kind < 0.2:
        groups, out = in_channels, in_channels * dice.choice((1, 1, 1, 2))
    elif kind < 0.35:
        groups = dice.choice([g for g in (2, 3, 4, 8, 16) if in_channels % g == 0] or [1])
        out = groups * dice.randint(1, 24)
    kernel = dice.choice(((3, 3),) * 5 + ((1, 1),) * 3 + ((5, 5), (7, 7), (2, 2), (1, 7), (7, 1), (1, 3), (3, 1), (4, 3), (5, 2)))
    stride = dice.choice(((1, 1),) * 4 + ((2, 2),) * 2 + ((2, 1), (1, 2), (3, 3)))
    dilation = dice.choice(((1, 1),) * 6 + ((2, 2), (1, 2), (3, 1)))
    padding = dice.choice((tuple(k // 2 for k in kernel),) * 4 + ((0, 0), (1, 1), (2, 1), (0, 2), (3, 3)))
    bias = dice.random() < 0.7
    mode = dice.choice(("zeros",) * 8 + ("reflect", "replicate", "circular"))
    said = list(padding)
    if stride == (1, 1) and dice.random() < 0.15:
        padding = said = dice.choice(("same", "valid"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = nn.Conv2d(in_channels, out, kernel, stride, padding, dilation, groups, bias, mode)
        y_rows = x.shape[0] * x.shape[2] * x.shape[3] // (stride[0] * stride[1])
        macs = y_rows * out * (in_channels // groups) * kernel[0] * kernel[1]
        if net.macs + macs > MOST_MACS:
            return False
        words = {"stride": list(stride), "padding": said, "dilation": list(dilation), "groups": groups, "bias": bias,
                 "padding_mode": mode}
        usual = {"stride": [1, 1], "padding": [0, 0], "dilation": [1, 1], "groups": 1, "bias": True, "padding_mode": "zeros"}
        done = weighted(net, "conv2d", module, **{key: value for key, value in words.items() if value != usual[key]})
    net.macs += macs if done else 0
    return done


def transposed(net):
    dice = net.dice
    x = net.values[net.last]
    if x.dim() != 4:
        return False
    kernel, stride = dice.choice((2, 3, 4)), dice.choice((1, 2, 2, 3))
    padding = dice.randint(0, kernel - 1)
    extra = dice.randint(0, stride - 1)
    out = dice.choice((1, 3, 8, 16, 20, 32))
    if x.shape[0] * x.shape[2] * x.shape[3] * x.shape[1] * out * kernel * kernel > MOST_MACS // 4:
        return False
    module = nn.ConvTranspose2d(x.shape[1], out, kernel, stride, padding, extra)
    return weighted(net, "convtranspose2d", module, stride=stride, padding=padding, output_padding=extra)


def norm(net):
    x = net.values[net.last]
    if x.dim() != 4:
        return False
    if net.dice.random() < 0.85:
        module = nn.BatchNorm2d(x.shape[1], eps=1e-3 if net.dice.random() < 0.3 else 1e-5)
        generator = torch.Generator().manual_seed(net.dice.randrange(1 << 30))
        with torch.no_grad():
            module.running_mean.copy_(torch.randn(x.shape[1], generator=generator) * 0.3)
            module.running_var.copy_(torch.rand(x.shape[1], generator=generator) + 0.5)
            module.weight.copy_(torch.rand(x.shape[1], generator=generator) + 0.5)
            module.bias.copy_(torch.randn(x.shape[1], generator=generator) * 0.3)
        return weighted(net, "batchnorm2d", module, **({} if module.eps == 1e-5 else {"eps": module.eps}))
    groups = net.dice.choice([g for g in (1, 2, 4, 8) if x.shape[1] % g == 0])
    return weighted(net, "groupnorm", nn.GroupNorm(groups, x.shape[1]), num_groups=groups)


def activation(net):
    made = {"relu": nn.ReLU(), "relu6": nn.ReLU6(), "leakyrelu": nn.LeakyReLU(), "hardswish": nn.Hardswish(), "silu": nn.SiLU(),
            "gelu": nn.GELU(), "sigmoid": nn.Sigmoid(), "tanh": nn.Tanh(), "elu": nn.ELU(), "hardsigmoid": nn.Hardsigmoid(),
            "mish": nn.Mish(), "softplus": nn.Softplus(), "hardtanh": nn.Hardtanh()}
    layer = net.dice.choice(("relu",) * 8 + ("relu6",) * 2 + tuple(made))
    return net.add(layer, made[layer], [net.last])


def pool(net):
    dice = net.dice
    kernel = dice.choice((2, 2, 2, 3, 3, (1, 2), (3, 2)))
    least = min(kernel) if isinstance(kernel, tuple) else kernel
    stride = dice.choice((1, 2, 2, 3))
    padding = dice.randint(0, least // 2)
    ceil = dice.random() < 0.3
    said = list(kernel) if isinstance(kernel, tuple) else kernel
    if dice.random() < 0.6:
        module = nn.MaxPool2d(kernel, stride, padding, ceil_mode=ceil)
        return net.add("maxpool2d", module, [net.last], first=said, stride=stride, padding=padding, ceil_mode=ceil)
    counts = dice.random() < 0.5
    module = nn.AvgPool2d(kernel, stride, padding, ceil, counts)
    return net.add("avgpool2d", module, [net.last], first=said, stride=stride, padding=padding, ceil_mode=ceil,
                   count_include_pad=counts)


def upsampled(net):
    mode = net.dice.choice(("nearest", "bilinear"))
    factor = net.dice.choice((2, 2, 3))
    options = {"align_corners": net.dice.random() < 0.5} if mode == "bilinear" else {}
    module = nn.Upsample(scale_factor=factor, mode=mode, **options)
    return net.add("upsample", module, [net.last], scale_factor=factor, mode=mode, **options)


def alike(net, same_channels):
    here = net.values[net.last].shape
    if len(here) != 4:
        return []
    return [name for name, value in net.values.items() if name != net.last and value.dim() == 4
            and value.shape[0] == here[0] and value.shape[2:] == here[2:] and (not same_channels or value.shape[1] == here[1])]


def joined(net):
    """Residuals, products with gates, and concatenations."""
    what = net.dice.choice(("add", "add", "add", "mul", "sub", "cat", "cat"))
    others = alike(net, what != "cat")
    if not others:
        return False
    both = [net.last, net.dice.choice(others)]
    net.dice.shuffle(both)
    if what == "cat":
        return net.add("cat", lambda *parts: torch.cat(parts, 1), both, dim=1)
    return net.add(what, getattr(torch, what), both)


def gate(net):
    """Squeeze and excitation."""
    before = net.last
    x = net.values[before]
    if x.dim() != 4 or not net.add("adaptiveavgpool2d", nn.AdaptiveAvgPool2d(1), [before], first=1):
        return False
    few = max(1, x.shape[1] // 4)
    weighted(net, "conv2d", nn.Conv2d(x.shape[1], few, 1))
    net.add("relu", nn.ReLU(), [net.last])
    weighted(net, "conv2d", nn.Conv2d(few, x.shape[1], 1))
    net.add("sigmoid", nn.Sigmoid(), [net.last])
    both = [net.last, before]
    net.dice.shuffle(both)
    return net.add("mul", torch.mul, both)


def rearranged(net):
    dice = net.dice
    x = net.values[net.last]
    if x.dim() != 4:
        return False
    what = dice.choice(("channelshuffle", "pixelshuffle", "slice", "pad", "dropout", "identity"))
    if what == "channelshuffle":
        groups = dice.choice([g for g in (1, 2, 3, 4, 8) if x.shape[1] % g == 0])
        return net.add(what, nn.ChannelShuffle(groups), [net.last], first=groups)
    if what == "pixelshuffle":
        return x.shape[1] % 4 == 0 and net.add(what, nn.PixelShuffle(2), [net.last], first=2)
    if what == "slice":
        start = dice.randint(0, x.shape[1] - 1)
        end = dice.randint(start + 1, x.shape[1])
        return net.add(what, lambda y: y[:, start:end], [net.last], dim=1, start=start, end=end)
    if what == "pad":
        sizes = [dice.randint(0, 3) for _ in range(4)]
        return net.add(what, lambda y: F.pad(y, sizes), [net.last], first=sizes)
    if what == "dropout":
        return net.add(what, nn.Dropout().eval(), [net.last])
    return net.add(what, nn.Identity(), [net.last])


def branched(net):
    """Goes on from an earlier layer; what comes meets this one later, or not."""
    earlier = [name for name, value in net.values.items() if value.dim() == 4]
    net.last = net.dice.choice(earlier)
    return True


def classified(net):
    x = net.values[net.last]
    if x.dim() != 4:
        return
    if net.dice.random() < 0.6:
        net.add("adaptiveavgpool2d", nn.AdaptiveAvgPool2d(1), [net.last], first=1)
    if net.values[net.last][0].numel() > 20_000:
        return
    net.add("flatten", nn.Flatten(), [net.last])
    for _ in range(net.dice.randint(1, 3)):
        out = net.dice.choice((1, 2, 10, 16, 33, 100, 128))
        weighted(net, "linear", nn.Linear(net.values[net.last].shape[1], out))
        if net.dice.random() < 0.5:
            net.add("relu", nn.ReLU(), [net.last])
    if net.dice.random() < 0.3:
        net.add("softmax", nn.Softmax(1), [net.last], first=1)


LAYERS = (convolution,) * 9 + (norm,) * 4 + (activation,) * 5 + (pool,) * 2 + (joined,) * 4 + (
    transposed, upsampled, gate, rearranged, rearranged, branched)


def random_network(seed):
    torch.manual_seed(seed)
    net = Network(random.Random(seed))
    for _ in range(net.dice.randint(1, 16)):
        net.dice.choice(LAYERS)(net)
    if net.dice.random() < 0.5:
        classified(net)
    if net.last == "input" or net.last != f"layer{len(net.layers) - 1}":
        net.add("relu", nn.ReLU(), [net.last])
    return net


def rounded(values):
    return values.float().bfloat16().double()


def round_products(net):
    """Makes of a network in double one whose products are of bfloat16."""
    for module in net.modules.values():
        if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
            module.weight.copy_(rounded(module.weight))
            module.register_forward_pre_hook(lambda _, inputs: (rounded(inputs[0]),))


def run(program, folder, precision, threads, isa):
    output = folder / "output.npy"
    output.unlink(missing_ok=True)
    environment = {**os.environ, **({"RUSHLIGHT_ISA": isa} if isa else {})}
    done = subprocess.run([program, "run", folder / "spec.json", "--weights", folder / "weights.pt", "--input",
                           folder / "input.npy", "--output", output, "--precision", precision, "--threads", str(threads), "-q"],
                          capture_output=True, text=True, check=False, env=environment)
    if done.returncode != 0:
        return f"ended with {done.returncode}: {done.stderr.strip()[-300:]}"
    return np.load(output)


def compare(program, folder, seed):
    """What is wrong with it: a list of words; and its greatest errors, by precision."""
    with torch.no_grad():
        net = random_network(seed)
        found = net.forward(net.input).double().numpy()
        weights = {name: value.clone() for name, value in net.modules.state_dict().items()}
        net.modules.double()
        exact = net.forward(net.input.double()).numpy()
        round_products(net)
        narrow = net.forward(net.input.double()).numpy()
    spec = {"schema": 1, "input": list(net.input.shape[1:]), "layers": net.words}
    (folder / "spec.json").write_text(json.dumps(spec))
    torch.save(weights, folder / "weights.pt")
    np.save(folder / "input.npy", net.input.numpy())
    np.save(folder / "exact.npy", exact)
    largest = max(float(np.abs(exact).max()), 1e-30)
    own = {precision: float(np.abs(theirs - exact).max()) / largest
           for precision, theirs in (("strict", found), ("fast", found), ("bf16", narrow))}
    wrong, errors = [], {}
    for precision, (times, least, share) in LIMITS.items():
        most = max(times * own[precision], least, share * own["bf16"])
        for isa in ISAS:
            first = None
            for threads in (1, 2, 3):
                where = f"{precision}, {isa or 'best'}, {threads} threads"
                y = run(program, folder, precision, threads, isa)
                if isinstance(y, str):
                    wrong.append(f"{where}: {y}")
                    break
                if first is not None:
                    if y.tobytes() != first.tobytes():
                        wrong.append(f"{where}: other bits than with one")
                    continue
                first = y
                if y.shape != exact.shape:
                    wrong.append(f"{where}: shape {y.shape}, not {exact.shape}")
                    break
                error = float(np.abs(y - exact).max()) / largest
                errors[precision] = max(errors.get(precision, 0), error)
                if not error <= most:
                    wrong.append(f"{where}: error {error:.1e}, PyTorch's {own[precision]:.1e}")
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
