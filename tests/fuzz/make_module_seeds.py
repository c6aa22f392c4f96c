#!/usr/bin/env python3
"""Writes the seeds of the module fuzzer: small blocks of torchvision and torch.nn, as torch.save(module) has them.

    make_module_seeds.py FOLDER     needs torch and torchvision; the seeds in corpus/module are of 2.15.0 and 0.29.2
"""
import pathlib
import sys
from functools import partial

import torch
from torch import nn
from torchvision.models import convnext, densenet, efficientnet, maxvit, mnasnet, mobilenetv2, mobilenetv3, regnet, resnet
from torchvision.models import shufflenetv2, squeezenet, swin_transformer, vision_transformer
from torchvision.models._utils import IntermediateLayerGetter
from torchvision.models.segmentation import deeplabv3
from torchvision.ops import misc


def shared(layer: nn.Module) -> nn.Module:
    return nn.Sequential(layer, nn.Tanh(), layer, nn.Sequential(nn.BatchNorm1d(4), layer))


def modules() -> dict[str, nn.Module]:
    norm = nn.BatchNorm2d
    down = nn.Sequential(nn.Conv2d(4, 8, 1, 2, bias=False), norm(8))
    v3 = mobilenetv3.InvertedResidualConfig(8, 3, 8, 8, True, "HS", 1, 1, 1.0)
    mb = efficientnet.MBConvConfig(2, 3, 1, 8, 8, 1, 1.0, 1.0)
    fused = efficientnet.FusedMBConvConfig(2, 3, 1, 8, 8, 1)
    windows = dict(dim=4, num_heads=2, window_size=[2, 2], shift_size=[1, 1])
    backbone = nn.Sequential()
    backbone.add_module("low", nn.Conv2d(3, 4, 3))
    backbone.add_module("high", nn.Conv2d(4, 4, 3))
    return {
        "basic_block": resnet.BasicBlock(4, 8, 2, down),
        "bottleneck": resnet.Bottleneck(8, 2),
        "fire": squeezenet.Fire(4, 2, 3, 3),
        "dense_block": densenet._DenseBlock(2, 4, 2, 3, 0.1),
        "inverted_residual_v2": mobilenetv2.InvertedResidual(4, 4, 1, 2),
        "inverted_residual_v3": mobilenetv3.InvertedResidual(v3, partial(norm, eps=0.001)),
        "mnasnet_block": mnasnet._InvertedResidual(4, 4, 3, 1, 2),
        "shuffle_block": shufflenetv2.InvertedResidual(4, 4, 1),
        "shuffle_block_down": shufflenetv2.InvertedResidual(4, 8, 2),
        "mbconv": efficientnet.MBConv(mb, 0.1, norm),
        "fused_mbconv": efficientnet.FusedMBConv(fused, 0.1, norm),
        "regnet_block": regnet.ResBottleneckBlock(4, 8, 2, norm, nn.ReLU, 4, 1.0, 0.25),
        "convnext_block": convnext.CNBlock(4, 1e-6, 0.1),
        "layer_norm_2d": convnext.LayerNorm2d(4),
        "swin_block": swin_transformer.SwinTransformerBlock(**windows),
        "swin_block_v2": swin_transformer.SwinTransformerBlockV2(**windows),
        "patch_merging": swin_transformer.PatchMerging(4),
        "vit_block": vision_transformer.EncoderBlock(2, 4, 8, 0.1, 0.1),
        "maxvit_attention": maxvit.PartitionAttentionLayer(4, 2, 3, "grid", (6, 6), 2, nn.GELU, nn.LayerNorm, 0.1, 0.1, 0.1),
        "maxvit_conv": maxvit.MBConv(4, 4, 2, 0.5, 2, nn.GELU, norm),
        "layer_getter": IntermediateLayerGetter(backbone, {"low": "low", "high": "out"}),
        "aspp_pooling": deeplabv3.ASPPPooling(4, 3),
        "squeeze_excitation": misc.SqueezeExcitation(4, 2),
        "lstm": nn.LSTM(4, 3, 2, bidirectional=True, proj_size=2),
        "encoder": nn.TransformerEncoder(nn.TransformerEncoderLayer(4, 2, 6, activation="gelu", norm_first=True), 2, nn.LayerNorm(4)),
        "embedding": nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 2)),
        "pads": nn.Sequential(nn.ReflectionPad2d((1, 2, 0, 1)), nn.CircularPad2d(1), nn.ConstantPad2d((1, -1, 0, 0), 0.5)),
        "resizing": nn.Sequential(nn.Upsample(scale_factor=2, mode="bicubic"), nn.PixelUnshuffle(2), nn.UpsamplingNearest2d(size=5)),
        "hooked": nn.utils.spectral_norm(nn.Linear(4, 2)),
        "shared": shared(nn.Linear(4, 4)),
        "transformer": nn.DataParallel(nn.Transformer(4, 2, 1, 1, 6)),
        "fractional": nn.Sequential(nn.FractionalMaxPool2d(2, output_ratio=0.5, _random_samples=torch.rand(1, 4, 2)),
                                    nn.SyncBatchNorm(4), nn.CrossMapLRN2d(3)),
    }


def main() -> None:
    folder = pathlib.Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    for name, module in modules().items():
        torch.save(module.eval(), folder / f"{name}.pt")


if __name__ == "__main__":
    main()
