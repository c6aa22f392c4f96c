#!/usr/bin/env python3
"""Writes the golden set `operators-more`: what the set `operators` leaves out, in its format (operators/README.md).

    make_operators.py TESTDATA_DIR

Second outputs of pools, order among equals and NaN, masks of attention, windows of Swin Transformers, states of
recurrent cells, operators without a case there. Needs torchvision. The same versions write the same bytes.
"""
import copy
import pathlib
import sys
import zlib

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models import swin_transformer
from torchvision.transforms.functional import center_crop

NAN, INF = float("nan"), float("inf")


def flat(result) -> list:
    if isinstance(result, torch.Tensor):
        return [result]
    return [] if result is None else [tensor for part in result for tensor in flat(part)]


def wide(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.double() if tensor.dtype == torch.float32 else tensor


def plain(value):
    return [plain(item) for item in value] if isinstance(value, (tuple, list)) else value


class File:
    def __init__(self, name: str):
        self.name = name
        self.cases = []

    def add(self, name, module, attrs, params, inputs, outputs, outputs64, exact=False):
        assert name not in [case["name"] for case in self.cases], name
        case = {"name": name, "module": module, "attrs": {key: plain(value) for key, value in attrs.items()},
                "params": dict(params), "inputs": list(inputs), "output": outputs[0].contiguous().clone(),
                "output64": outputs64[0].contiguous().clone()}
        if len(outputs) > 1:
            case["extra_outputs"] = [output.contiguous().clone() for output in outputs[1:]]
            case["extra_outputs64"] = [output.contiguous().clone() for output in outputs64[1:]]
        if exact:  # float32 decides which place is nearest
            case["float32_decides"] = True
            case["output64"] = wide(case["output"])
        self.cases.append(case)

    def function(self, name, module, call, attrs, *inputs, exact=False):
        """call(*inputs, **attrs), where attrs may be renamed by call itself."""
        outputs = flat(call(*inputs, **attrs))
        outputs64 = flat(call(*[wide(tensor) for tensor in inputs], **attrs))
        self.add(name, module, attrs, {}, inputs, outputs, outputs64, exact)

    def module(self, name, make, attrs, *inputs, torch_name=None, call=None, change=None, without=(), shown=None):
        """make(**attrs) on the inputs. `shown` are attributes of the call."""
        torch.manual_seed(zlib.crc32(f"{self.name} {name}".encode()))
        layer = make(**attrs).eval()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.copy_(torch.randn(parameter.shape) * (0.5 if parameter.ndim > 1 else 0.3))
            if change:
                change(layer)
            call = call or (lambda module, *given: module(*given))
            outputs = flat(call(layer, *inputs))
            outputs64 = flat(call(copy.deepcopy(layer).double(), *[wide(tensor) for tensor in inputs]))
        params = {key: value.clone() for key, value in layer.state_dict().items() if key not in without}
        self.add(name, torch_name or make.__name__, {**attrs, **(shown or {})}, params, inputs, outputs, outputs64)

    def save(self, folder: pathlib.Path):
        torch.save({"op": self.name, "cases": self.cases}, folder / f"{self.name}.pt")
        print(f"{self.name}: {len(self.cases)} cases")


def draw(*shape, seed=0):
    generator = torch.Generator().manual_seed(1000 + seed)
    return torch.randn(shape, generator=generator)


def few(*shape, seed=0):
    """Many equal values."""
    generator = torch.Generator().manual_seed(2000 + seed)
    return torch.randint(-2, 3, shape, generator=generator).float()


def with_nan(tensor, *places):
    tensor = tensor.clone()
    for place in places:
        tensor.view(-1)[place] = NAN
    return tensor


def pool_indices():
    file = File("pool_indices")
    maxima = [(nn.MaxPool1d, (2, 3, 11)), (nn.MaxPool2d, (2, 2, 7, 9)), (nn.MaxPool3d, (1, 2, 5, 6, 7))]
    for make, shape in maxima:
        for attrs in ({"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1},
                      {"kernel_size": 3, "stride": 1, "padding": 1, "dilation": 2},
                      {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}):
            for kind, x in (("random", draw(*shape)), ("ties", few(*shape)), ("NaN", with_nan(draw(*shape), 3, 4, 17)),
                            ("-inf", torch.full(shape, -INF)), ("unbatched", draw(*shape[1:], seed=1))):
                file.module(f"{make.__name__} {attrs} {kind}", make, {**attrs, "return_indices": True}, x)
    adaptive = [(nn.AdaptiveMaxPool1d, (2, 3, 11), 4), (nn.AdaptiveMaxPool2d, (2, 2, 7, 9), (3, None)),
                (nn.AdaptiveMaxPool3d, (1, 2, 5, 6, 7), (2, 3, 9))]
    for make, shape, size in adaptive:
        for kind, x in (("random", draw(*shape)), ("ties", few(*shape)), ("NaN", with_nan(draw(*shape), 3, 4, 17))):
            file.module(f"{make.__name__} {kind}", make, {"output_size": size, "return_indices": True}, x)
    for rank, (pool, unpool) in enumerate(((nn.MaxPool1d, nn.MaxUnpool1d), (nn.MaxPool2d, nn.MaxUnpool2d),
                                           (nn.MaxPool3d, nn.MaxUnpool3d)), 1):
        attrs = {"kernel_size": 3, "stride": 2, "padding": 1}
        values, indices = pool(**attrs, return_indices=True)(draw(2, 3, *[9] * rank))
        file.module(f"{unpool.__name__} padding", unpool, attrs, values, indices)
        values, indices = pool(2, return_indices=True)(draw(3, *[8] * rank))
        file.module(f"{unpool.__name__} unbatched, stride None", unpool, {"kernel_size": 2, "stride": None}, values,
                    indices)
    return file


def order():
    file = File("order")
    rows = draw(4, 9)
    for largest in (True, False):
        for name, x, dim, k in (("last", rows, -1, 3), ("first dim", rows, 0, 2), ("all", rows, 1, 9),
                                ("NaN", with_nan(rows, 2, 12, 30), 1, 4), ("middle", draw(2, 5, 3), 1, 2),
                                ("infinite", torch.tensor([[INF, -INF, 0.0, 1.0]]), 1, 3)):
            file.function(f"topk {name} largest={largest}", "torch.topk", torch.topk,
                          {"k": k, "dim": dim, "largest": largest, "sorted": True}, x)
    for name in ("max", "min", "argmax", "argmin"):
        call = getattr(torch, name)
        for kind, x in (("ties", few(5, 7)), ("NaN", with_nan(draw(5, 7), 3, 4, 20, 34)), ("3-D", few(3, 4, 5)),
                        ("infinite", torch.tensor([[-INF, -INF], [INF, INF], [INF, -INF]]))):
            for dim in (0, -1):
                for keepdim in (False, True):
                    file.function(f"{name} {kind} dim={dim} keepdim={keepdim}", f"torch.{name}", call,
                                  {"dim": dim, "keepdim": keepdim}, x)
            file.function(f"{name} {kind} of all", f"torch.{name}", call, {}, x)
    file.function("max of a scalar", "torch.max", torch.max, {"dim": 0}, torch.tensor(2.5))
    file.function("amax of all", "torch.amax", torch.amax, {}, few(3, 4))
    file.function("amin NaN", "torch.amin", torch.amin, {"dim": [0, 2], "keepdim": True}, with_nan(draw(3, 4, 5), 7))
    return file


def logic():
    file = File("logic")
    special = torch.tensor([0.0, -0.0, 1.0, NAN, INF, -2.0])
    for name in ("logical_and", "logical_or", "logical_xor"):
        call = getattr(torch, name)
        file.function(f"{name} floats", f"torch.{name}", call, {}, special[:, None], special)
        file.function(f"{name} masks", f"torch.{name}", call, {}, special > 0, special[:, None] >= 0)
    file.function("logical_not mask", "torch.logical_not", torch.logical_not, {}, special > 0)
    for name in ("eq", "ne", "lt", "le", "gt", "ge"):
        call = getattr(torch, name)
        file.function(f"{name} broadcast", f"torch.{name}", call, {}, few(3, 1, 4), few(5, 1, seed=1))
        file.function(f"{name} special", f"torch.{name}", call, {}, special[:, None], special)
        file.function(f"{name} the number 0.1", f"torch.{name}", call, {"other": 0.1},
                      torch.tensor([0.1, 0.10000001, 0.09999999, NAN]))
    return file


def pieces():
    file = File("pieces")
    x = draw(3, 4, 5)
    for dim in (0, 1, -1):
        file.function(f"unbind {dim}", "torch.unbind", torch.unbind, {"dim": dim}, x)
    file.function("unbind int64", "torch.unbind", torch.unbind, {"dim": 0}, torch.arange(6).reshape(2, 3))
    gather = lambda source, index, dim: torch.gather(source, dim, index)
    index_select = lambda source, index, dim: torch.index_select(source, dim, index)
    expand_as = lambda a, b: a.expand_as(b)
    file.function("expand_as", "torch.Tensor.expand_as", expand_as, {}, draw(3, 1), draw(2, 3, 4))
    file.function("expand_as vector", "torch.Tensor.expand_as", expand_as, {}, draw(4), draw(2, 3, 4))
    file.function("chunk int64", "torch.chunk", torch.chunk, {"chunks": 2, "dim": 1}, torch.arange(10).reshape(2, 5))
    file.function("split sections with 0", "torch.split", torch.split, {"split_size_or_sections": [2, 0, 3], "dim": -1}, x)
    file.function("cat masks", "torch.cat", lambda a, b, dim: torch.cat([a, b], dim), {"dim": -2}, x > 0, x < 0)
    file.function("stack int64", "torch.stack", lambda a, b, dim: torch.stack([a, b], dim), {"dim": -1},
                  torch.arange(3), torch.arange(3) * 2)
    for dim in (0, 1, 2):
        sizes = [2, 2, 2]
        sizes[dim] = 6
        index = torch.arange(24).reshape(sizes) % x.shape[dim]
        file.function(f"gather dim={dim} of a smaller index", "torch.gather", gather, {"dim": dim}, x, index)
    file.function("index_select dim=-1", "torch.index_select", index_select, {"dim": -1}, x,
                  torch.tensor([4, 0, 0, 2]))
    file.function("index_select int32", "torch.index_select", index_select, {"dim": 0}, x,
                  torch.tensor([2, 1], dtype=torch.int32))
    file.function("gather of int64", "torch.gather", gather, {"dim": 0}, torch.arange(5), torch.tensor([3, 3, 0]))
    file.function("roll flat", "torch.roll", torch.roll, {"shifts": [7]}, x)
    file.function("roll far back", "torch.roll", torch.roll, {"shifts": [-13], "dims": [-1]}, x)
    file.function("flip all", "torch.flip", torch.flip, {"dims": [0, 1, 2]}, x)
    file.function("permute of int64", "torch.permute", torch.permute, {"dims": [1, 0]}, torch.arange(6).reshape(2, 3))
    file.function("where int64", "torch.where", torch.where, {}, torch.tensor([True, False]), torch.tensor([1, 2]),
                  torch.tensor([[3], [4]]))
    file.function("select from the end", "torch.select", torch.select, {"dim": -1, "index": -5}, x)
    file.function("narrow from the end", "torch.narrow", torch.narrow, {"dim": 2, "start": -3, "length": 2}, x)
    for pad, mode in (([0, 0, -1, 2], "constant"), ([-1, 2, 0, 0], "reflect"), ([-2, 2, 1, -1], "replicate"),
                      ([2, -1, -1, 1], "circular"), ([-1, -1, -2, -1], "reflect")):
        file.function(f"pad {pad} {mode}", "torch.nn.functional.pad", F.pad, {"pad": pad, "mode": mode}, draw(2, 3, 4, 5))
    file.function("pad int64", "torch.nn.functional.pad", F.pad, {"pad": [1, 1], "value": 7.0}, torch.arange(3))
    file.function("repeat int64", "torch.Tensor.repeat", lambda t, repeats: t.repeat(repeats), {"repeats": [2, 1, 2]},
                  torch.arange(6).reshape(2, 3))
    return file


def trigonometry():
    file = File("trigonometry")
    special = torch.tensor([0.0, -0.0, 1e-20, 1e-4, -0.3, 0.5, 0.999, -0.9999, 1.0, -1.0, 1.5, -INF, INF, NAN])
    for name in ("asin", "acos", "atan", "sin", "cos", "tan", "sinh", "cosh", "tanh"):
        module = "Tanh" if name == "tanh" else f"torch.{name}"
        file.function(name, module, getattr(torch, name), {}, torch.cat([special, draw(33).clamp(-1, 1)]))
    return file


def bounds():
    file = File("bounds")
    x = with_nan(draw(5, 7), 3)
    low, high = with_nan(few(7), 2), with_nan(few(5, 1, seed=1), 4)
    file.function("clamp tensors with NaN", "torch.clamp", torch.clamp, {}, x, low, high)
    file.function("clamp from below by a tensor", "torch.clamp", torch.clamp, {}, x, low)
    file.function("clamp NaN bound", "torch.clamp", torch.clamp, {"min": NAN}, x)
    file.function("lerp tensor", "torch.lerp", torch.lerp, {}, x, draw(5, 7, seed=1), draw(7, seed=2) * 2)
    for weight in (0.0, 0.5, 1.0, -1.5, 2.0):
        file.function(f"lerp {weight}", "torch.lerp", torch.lerp, {"weight": weight}, x, draw(5, 7, seed=1))
    file.function("masked_fill broadcast", "torch.masked_fill", torch.masked_fill, {"value": 2.5}, x, low > 0)
    file.function("addcmul broadcast", "torch.addcmul", torch.addcmul, {"value": -0.5}, draw(3, 1), draw(4), draw(3, 4))
    file.function("rsub alpha", "torch.rsub", torch.rsub, {"other": 2.0, "alpha": 0.5}, x)
    file.function("rsub tensors", "torch.rsub", torch.rsub, {"alpha": 2}, x, draw(5, 7, seed=1))
    for mode in ("floor", "trunc"):
        file.function(f"div {mode} by a number", "torch.div", torch.div, {"other": 0.75, "rounding_mode": mode}, x)
    file.function("remainder by a number", "torch.remainder", torch.remainder, {"other": -0.75}, x)
    file.function("fmod by a number", "torch.fmod", torch.fmod, {"other": -0.75}, x)
    file.function("pow -2", "torch.pow", lambda base, other: torch.pow(base, other), {"other": -2}, x)
    return file


def reduce():
    file = File("reduce")
    x = draw(3, 4, 5)
    for name in ("sum", "mean", "prod", "std", "var", "logsumexp"):
        call = getattr(torch, name)
        for dims in ([0], [-1, 0], [0, 1, 2], []):
            if name == "prod":
                if len(dims) != 1:
                    continue
                attrs = {"dim": dims[0]}
            elif name == "logsumexp" and not dims:
                continue
            else:
                attrs = {"dim": dims} if dims else {}
            for keepdim in ((False, True) if dims else (False,)):
                more = {"keepdim": keepdim} if dims else {}
                file.function(f"{name} {dims} keepdim={keepdim}", f"torch.{name}", call, {**attrs, **more}, x)
    file.function("var correction 2", "torch.var", torch.var, {"dim": [1], "correction": 2}, x)
    file.function("std correction beyond the count", "torch.std", torch.std, {"dim": [1], "correction": 5}, x)
    file.function("var of one", "torch.var", torch.var, {"dim": [1]}, draw(3, 1))
    file.function("logsumexp infinite", "torch.logsumexp", torch.logsumexp, {"dim": [1]},
                  torch.tensor([[INF, 1.0], [-INF, -INF], [-INF, 2.0], [NAN, 1.0], [INF, -INF]]))
    file.function("cumsum last", "torch.cumsum", torch.cumsum, {"dim": -1}, x)
    file.function("cumsum NaN", "torch.cumsum", torch.cumsum, {"dim": 0}, with_nan(x, 25))
    for order_ in (-INF, -1.0, 0.5, 2.0, INF, 0.0):
        file.function(f"vector_norm {order_}", "torch.linalg.vector_norm", torch.linalg.vector_norm,
                      {"ord": order_, "dim": [0, 2]}, x)
        file.function(f"vector_norm {order_} NaN of all", "torch.linalg.vector_norm", torch.linalg.vector_norm,
                      {"ord": order_}, with_nan(x, 2))
    for p in (1.0, 3.0, INF, 0.0):
        file.module(f"PairwiseDistance {p}", nn.PairwiseDistance, {"p": p, "keepdim": True}, x, draw(4, 5, seed=1))
    for dim in (0, -1):
        file.module(f"CosineSimilarity {dim}", nn.CosineSimilarity, {"dim": dim}, x, draw(1, 4, 5, seed=1))
    file.module("CosineSimilarity of zeros", nn.CosineSimilarity, {"dim": 1, "eps": 0.1}, torch.zeros(2, 3), draw(2, 3))
    einsum = lambda *operands, equation: torch.einsum(equation, *operands)
    for equation, shapes in (("ij,jk,kl->il", [(2, 3), (3, 4), (4, 5)]), ("bij,bjk->bik", [(1, 2, 3), (4, 3, 2)]),
                             ("aBc,B->ca", [(2, 3, 4), (3,)]), ("ii->i", [(4, 4)]), ("ij->", [(3, 4)]),
                             ("iji->j", [(3, 2, 3)]), (" i j , j -> i ", [(2, 3), (3,)])):
        file.function(f"einsum {equation}", "torch.einsum", einsum, {"equation": equation},
                      *[draw(*shape, seed=i) for i, shape in enumerate(shapes)])
    file.function("addmm vector", "torch.addmm", torch.addmm, {"beta": 0.5, "alpha": -1.0}, draw(4), draw(3, 2), draw(2, 4))
    file.function("addmm ignores NaN", "torch.addmm", torch.addmm, {"beta": 0}, torch.full((3, 4), NAN), draw(3, 2),
                  draw(2, 4))
    file.function("matmul broadcast", "torch.matmul", torch.matmul, {}, draw(2, 1, 3, 4), draw(5, 4, 2))
    file.function("matmul vector and stack", "torch.matmul", torch.matmul, {}, draw(4), draw(2, 5, 4, 2))
    file.function("matmul of nothing", "torch.matmul", torch.matmul, {}, draw(3, 0), draw(0, 2))
    return file


def resize():
    file = File("resize")
    for mode, shape in (("linear", (2, 3, 7)), ("bilinear", (2, 2, 5, 7)), ("trilinear", (1, 2, 3, 4, 5)),
                        ("bicubic", (2, 2, 5, 7)), ("area", (2, 2, 5, 7)), ("nearest", (2, 2, 5, 7)),
                        ("nearest", (1, 2, 3, 4, 5)), ("nearest", (2, 3, 7)), ("nearest-exact", (2, 2, 5, 7))):
        for factor in (1.1, 2.1, 1.15, 0.95, 2.0, 0.4):
            for recompute in (None, True):
                file.function(f"{mode} {len(shape)}-D scale {factor} recompute={recompute}",
                              "torch.nn.functional.interpolate", F.interpolate,
                              {"scale_factor": factor, "mode": mode, "recompute_scale_factor": recompute}, draw(*shape),
                              exact=mode.startswith("nearest"))
    for mode in ("bilinear", "bicubic"):
        for align in (False, True):
            for size in ([3, 4], [2, 11], [1, 1], [9, 7]):
                file.function(f"{mode} antialias {size} align={align}", "torch.nn.functional.interpolate", F.interpolate,
                              {"size": size, "mode": mode, "align_corners": align, "antialias": True}, draw(1, 2, 9, 7))
            file.function(f"{mode} antialias scale 0.3 align={align}", "torch.nn.functional.interpolate", F.interpolate,
                          {"scale_factor": [0.3, 0.7], "mode": mode, "align_corners": align, "antialias": True},
                          draw(1, 2, 11, 13))
    like = lambda x, y, mode: F.interpolate(x, size=y.shape[2:], mode=mode)
    file.function("size of another", "torch.nn.functional.interpolate", like, {"mode": "bilinear"}, draw(1, 2, 4, 5),
                  draw(1, 1, 7, 3))
    return file


def sampling():
    file = File("sampling")
    points = torch.tensor([-1.0, 1.0, 0.0, -1.5, 3.7, 1e10, -1e10, 0.33, -0.5])
    grid2 = torch.stack(torch.meshgrid(points, points, indexing="xy"), -1)[None]
    grid3 = draw(1, 3, 4, 5, 3) * 1.5
    for padding in ("zeros", "border", "reflection"):
        for align in (False, True):
            for mode in ("bilinear", "nearest"):
                attrs = {"mode": mode, "padding_mode": padding, "align_corners": align}
                exact = mode == "nearest"
                file.function(f"3-D {attrs}", "torch.nn.functional.grid_sample", F.grid_sample, attrs, draw(1, 2, 3, 4, 5),
                              grid3, exact=exact)
                if padding != "zeros":  # far points of zeros are a case of the other set
                    file.function(f"one place {attrs}", "torch.nn.functional.grid_sample", F.grid_sample, attrs,
                                  draw(1, 2, 1, 4), grid2[:, :, :5].clamp(-4, 4), exact=exact)
    theta = draw(2, 3, 4)
    for align in (False, True):
        file.function(f"affine_grid 3-D align={align}", "torch.nn.functional.affine_grid",
                      lambda t, size, align_corners: F.affine_grid(t, size, align_corners),
                      {"size": [2, 1, 3, 1, 4], "align_corners": align}, theta)
    return file


def attention():
    file = File("attention")
    mha = nn.MultiheadAttention
    q, k = draw(3, 5, 8), draw(3, 7, 8, seed=1)
    lost = torch.zeros(3, 7, dtype=torch.bool)
    lost[1, 2:] = True
    dead = lost.clone()
    dead[2] = True
    causal = torch.ones(5, 7).triu(2).bool()
    per_head = draw(6, 5, 7, seed=2) > 0.7

    def run(name, attrs, masks, need_weights=True, average=True, query=q, key=k):
        names = ["query", "key", "value"] + list(masks)
        shown = {"need_weights": need_weights, "average_attn_weights": average, "inputs": names}

        def call(layer, a, b, c, *given):
            return layer(a, b, c, need_weights=need_weights, average_attn_weights=average,
                         **dict(zip(masks, given)))
        file.module(name, mha, {"embed_dim": 8, "num_heads": 2, "batch_first": True, **attrs}, query, key, key,
                    *masks.values(), call=call, shown=shown)

    run("both masks", {}, {"attn_mask": causal, "key_padding_mask": lost})
    run("both masks without weights", {}, {"attn_mask": causal, "key_padding_mask": lost}, need_weights=False)
    run("a mask for each head", {}, {"attn_mask": per_head}, average=False)
    run("float masks", {}, {"attn_mask": draw(5, 7, seed=3), "key_padding_mask": draw(3, 7, seed=4)})
    run("a dead item", {}, {"key_padding_mask": dead})
    run("a dead item without weights", {}, {"key_padding_mask": dead}, need_weights=False)
    run("bias_kv and zero_attn", {"add_bias_kv": True, "add_zero_attn": True},
        {"attn_mask": causal, "key_padding_mask": lost}, average=False)
    run("zero_attn saves a dead item", {"add_zero_attn": True}, {"key_padding_mask": dead})
    run("length first", {"batch_first": False}, {"attn_mask": causal}, query=q.transpose(0, 1).contiguous(),
        key=k.transpose(0, 1).contiguous())
    run("unbatched with a mask for each head", {}, {"attn_mask": per_head[:2]}, query=q[0], key=k[0])
    run("unbatched padding", {}, {"key_padding_mask": lost[1]}, query=q[0], key=k[0])

    sdpa = "torch.nn.functional.scaled_dot_product_attention"
    call = F.scaled_dot_product_attention
    a, b, c = draw(2, 4, 5, 8), draw(2, 4, 7, 8, seed=1), draw(2, 4, 7, 3, seed=2)
    file.function("three dimensions", sdpa, call, {}, a[0], b[0], c[0])
    file.function("broadcast batch", sdpa, call, {}, a[:, :1], b[:1], c[:1])
    file.function("a dead float row", sdpa, call, {}, a, b, c,
                  torch.where(torch.arange(5)[:, None] == 2, -INF, 0.0).expand(5, 7).contiguous())
    file.function("grouped queries, causal", sdpa, call, {"enable_gqa": True, "is_causal": True}, a, b[:, :2], c[:, :2])
    file.function("grouped queries, one head, a mask", sdpa, call, {"enable_gqa": True}, a, b[:, :1], c[:, :1], causal)
    file.function("no keys take part but the first", sdpa, call, {"scale": 1.5}, a, b, c,
                  (torch.arange(7) == 0).expand(5, 7).contiguous())
    return file


def swin():
    file = File("swin")
    without = ("relative_position_index", "relative_coords_table")  # buffers that follow from the window
    for make in (swin_transformer.ShiftedWindowAttention, swin_transformer.ShiftedWindowAttentionV2):
        for name, shape, attrs in (
                ("whole windows", (2, 8, 8, 6), {"window_size": [4, 4], "shift_size": [0, 0]}),
                ("shifted", (2, 8, 8, 6), {"window_size": [4, 4], "shift_size": [2, 2]}),
                ("padded and shifted", (1, 7, 10, 6), {"window_size": [4, 4], "shift_size": [2, 2]}),
                ("a map smaller than a window", (1, 3, 5, 6), {"window_size": [4, 8], "shift_size": [2, 4]}),
                ("shifted one way", (1, 4, 12, 6), {"window_size": [4, 3], "shift_size": [2, 1]}),
                ("shifted down alone", (1, 9, 6, 6), {"window_size": [3, 2], "shift_size": [1, 0]}),
                ("without biases", (1, 6, 6, 6), {"window_size": [3, 3], "shift_size": [1, 1], "qkv_bias": False,
                                                  "proj_bias": False})):
            file.module(f"{make.__name__} {name}", make, {"dim": 6, "num_heads": 2, **attrs}, draw(*shape),
                        torch_name=f"torchvision.models.swin_transformer.{make.__name__}", without=without)

    def steep(layer):
        layer.logit_scale.copy_(torch.tensor([[[5.0]], [[4.0]]]))
    file.module("V2 logit_scale beyond its clamp", swin_transformer.ShiftedWindowAttentionV2,
                {"dim": 6, "num_heads": 2, "window_size": [4, 4], "shift_size": [0, 0]}, draw(1, 4, 4, 6),
                torch_name="torchvision.models.swin_transformer.ShiftedWindowAttentionV2", without=without, change=steep)
    return file


def recurrent():
    file = File("recurrent")
    for make, states in ((nn.RNNCell, 1), (nn.GRUCell, 1), (nn.LSTMCell, 2)):
        file.module(f"{make.__name__} without a state", make, {"input_size": 5, "hidden_size": 7}, draw(3, 5))
        call = (lambda cell, x, h, c: cell(x, (h, c))) if states == 2 else None
        given = [draw(7, seed=1), draw(7, seed=2)][:states]
        file.module(f"{make.__name__} unbatched without bias", make, {"input_size": 5, "hidden_size": 7, "bias": False},
                    draw(5), *given, call=call)
    for make in (nn.RNN, nn.GRU, nn.LSTM):
        file.module(f"{make.__name__} three layers both ways, unbatched", make,
                    {"input_size": 5, "hidden_size": 4, "num_layers": 3, "bidirectional": True, "batch_first": True},
                    draw(6, 5))
    for name, attrs in (("projected both ways", {"bidirectional": True}), ("projected without bias", {"bias": False}),
                        ("projected batch first", {"batch_first": True, "num_layers": 2})):
        attrs = {"input_size": 5, "hidden_size": 6, "proj_size": 2, **attrs}
        file.module(f"LSTM {name}", nn.LSTM, attrs, draw(3, 4, 5))
    states = (draw(4, 3, 2, seed=1), draw(4, 3, 6, seed=2))
    file.module("LSTM projected with states", nn.LSTM,
                {"input_size": 5, "hidden_size": 6, "proj_size": 2, "num_layers": 2, "bidirectional": True},
                draw(4, 3, 5), *states, call=lambda lstm, x, h, c: lstm(x, (h, c)))
    weights = torch.rand(3, 4, generator=torch.Generator().manual_seed(7))
    bag = {"num_embeddings": 10, "embedding_dim": 4, "mode": "sum"}
    indices = torch.tensor([[1, 2, 2, 9], [0, 0, 0, 0], [3, 1, 4, 1]])
    weighted = lambda layer, x, w: layer(x, per_sample_weights=w)
    file.module("EmbeddingBag weighted rows", nn.EmbeddingBag, bag, indices, weights, call=weighted)
    file.module("EmbeddingBag weighted rows with padding", nn.EmbeddingBag, {**bag, "padding_idx": -9}, indices, weights,
                call=weighted)
    for mode in ("sum", "mean", "max"):
        file.module(f"EmbeddingBag {mode} of int32, all padding", nn.EmbeddingBag, {**bag, "mode": mode, "padding_idx": 0},
                    indices.int())
    file.module("Embedding int32 of three dimensions", nn.Embedding, {"num_embeddings": 10, "embedding_dim": 4},
                indices.int()[None])
    return file


def fractional():
    file = File("fractional_max_pool")
    for name, call, functional, rank in (
            ("fractional_max_pool2d", "torch.nn.functional.fractional_max_pool2d", F.fractional_max_pool2d, 2),
            ("fractional_max_pool3d", "torch.nn.functional.fractional_max_pool3d", F.fractional_max_pool3d, 3)):
        shape = (2, 3, 13, 11) if rank == 2 else (2, 2, 7, 9, 8)

        def pool(x, samples, **attrs):
            return functional(x, return_indices=True, _random_samples=samples, **attrs)
        samples = torch.rand(shape[0], shape[1], rank, generator=torch.Generator().manual_seed(rank))
        for attrs in ({"kernel_size": 2, "output_size": [5] * rank}, {"kernel_size": 3, "output_size": 4},
                      {"kernel_size": [2, 3] if rank == 2 else [1, 2, 3], "output_ratio": [0.6] * rank},
                      {"kernel_size": 2, "output_ratio": [0.5, 0.7] if rank == 2 else [0.4, 0.5, 0.7]},
                      {"kernel_size": 2, "output_size": 1},
                      {"kernel_size": 1, "output_size": [size - (rank == 3) for size in shape[2:]]}):
            for kind, x in (("random", draw(*shape)), ("ties", few(*shape)), ("NaN", with_nan(draw(*shape), 3, 4, 17)),
                            ("-inf", torch.full(shape, -INF))):
                # Every sample at the ends of its range, too.
                for edge in (None, 0.0, 0.99999):
                    given = samples if edge is None else torch.full_like(samples, edge)
                    if attrs["kernel_size"] == 3 or (edge is None and kind == "random"):
                        file.function(f"{name} {attrs} {kind} {edge}", call, pool, attrs, x, given, exact=True)
        file.function(f"{name} unbatched", call, pool, {"kernel_size": 2, "output_size": 3}, draw(*shape[1:]), samples[:1],
                      exact=True)
        file.function(f"{name} more samples than pictures", call, pool, {"kernel_size": 2, "output_size": 3},
                      draw(*shape)[:1], samples, exact=True)
    return file


def response():
    file = File("cross_map_lrn")
    for size in (1, 2, 3, 4, 5, 9):
        for channels in (1, 2, 3, 7, 12):
            attrs = {"size": size, "alpha": 0.5, "beta": 0.75, "k": 1.5}
            file.module(f"size {size} of {channels}", nn.CrossMapLRN2d, attrs, draw(2, channels, 3, 4))
    file.module("defaults", nn.CrossMapLRN2d, {"size": 5}, draw(1, 6, 2, 2) * 100)
    file.module("NaN", nn.CrossMapLRN2d, {"size": 3}, with_nan(draw(1, 6, 2, 2), 9))
    return file


def synchronised():
    file = File("sync_batch_norm")

    def statistics(layer):
        if layer.running_var is not None:
            layer.running_mean.copy_(draw(*layer.running_mean.shape, seed=4))
            layer.running_var.copy_(draw(*layer.running_var.shape, seed=5).abs() + 0.3)
    for shape in ((4, 3), (3, 3, 5), (2, 3, 4, 5), (2, 3, 2, 4, 3), (2, 3, 2, 2, 3, 2), (1, 3, 1, 1)):
        for attrs in ({}, {"eps": 0.1, "affine": False}):
            file.module(f"{len(shape)}-D {list(shape)} {attrs}", nn.SyncBatchNorm, {"num_features": 3, **attrs}, draw(*shape),
                        change=statistics, without=("num_batches_tracked",))
    return file


def pad_as():
    file = File("pad_as")
    name = "torch.nn.functional.pad to the size of another tensor"

    def fitted(x, other, dims=None, placement="center", mode="constant", value=0.0):
        """What forwards of U-Nets do with the way up, or with what they skip to."""
        amounts = []
        for dim in range(x.ndim - 1, -1, -1):
            difference = other.shape[dim] - x.shape[dim]
            if dim not in ([d % x.ndim for d in dims] if dims else range(2, x.ndim)):
                amounts += [0, 0]
            elif placement == "end":
                amounts += [0, difference]
            elif placement == "center_crop" and difference < 0:
                top = int(round(-difference / 2.0))  # torchvision.transforms.functional.center_crop
                amounts += [-top, difference + top]
            else:
                amounts += [difference // 2, difference - difference // 2]
        if not any(amounts):
            return x.clone()
        if mode != "constant":
            amounts = amounts[:4]  # the others have no padding
        return F.pad(x, amounts, mode, value) if mode == "constant" else F.pad(x, amounts, mode)

    x = draw(2, 3, 9, 10)
    for height, width in ((9, 10), (12, 13), (6, 5), (4, 10), (9, 17), (11, 7), (8, 3), (1, 1)):
        other = torch.zeros(2, 5, height, width)
        for placement in ("center", "end", "center_crop"):
            file.function(f"{height}x{width} {placement}", name, fitted, {"placement": placement}, x, other)
        for mode in ("reflect", "replicate", "circular"):
            if height > 4 and width > 4:
                file.function(f"{height}x{width} {mode}", name, fitted, {"mode": mode}, x, other)
    # The same numbers by torchvision itself.
    for size in ([6, 5], [4, 4], [3, 7]):
        crop = lambda tensor, other, placement: center_crop(tensor, list(other.shape[2:]))
        file.function(f"torchvision's CenterCrop {size}", name, crop, {"placement": "center_crop"}, x,
                      torch.zeros(1, 1, *size))
    file.function("one dimension, filled", name, fitted, {"value": 7.5}, draw(2, 3, 5), torch.zeros(1, 1, 8))
    file.function("volumes", name, fitted, {}, draw(1, 2, 3, 4, 5), torch.zeros(1, 1, 6, 2, 8))
    file.function("chosen dimensions", name, fitted, {"dims": [1, -1], "placement": "end"}, draw(2, 3, 5),
                  torch.zeros(4, 2, 9))
    file.function("int64", name, fitted, {"dims": [0]}, torch.arange(5), torch.zeros(8, dtype=torch.long))
    file.function("to nothing", name, fitted, {}, draw(2, 3, 4), torch.zeros(2, 3, 0))
    return file


def nothing():
    file = File("nothing")
    x = draw(3, 4, 5)
    file.function("topk of none", "torch.topk", torch.topk, {"k": 0, "dim": 1}, x)
    file.function("narrow to none", "torch.narrow", torch.narrow, {"dim": 1, "start": 2, "length": 0}, x)
    file.function("narrow to none at the end", "torch.narrow", torch.narrow, {"dim": 2, "start": 5, "length": 0}, x)
    return file


def outer_norms():
    """Norms of both infinities: the largest and the smallest distance from 0."""
    file = File("outer_norms")
    shapes = {nn.LPPool1d: (2, 3, 11), nn.LPPool2d: (1, 5, 4, 5), nn.LPPool3d: (1, 2, 4, 3, 5)}
    for make, shape in shapes.items():
        for power in (INF, -INF):
            for attrs in ({"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "ceil_mode": True}):
                for kind, x in (("random", draw(*shape)),
                                ("NaN, -inf", with_nan(torch.where(few(*shape) > 1, -INF, draw(*shape)), 3, 4, 17))):
                    file.module(f"{make.__name__} {power} {attrs} {kind}", make, {"norm_type": power, **attrs}, x)
    return file


def main():
    folder = pathlib.Path(sys.argv[1]) / "operators-more"
    folder.mkdir(exist_ok=True)
    torch.set_num_threads(1)
    for make in (pool_indices, order, logic, pieces, trigonometry, bounds, reduce, resize, sampling, attention, swin,
                 recurrent, fractional, response, synchronised, pad_as, nothing, outer_norms):
        make().save(folder)


if __name__ == "__main__":
    main()
