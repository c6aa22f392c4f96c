#!/usr/bin/env python3
"""Writes the golden set `modules-more`: whole modules that the set `format` leaves out, with what PyTorch computes.

    make_modules.py TESTDATA_DIR

NAME.pt is the module, NAME.npz what it is given ("input0" ...) and what it returns ("output"). The same versions write the
same bytes.
"""
import pathlib
import sys

import numpy
import torch
from torch import nn


class Twice(nn.Module):
    """A child that forward() calls twice, with running statistics beside it: state_dict() lists both once."""

    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(6, 6)
        self.bn = nn.BatchNorm1d(6)

    def forward(self, x):
        return self.bn(self.fc(torch.relu(self.bn(self.fc(x)))))


class Stages(nn.Module):
    """One block at two places, and a head whose weight is the stem's."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(4, 4, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(4, 4, 1), nn.ReLU())
        self.again = self.block
        self.head = nn.Conv2d(4, 4, 3, padding=1)
        self.head.weight = self.stem.weight

    def forward(self, x):
        return self.head(self.again(self.block(self.stem(x))))


def sequential_with_one_layer_twice():
    layer = nn.Linear(5, 5)
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Sequential(nn.ReLU(), layer))


def transformer(**attributes):
    return nn.Transformer(d_model=8, nhead=2, num_encoder_layers=2, num_decoder_layers=2, dim_feedforward=12, **attributes)


def fractional(dimensions, **attributes):
    make = nn.FractionalMaxPool2d if dimensions == 2 else nn.FractionalMaxPool3d
    return nn.Sequential(nn.ReLU(), make(2, _random_samples=torch.rand(2, 3, dimensions), **attributes))


def main():
    folder = pathlib.Path(sys.argv[1]) / "modules-more"
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    modules = {
        "one_layer_twice": (sequential_with_one_layer_twice, [(3, 5)]),
        "called_twice": (Twice, [(4, 6)]),
        "one_block_twice": (Stages, [(2, 4, 5, 6)]),
        "transformer": (transformer, [(5, 3, 8), (4, 3, 8)]),
        "transformer_batch_first": (lambda: transformer(batch_first=True, norm_first=True, activation="gelu"),
                                    [(3, 5, 8), (3, 4, 8)]),
        "transformer_wrapped": (lambda: nn.DataParallel(transformer(bias=False)), [(5, 3, 8), (4, 3, 8)]),
        "transformer_decoder": (lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(8, 2, 12), 2, nn.LayerNorm(8)),
                                [(4, 3, 8), (5, 3, 8)]),
        "transformer_encoder": (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 12, batch_first=True), 2),
                                [(3, 5, 8)]),
        "multihead_attention": (lambda: nn.MultiheadAttention(8, 2, batch_first=True), [(3, 4, 8), (3, 5, 8), (3, 5, 8)]),
        "bilinear": (lambda: nn.Bilinear(3, 4, 5), [(2, 3), (2, 4)]),
        "fractional2d": (lambda: fractional(2, output_size=(4, 5)), [(2, 3, 9, 12)]),
        "fractional2d_ratio": (lambda: fractional(2, output_ratio=0.5), [(2, 3, 9, 12)]),
        "fractional3d": (lambda: fractional(3, output_ratio=(0.5, 0.6, 0.4)), [(2, 3, 7, 9, 8)]),
        "fractional_random": (lambda: nn.Sequential(nn.FractionalMaxPool2d(2, output_size=3)), None),
        "cross_map_lrn": (lambda: nn.Sequential(nn.CrossMapLRN2d(4, alpha=0.5), nn.CrossMapLRN2d(5)), [(2, 7, 3, 4)]),
        "sync_batch_norm_rows": (lambda: nn.Sequential(nn.SyncBatchNorm(4)), [(3, 4)]),
        "sync_batch_norm_volumes": (lambda: nn.Sequential(nn.SyncBatchNorm(4), nn.ReLU(), nn.SyncBatchNorm(4)),
                                    [(2, 4, 2, 3, 3)]),
    }
    for name, (make, shapes) in modules.items():
        torch.manual_seed(len(name) * 1000 + sum(name.encode()))
        module = make().eval()
        with torch.no_grad():
            for key, tensor in module.state_dict().items():
                if tensor.is_floating_point() and not key.endswith("_random_samples"):
                    tensor.copy_(torch.rand(tensor.shape) + 0.5 if key.endswith("running_var") else
                                 torch.randn(tensor.shape) * 0.4)
        torch.save(module, folder / f"{name}.pt")
        if shapes is None:
            continue
        inputs = [torch.randn(shape) for shape in shapes]
        with torch.no_grad():
            output = module(*inputs)
        arrays = {f"input{i}": x.numpy() for i, x in enumerate(inputs)}
        arrays["output"] = (output[0] if isinstance(output, tuple) else output).numpy()
        numpy.savez(folder / f"{name}.npz", **arrays)
        print(f"{name}: {list(arrays['output'].shape)}")


if __name__ == "__main__":
    main()
