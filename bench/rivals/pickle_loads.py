#!/usr/bin/env python3
"""Times CPython's pickle on the bytes that bench_pickle reads; prints one JSON object of raw samples.

    pickle_loads.py DIR [--tensors 20000] [--rounds 9]

Writes DIR/state_dict.pkl first when it is not there: a state dict as torch.save pickles it (protocol 2, storages as
persistent ids), made without torch. "c" is pickle.Unpickler, "python" pickle._Unpickler, which PyTorch's weights_only
unpickler is written after. Both find stubs that do nothing: no rival does more work than parsing and calling them.
"""
import argparse
import collections
import io
import json
import pathlib
import pickle
import platform
import sys
import time
import types


def stub_modules():
    """torch's names, so that CPython pickles references to them."""
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")

    def _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks):
        return None

    class FloatStorage:
        def __init__(self, key, numel):
            self.key, self.numel = key, numel

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    FloatStorage.__module__, FloatStorage.__qualname__ = "torch", "FloatStorage"
    utils._rebuild_tensor_v2, torch.FloatStorage, torch._utils = _rebuild_tensor_v2, FloatStorage, utils
    return {"torch": torch, "torch._utils": utils}


def write_stream(path, tensors, torch):
    class Tensor:
        def __init__(self, key, shape):
            self.key, self.shape = key, shape

        def __reduce_ex__(self, protocol):
            stride = (self.shape[1], 1) if len(self.shape) == 2 else (1,)
            numel = self.shape[0] * (self.shape[1] if len(self.shape) == 2 else 1)
            return (torch._utils._rebuild_tensor_v2, (torch.FloatStorage(self.key, numel), 0, self.shape, stride, False,
                                                      collections.OrderedDict()))

    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, torch.FloatStorage):
                return ("storage", torch.FloatStorage, value.key, "cpu", value.numel)
            return None

    state = collections.OrderedDict()
    for i in range(tensors):
        name = "model.layers.%d.self_attn.projection.%s" % (i // 2, "weight" if i % 2 == 0 else "bias")
        state[name] = Tensor(str(i), (128, 128) if i % 2 == 0 else (128,))
    out = io.BytesIO()
    Pickler(out, 2).dump(state)
    path.write_bytes(out.getvalue())


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--tensors", type=int, default=20000)
    arguments.add_argument("--rounds", type=int, default=9)
    options = arguments.parse_args()
    modules = stub_modules()
    sys.modules.update(modules)
    path = options.folder / "state_dict.pkl"
    if not path.exists():
        write_stream(path, options.tensors, modules["torch"])
    stream = path.read_bytes()

    def persistent_load(self, pid):
        return None

    samples = {}
    for name, base in (("c", pickle.Unpickler), ("python", pickle._Unpickler)):
        unpickler = type("Unpickler", (base,), {"persistent_load": persistent_load})
        samples[name] = []
        for round_number in range(options.rounds + 1):  # the first warms up
            start = time.perf_counter()
            value = unpickler(io.BytesIO(stream)).load()
            taken = time.perf_counter() - start
            if len(value) != options.tensors:
                sys.exit("%d tensors, expected %d" % (len(value), options.tensors))
            if round_number > 0:
                samples[name].append(taken)
    print(json.dumps({
        "schema": 1, "command": "bench/rivals/pickle_loads.py", "python": platform.python_version(),
        "stream_bytes": len(stream), "tensors": options.tensors, "seconds": samples,
        "megabytes_per_second": {name: round(len(stream) / sorted(taken)[len(taken) // 2] / 1e6, 1)
                                 for name, taken in samples.items()}}))


if __name__ == "__main__":
    main()
