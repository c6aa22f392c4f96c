"""The networks that bench/rivals/forward.py runs: how PyTorch builds them, and how Rushlight is told what they are.

torch is imported only by what builds a network, so that the driver can read the table with any Python.
"""
import dataclasses
import json


@dataclasses.dataclass(frozen=True)
class Net:
    title: str
    item: tuple  # the shape of one input
    build: object  # () -> torch.nn.Module
    arch: str = ""  # Rushlight's --arch, or a spec
    spec: object = None  # () -> dict
    is_picture: bool = False  # half of the inputs are zeros, as in the pictures of Fashion-MNIST


def torchvision(name):
    def build():
        from torchvision import models
        arguments = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
        return getattr(models, name)(weights=None, **arguments)
    return build


def spec_of(item, layers):
    return lambda: {"schema": 1, "input": list(item), "layers": layers}


def one_number():
    from torch import nn
    return nn.Sequential(nn.Linear(1, 1))


def mlp():
    from torch import nn
    return nn.Sequential(nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10))


MLP_LAYERS = [{"linear": "0"}, "relu", {"linear": "2"}]


def fashion_cnn():
    """That of tests/runtime/nets.hpp."""
    from collections import OrderedDict
    from torch import nn
    return nn.Sequential(OrderedDict(
        conv1=nn.Conv2d(1, 32, 3, padding=1), bn1=nn.BatchNorm2d(32), relu1=nn.ReLU(), pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(32, 64, 3, padding=1), bn2=nn.BatchNorm2d(64), relu2=nn.ReLU(), pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(), fc1=nn.Linear(64 * 7 * 7, 128), relu3=nn.ReLU(), fc2=nn.Linear(128, 10)))


FASHION_LAYERS = [{"conv2d": "conv1", "padding": 1}, {"batchnorm2d": "bn1"}, "relu", {"maxpool2d": 2},
                  {"conv2d": "conv2", "padding": 1}, {"batchnorm2d": "bn2"}, "relu", {"maxpool2d": 2},
                  "flatten", {"linear": "fc1"}, "relu", {"linear": "fc2"}]


# M5 on one second of sound at 8 kHz: kernel, step and channels of its four convolutions.
SOUND = [(80, 4, 32), (3, 1, 32), (3, 1, 64), (3, 1, 64)]


def sound_cnn():
    from torch import nn
    layers, before = [], 1
    for kernel, step, channels in SOUND:
        layers += [nn.Conv1d(before, channels, kernel, stride=step), nn.BatchNorm1d(channels), nn.ReLU(),
                   nn.MaxPool1d(4)]
        before = channels
    return nn.Sequential(*layers, nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(before, 35))


def sound_layers():
    layers = []
    for i, (_, step, _) in enumerate(SOUND):
        layers += [{"conv1d": str(4 * i), "stride": step}, {"batchnorm1d": str(4 * i + 1)}, "relu", {"maxpool1d": 4}]
    return [*layers, {"adaptiveavgpool1d": 1}, "flatten", {"linear": str(4 * len(SOUND) + 2)}]


UNET_CHANNELS = (16, 32, 64, 128)


def unet():
    import torch
    from torch import nn

    def double(before, channels):
        return nn.Sequential(nn.Conv2d(before, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels), nn.ReLU(),
                             nn.Conv2d(channels, channels, 3, padding=1, bias=False), nn.BatchNorm2d(channels),
                             nn.ReLU())

    class UNet(nn.Module):
        def __init__(self):
            super().__init__()
            self.down = nn.ModuleList(double(a, b) for a, b in zip((3, *UNET_CHANNELS), UNET_CHANNELS))
            pairs = list(zip(UNET_CHANNELS[:0:-1], UNET_CHANNELS[-2::-1]))
            self.grow = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in pairs)
            self.up = nn.ModuleList(double(a, b) for a, b in pairs)
            self.last = nn.Conv2d(UNET_CHANNELS[0], 2, 1)
            self.pool = nn.MaxPool2d(2)

        def forward(self, x):
            skips = []
            for i, part in enumerate(self.down):
                x = part(x if i == 0 else self.pool(x))
                skips.append(x)
            for grow, part, skip in zip(self.grow, self.up, reversed(skips[:-1])):
                x = part(torch.cat([skip, grow(x)], 1))
            return self.last(x)

    return UNet()


def unet_layers():
    def double(name, last):
        return [{"conv2d": f"{name}.0", "padding": 1, "bias": False}, {"batchnorm2d": f"{name}.1"}, "relu",
                {"conv2d": f"{name}.3", "padding": 1, "bias": False}, {"batchnorm2d": f"{name}.4"}, {"relu": last}]

    layers, depth = [], len(UNET_CHANNELS)
    for i in range(depth):
        layers += ([] if i == 0 else [{"maxpool2d": 2}]) + double(f"down.{i}", f"skip{i}")
    for i in range(depth - 1):
        layers += [{"convtranspose2d": f"grow.{i}", "stride": 2},
                   {"cat": f"joined{i}", "dim": 1, "input": [f"skip{depth - 2 - i}", f"grow.{i}"]},
                   *double(f"up.{i}", f"up{i}")]
    return [*layers, {"conv2d": "last"}]


IMAGE = (3, 224, 224)
NETS = {
    "one_number": Net("Linear of one number: the cost of a call", (1,), one_number,
                      spec=spec_of((1,), [{"linear": "0"}])),
    "mlp": Net("MLP 784-128-10", (784,), mlp, spec=spec_of((784,), MLP_LAYERS)),
    "mlp_picture": Net("MLP 784-128-10, half of its inputs 0", (784,), mlp,
                       spec=spec_of((784,), MLP_LAYERS), is_picture=True),
    "fashion_cnn": Net("Fashion CNN", (1, 28, 28), fashion_cnn, spec=spec_of((1, 28, 28), FASHION_LAYERS)),
    "sound_cnn": Net("1-D CNN (M5, 8 kHz)", (1, 8000), sound_cnn, spec=spec_of((1, 8000), sound_layers())),
    "unet": Net("U-Net, 16 to 128 channels, 128 x 128", (3, 128, 128), unet,
                spec=spec_of((3, 128, 128), unet_layers())),
    "squeezenet1_1": Net("SqueezeNet 1.1", IMAGE, torchvision("squeezenet1_1"), "squeezenet1_1"),
    "mobilenet_v2": Net("MobileNetV2", IMAGE, torchvision("mobilenet_v2"), "mobilenet_v2"),
    "efficientnet_b0": Net("EfficientNet-B0", IMAGE, torchvision("efficientnet_b0"), "efficientnet_b0"),
    "resnet18": Net("ResNet-18", IMAGE, torchvision("resnet18"), "resnet18"),
    "resnet50": Net("ResNet-50", IMAGE, torchvision("resnet50"), "resnet50"),
    "densenet121": Net("DenseNet-121", IMAGE, torchvision("densenet121"), "densenet121"),
    "vgg16": Net("VGG16", IMAGE, torchvision("vgg16"), "vgg16"),
}


def spec_text(net):
    return json.dumps(net.spec())
