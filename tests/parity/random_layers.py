"""Networks by dice: pictures, lines, volumes and sequences through the layers that are made for them.

A network is a list of layers that read any earlier ones. Each is tried in PyTorch as it is added; what PyTorch refuses, what
is empty, or too large, is not. The words of the spec grow beside the modules.
"""
import random
import warnings

import torch
from torch import nn
from torch.nn import functional as F

CHANNELS = (1, 2, 3, 4, 7, 8, 12, 16, 16, 17, 24, 31, 32, 32, 33, 48, 64, 64, 65, 80, 96, 128, 130)
SPATIAL = {"pictures": 2, "lines": 1, "volumes": 3, "sequences": 0}
KERNELS = {
    1: ((3,),) * 5 + ((1,),) * 3 + ((2,), (5,), (7,), (4,), (15,), (41,)),
    2: ((3, 3),) * 5 + ((1, 1),) * 3 + ((5, 5), (7, 7), (2, 2), (1, 7), (7, 1), (1, 3), (3, 1), (4, 3), (5, 2)),
    3: ((3, 3, 3),) * 4 + ((1, 1, 1),) * 2 + ((1, 3, 3), (3, 1, 1), (2, 2, 2), (5, 3, 1), (1, 2, 4)),
}
STRIDES = {1: ((1,),) * 4 + ((2,), (2,), (3,)),
           2: ((1, 1),) * 4 + ((2, 2),) * 2 + ((2, 1), (1, 2), (3, 3)),
           3: ((1, 1, 1),) * 4 + ((2, 2, 2), (1, 2, 2), (2, 1, 3))}
DILATIONS = {1: ((1,),) * 5 + ((2,), (4,)),
             2: ((1, 1),) * 6 + ((2, 2), (1, 2), (3, 1)),
             3: ((1, 1, 1),) * 6 + ((2, 2, 2), (1, 2, 1))}


class Network:
    """Layers with what PyTorch computes of them, and the words of the spec."""

    def __init__(self, dice, family, most_elements, most_macs):
        self.dice = dice
        self.most_elements = most_elements
        self.most_macs = most_macs
        self.family = family
        self.dims = SPATIAL[family]
        self.layers = []     # (name, function of tensors, names of inputs)
        self.modules = nn.ModuleDict()
        self.words = []
        self.values = {}     # name -> a tensor of its shape
        self.last = "input"
        self.macs = 0
        generator = torch.Generator().manual_seed(dice.randrange(1 << 30))
        self.input = torch.randn(first_shape(dice, family), generator=generator)
        if dice.random() < 0.3:
            self.input = self.input.relu()
        self.values["input"] = self.input

    @property
    def x(self):
        return self.values[self.last]

    def is_spatial(self):
        return self.x.dim() == self.dims + 2

    def add(self, layer, function, inputs, module=None, **attributes):
        """Whether there is such a layer: PyTorch's word."""
        name = f"layer{len(self.layers)}"
        try:
            value = function(*(self.values[one] for one in inputs))
        except (RuntimeError, ValueError):
            return False
        if value.numel() == 0 or value.numel() > self.most_elements or not bool(torch.isfinite(value).all()):
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


def first_shape(dice, family):
    batch = dice.choice((1, 1, 2, 3, 5, 8))
    if family == "pictures":
        if dice.random() < 0.3:
            return (batch, dice.choice((1, 3, 3, 4)), dice.randint(16, 70), dice.randint(16, 70))
        return (batch, dice.choice(CHANNELS), dice.randint(1, 40), dice.randint(1, 40))
    if family == "lines":
        return (batch, dice.choice(CHANNELS), dice.choice((dice.randint(1, 40), dice.randint(40, 700))))
    if family == "volumes":
        return (batch, dice.choice(CHANNELS[:15]), *(dice.randint(1, 14) for _ in range(3)))
    return (batch, dice.choice((1, 1, 2, 3, 7, 16, 33, 64)), dice.choice((1, 4, 8, 12, 16, 24, 32, 48, 64, 96)))


def weighted(net, layer, module, **attributes):
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if name.endswith("weight") and parameter.dim() > 1:
                parameter.mul_(2)  # so that values neither vanish nor explode through the layers
    return net.add(layer, module.eval(), [net.last], module, **attributes)


def unlike(words, usual):
    return {key: value for key, value in words.items() if value != usual[key]}


def convolution(net):
    dice, x, dims = net.dice, net.x, net.dims
    if not net.is_spatial():
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
    kernel = dice.choice(KERNELS[dims])
    stride = dice.choice(STRIDES[dims])
    dilation = dice.choice(DILATIONS[dims])
    padding = dice.choice((tuple(k // 2 for k in kernel),) * 4 + tuple(tuple(p[:dims]) for p in (
        (0, 0, 0), (1, 1, 1), (2, 1, 0), (0, 2, 1), (3, 3, 1))))
    bias = dice.random() < 0.7
    mode = dice.choice(("zeros",) * 8 + ("reflect", "replicate", "circular"))
    if stride == (1,) * dims and dice.random() < 0.15:
        padding = dice.choice(("same", "valid"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = (nn.Conv1d, nn.Conv2d, nn.Conv3d)[dims - 1](
            in_channels, out, kernel, stride, padding, dilation, groups, bias, mode)
        macs = x[:, 0].numel() * out * (in_channels // groups)
        for k, s in zip(kernel, stride):
            macs = macs * k // s
        if net.macs + macs > net.most_macs:
            return False

        def said(sizes):
            return sizes if isinstance(sizes, str) else sizes[0] if len(sizes) == 1 else list(sizes)

        words = {"stride": said(stride), "padding": said(padding), "dilation": said(dilation), "groups": groups, "bias": bias,
                 "padding_mode": mode}
        usual = {"stride": said((1,) * dims), "padding": said((0,) * dims), "dilation": said((1,) * dims), "groups": 1,
                 "bias": True, "padding_mode": "zeros"}
        done = weighted(net, f"conv{dims}d", module, **unlike(words, usual))
    net.macs += macs if done else 0
    return done


def transposed(net):
    dice, x, dims = net.dice, net.x, net.dims
    if not net.is_spatial():
        return False
    kernel, stride = dice.choice((2, 3, 4)), dice.choice((1, 2, 2, 3))
    padding = dice.randint(0, kernel - 1)
    extra = dice.randint(0, stride - 1)
    groups = dice.choice([g for g in (1, 1, 1, 2, 4, x.shape[1]) if x.shape[1] % g == 0])
    out = groups * dice.choice((1, 3, 8, 16, 20, 32)) if groups <= 4 else groups
    if x.numel() * (out // groups) * kernel ** dims > net.most_macs // 4:
        return False
    module = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)[dims - 1](
        x.shape[1], out, kernel, stride, padding, extra, groups)
    words = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups}
    return weighted(net, f"convtranspose{dims}d", module,
                    **unlike(words, {"stride": 1, "padding": 0, "output_padding": 0, "groups": 1}))


def norm(net):
    dice, x, dims = net.dice, net.x, net.dims
    if not net.is_spatial():
        return False
    generator = torch.Generator().manual_seed(dice.randrange(1 << 30))
    if dice.random() < 0.85:
        module = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)[dims - 1](
            x.shape[1], eps=1e-3 if dice.random() < 0.3 else 1e-5)
        with torch.no_grad():
            module.running_mean.copy_(torch.randn(x.shape[1], generator=generator) * 0.3)
            module.running_var.copy_(torch.rand(x.shape[1], generator=generator) + 0.5)
            vary(module, generator)
        return weighted(net, f"batchnorm{dims}d", module, **({} if module.eps == 1e-5 else {"eps": module.eps}))
    if dice.random() < 0.3 and x[0, 0].numel() > 8:
        module = (nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)[dims - 1](x.shape[1], affine=True)
        vary(module, generator)
        return weighted(net, f"instancenorm{dims}d", module, affine=True)
    groups = dice.choice([g for g in (1, 2, 4, 8) if x.shape[1] % g == 0])
    module = nn.GroupNorm(groups, x.shape[1])
    vary(module, generator)
    return weighted(net, "groupnorm", module, num_groups=groups)


def vary(module, generator):
    """Weight and bias of a norm."""
    with torch.no_grad():
        module.weight.copy_(torch.rand(module.weight.shape, generator=generator) + 0.5)
        if getattr(module, "bias", None) is not None:
            module.bias.copy_(torch.randn(module.bias.shape, generator=generator) * 0.3)


def activation(net):
    made = {"relu": nn.ReLU(), "relu6": nn.ReLU6(), "leakyrelu": nn.LeakyReLU(), "hardswish": nn.Hardswish(), "silu": nn.SiLU(),
            "gelu": nn.GELU(), "sigmoid": nn.Sigmoid(), "tanh": nn.Tanh(), "elu": nn.ELU(), "hardsigmoid": nn.Hardsigmoid(),
            "mish": nn.Mish(), "softplus": nn.Softplus(), "hardtanh": nn.Hardtanh(), "selu": nn.SELU(), "celu": nn.CELU(),
            "softsign": nn.Softsign(), "logsigmoid": nn.LogSigmoid(), "tanhshrink": nn.Tanhshrink()}
    layer = net.dice.choice(("relu",) * 9 + ("relu6",) * 2 + tuple(made))
    if layer == "relu" and net.dice.random() < 0.1 and net.x.dim() > 1:
        slopes = net.dice.choice((1, net.x.shape[1]))
        module = nn.PReLU(slopes)
        with torch.no_grad():
            module.weight.copy_(torch.rand(slopes, generator=torch.Generator().manual_seed(net.dice.randrange(1 << 30))) - 0.3)
        return net.add("prelu", module, [net.last], module)
    return net.add(layer, made[layer], [net.last])


def pool(net):
    dice, dims = net.dice, net.dims
    if not net.is_spatial():
        return False
    if dice.random() < 0.1:
        sizes = dice.choice(((1,) * 3, (2,) * 3, (3, 2, 1), (7, 5, 3)))[:dims]
        said = sizes[0] if dims == 1 or len(set(sizes)) == 1 else list(sizes)
        what = dice.choice(("Avg", "Max"))
        return net.add(f"adaptive{what.lower()}pool{dims}d", getattr(nn, f"Adaptive{what}Pool{dims}d")(
            sizes if dims > 1 else sizes[0]), [net.last], first=said)
    kernel = dice.choice((2, 2, 2, 3, 3) + ((1, 2, 1)[:dims], (3, 2, 2)[:dims]) * (dims > 1))
    least = min(kernel) if isinstance(kernel, tuple) else kernel
    stride = dice.choice((1, 2, 2, 3))
    padding = dice.randint(0, least // 2)
    ceil = dice.random() < 0.3
    said = list(kernel) if isinstance(kernel, tuple) else kernel
    if dice.random() < 0.6:
        dilation = dice.choice((1, 1, 1, 1, 2))
        module = getattr(nn, f"MaxPool{dims}d")(kernel, stride, padding, dilation, ceil_mode=ceil)
        return net.add(f"maxpool{dims}d", module, [net.last], first=said, stride=stride, padding=padding, ceil_mode=ceil,
                       dilation=dilation)
    counts = dice.random() < 0.5
    module = getattr(nn, f"AvgPool{dims}d")(kernel, stride, padding, ceil, counts)
    return net.add(f"avgpool{dims}d", module, [net.last], first=said, stride=stride, padding=padding, ceil_mode=ceil,
                   count_include_pad=counts)


def upsampled(net):
    if not net.is_spatial():
        return False
    smooth = ("linear", "bilinear", "trilinear")[net.dims - 1]
    mode = net.dice.choice(("nearest", smooth))
    factor = net.dice.choice((2, 2, 3) if net.dims < 3 else (2,))
    options = {"align_corners": net.dice.random() < 0.5} if mode == smooth else {}
    module = nn.Upsample(scale_factor=factor, mode=mode, **options)
    return net.add("upsample", module, [net.last], scale_factor=factor, mode=mode, **options)


def alike(net, differing_dim):
    """Earlier values whose shapes are this one's but for the size of a dimension, if one may differ."""

    def kept(shape):
        return [size for i, size in enumerate(shape) if i != differing_dim]

    return [name for name, value in net.values.items() if name != net.last and value.dim() == net.x.dim()
            and kept(value.shape) == kept(net.x.shape)]


def joined(net):
    """Residuals, products with gates, and concatenations."""
    what = net.dice.choice(("add", "add", "add", "mul", "sub", "cat", "cat", "maximum", "minimum"))
    dim = net.dice.randrange(1, net.x.dim()) if net.dice.random() < 0.2 and net.x.dim() > 1 else min(1, net.x.dim() - 1)
    others = alike(net, dim if what == "cat" else None)
    if not others:
        return False
    both = [net.last, net.dice.choice(others)]
    net.dice.shuffle(both)
    if what == "cat":
        return net.add("cat", lambda *parts: torch.cat(parts, dim), both, dim=dim)
    return net.add(what, getattr(torch, what), both)


def gate(net):
    """Squeeze and excitation."""
    before, x, dims = net.last, net.x, net.dims
    if not net.is_spatial() or not net.add(f"adaptiveavgpool{dims}d", getattr(nn, f"AdaptiveAvgPool{dims}d")(1), [before],
                                           first=1):
        return False
    few = max(1, x.shape[1] // 4)
    conv = getattr(nn, f"Conv{dims}d")
    weighted(net, f"conv{dims}d", conv(x.shape[1], few, 1))
    net.add("relu", nn.ReLU(), [net.last])
    weighted(net, f"conv{dims}d", conv(few, x.shape[1], 1))
    net.add("sigmoid", nn.Sigmoid(), [net.last])
    both = [net.last, before]
    net.dice.shuffle(both)
    return net.add("mul", torch.mul, both)


def rearranged(net):
    dice, x = net.dice, net.x
    if not net.is_spatial():
        return False
    what = dice.choice(("channelshuffle", "pixelshuffle", "slice", "pad", "dropout", "identity", "flip"))
    if what == "channelshuffle":
        groups = dice.choice([g for g in (1, 2, 3, 4, 8) if x.shape[1] % g == 0])
        return net.add(what, nn.ChannelShuffle(groups), [net.last], first=groups)
    if what == "pixelshuffle":
        return net.dims == 2 and x.shape[1] % 4 == 0 and net.add(what, nn.PixelShuffle(2), [net.last], first=2)
    if what == "slice":
        dim = dice.choice((1, 1, 1, dice.randrange(1, x.dim())))
        start = dice.randint(0, x.shape[dim] - 1)
        end = dice.randint(start + 1, x.shape[dim])
        return net.add(what, lambda y: y.narrow(dim, start, end - start), [net.last], dim=dim, start=start, end=end)
    if what == "pad":
        sizes = [dice.randint(0, 3) for _ in range(2 * net.dims)]
        return net.add(what, lambda y: F.pad(y, sizes), [net.last], first=sizes)
    if what == "flip":
        dim = dice.randrange(1, x.dim())
        return net.add(what, lambda y: y.flip(dim), [net.last], first=[dim])
    if what == "dropout":
        return net.add(what, nn.Dropout().eval(), [net.last])
    return net.add(what, nn.Identity(), [net.last])


def branched(net):
    """Goes on from an earlier layer; what comes meets this one later, or not."""
    rank = net.input.dim()
    net.last = net.dice.choice([name for name, value in net.values.items() if value.dim() == rank])
    return True


def classified(net):
    if not net.is_spatial():
        return
    if net.dice.random() < 0.6:
        net.add(f"adaptiveavgpool{net.dims}d", getattr(nn, f"AdaptiveAvgPool{net.dims}d")(1), [net.last], first=1)
    if net.x[0].numel() > 20_000:
        return
    net.add("flatten", nn.Flatten(), [net.last])
    for _ in range(net.dice.randint(1, 3)):
        out = net.dice.choice((1, 2, 10, 16, 33, 100, 128))
        weighted(net, "linear", nn.Linear(net.x.shape[1], out))
        if net.dice.random() < 0.5:
            net.add("relu", nn.ReLU(), [net.last])
    if net.dice.random() < 0.3:
        net.add("softmax", nn.Softmax(1), [net.last], first=1)


def projected(net):
    if net.x.dim() < 2:
        return False
    bias = net.dice.random() < 0.8
    module = nn.Linear(net.x.shape[-1], net.dice.choice((net.x.shape[-1],) * 3 + (1, 2, 10, 16, 33, 64, 100, 128, 256)), bias)
    return weighted(net, "linear", module, **({} if bias else {"bias": False}))


def layer_norm(net):
    generator = torch.Generator().manual_seed(net.dice.randrange(1 << 30))
    if net.x.shape[-1] < 4:
        return False  # the variance of a few values may be nothing
    module = nn.LayerNorm(net.x.shape[-1], eps=net.dice.choice((1e-5, 1e-6)))
    vary(module, generator)
    return weighted(net, "layernorm", module, **({} if module.eps == 1e-5 else {"eps": module.eps}))


class Attention(nn.MultiheadAttention):
    def forward(self, *inputs):
        return super().forward(*inputs, need_weights=False)[0]


def attended(net):
    x = net.x
    if x.dim() != 3 or x.shape[-1] < 4 or x.shape[0] * x.shape[1] ** 2 * x.shape[2] > net.most_macs // 8:
        return False
    heads = net.dice.choice([h for h in (1, 2, 4, 8) if x.shape[-1] % h == 0])
    bias = net.dice.random() < 0.8
    module = Attention(x.shape[-1], heads, bias=bias, batch_first=True)
    others = [name for name, value in net.values.items() if value.dim() == 3 and value.shape[0] == x.shape[0]
              and value.shape[2] == x.shape[2]]
    memory = net.dice.choice(others) if net.dice.random() < 0.3 else net.last
    return net.add("multiheadattention", module.eval(), [net.last, memory, memory], module, num_heads=heads, batch_first=True,
                   need_weights=False, **({} if bias else {"bias": False}))


class FirstOutput:
    def forward(self, x):
        return super().forward(x)[0]


class Rnn(FirstOutput, nn.RNN):
    pass


class Lstm(FirstOutput, nn.LSTM):
    pass


class Gru(FirstOutput, nn.GRU):
    pass


def recurred(net):
    dice, x = net.dice, net.x
    if x.dim() != 3:
        return False
    kind = dice.choice(("rnn", "lstm", "lstm", "gru"))
    hidden = dice.choice((1, 4, 8, 16, 24, 33, 64))
    words = {"num_layers": dice.choice((1, 1, 2)), "bidirectional": dice.random() < 0.3, "bias": dice.random() < 0.8}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = {"rnn": Rnn, "lstm": Lstm, "gru": Gru}[kind](x.shape[-1], hidden, batch_first=True, **words)
    return net.add(kind, module.eval(), [net.last], module, input_size=x.shape[-1], hidden_size=hidden, batch_first=True,
                   **unlike(words, {"num_layers": 1, "bidirectional": False, "bias": True}))


def turned(net):
    dice, x = net.dice, net.x
    if x.dim() != 3:
        return False
    what = dice.choice(("transpose", "slice", "flip", "mean", "softmax", "dropout"))
    if what == "transpose":
        return net.add(what, lambda y: y.transpose(1, 2), [net.last], dim0=1, dim1=2)
    if what == "slice":
        dim = dice.choice((1, 2))
        start = dice.randint(0, x.shape[dim] - 1)
        end = dice.randint(start + 1, x.shape[dim])
        return net.add(what, lambda y: y.narrow(dim, start, end - start), [net.last], dim=dim, start=start, end=end)
    if what == "flip":
        return net.add(what, lambda y: y.flip(1), [net.last], first=[1])
    if what == "mean":
        return net.add(what, lambda y: y.mean(1, keepdim=True), [net.last], first=1, keepdim=True)
    if what == "softmax":
        return net.add(what, nn.Softmax(-1), [net.last], first=-1)
    return net.add(what, nn.Dropout().eval(), [net.last])


def pooled(net):
    """From a sequence to one row, or one number of each item."""
    if net.x.dim() != 3:
        return
    if net.dice.random() < 0.5:
        net.add("mean", lambda y: y.mean(1), [net.last], first=1)
    else:
        net.add("select", lambda y: y.select(1, -1), [net.last], first=1, index=-1)
    projected(net)


SPATIAL_LAYERS = (convolution,) * 9 + (norm,) * 4 + (activation,) * 5 + (pool,) * 2 + (joined,) * 4 + (
    transposed, upsampled, gate, rearranged, rearranged, branched)
SEQUENCE_LAYERS = (projected,) * 6 + (layer_norm,) * 3 + (activation,) * 4 + (joined,) * 4 + (attended,) * 3 + (
    recurred, recurred, turned, turned, branched)


def random_network(seed, most_elements=400_000, most_macs=60_000_000):
    """`most_elements`: of what a layer gives; `most_macs`: of all convolutions."""
    torch.manual_seed(seed)
    dice = random.Random(seed)
    family = dice.choice(("pictures",) * 5 + ("lines",) * 2 + ("volumes",) + ("sequences",) * 2)
    net = Network(dice, family, most_elements, most_macs)
    for _ in range(dice.randint(1, 16)):
        dice.choice(SPATIAL_LAYERS if net.dims else SEQUENCE_LAYERS)(net)
    if dice.random() < 0.5:
        (classified if net.dims else pooled)(net)
    if net.last == "input" or net.last != f"layer{len(net.layers) - 1}":
        net.add("relu", nn.ReLU(), [net.last])
    return net
