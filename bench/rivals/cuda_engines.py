#!/usr/bin/env python3
"""PyTorch on one GPU, one way to run one network in one process. Only cuda_forward.py starts it.

    cuda_engines.py facts                                    what this Python has: a line of JSON
    cuda_engines.py prepare NET FOLDER BATCH...              weights, inputs, and the answers of the processor in double
    cuda_engines.py WAY NET FOLDER BATCH DEVICE              loads, answers once, then runs when it is asked

As engines.py, whose protocol the third form has: after its first result it reads lines "WARM RUNS" and answers with the
nanoseconds of each run. Inputs and outputs lie on the device, as those of Rushlight's server; a run has ended when the
device has. DEVICE is "cuda:0"; on "cpu" the ways that need no GPU can be tried out.
"""
import contextlib
import dataclasses
import json
import os
import pathlib
import sys
import time

from engines import calibrated
from nets import NETS, spec_text


@dataclasses.dataclass(frozen=True)
class Way:
    title: str
    tf32: bool = False
    channels_last: bool = False
    bf16: bool = False  # autocast
    compiled: bool = False
    graph: bool = False  # a CUDA graph, replayed


WAYS = {
    "torch": Way("PyTorch eager, TF32 off"),
    "torch-tf32": Way("PyTorch eager, TF32 on", tf32=True),
    "torch-channels-last": Way("channels last, TF32 off", channels_last=True),
    "torch-channels-last-tf32": Way("channels last, TF32 on", tf32=True, channels_last=True),
    "torch-compile": Way("compiled, TF32 off", compiled=True),
    "torch-compile-tf32": Way("compiled, channels last, TF32 on", tf32=True, channels_last=True, compiled=True),
    "torch-graph": Way("CUDA graph, channels last, TF32 off", channels_last=True, graph=True),
    "torch-graph-tf32": Way("CUDA graph, channels last, TF32 on", tf32=True, channels_last=True, graph=True),
    "torch-bf16": Way("bf16 autocast, channels last", tf32=True, channels_last=True, bf16=True),
    "torch-bf16-graph": Way("bf16 autocast, channels last, CUDA graph", tf32=True, channels_last=True, bf16=True,
                            graph=True),
    "torch-bf16-compile": Way("bf16 autocast, channels last, compiled", tf32=True, channels_last=True, bf16=True,
                              compiled=True),
}


def facts():
    import torch
    found = {"torch": torch.__version__, "cuda": torch.version.cuda, "cudnn": None, "gpu": None, "torchvision": None}
    with contextlib.suppress(Exception):  # whatever a build without cuDNN raises
        found["cudnn"] = torch.backends.cudnn.version()
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name(0)
    with contextlib.suppress(ImportError):
        import torchvision
        found["torchvision"] = torchvision.__version__
    print(json.dumps(found))


def prepare(name, folder, batches):
    import torch
    net = NETS[name]
    folder.mkdir(parents=True, exist_ok=True)
    model = calibrated(net, torch)
    torch.save(model.state_dict(), folder / "weights.pt")
    if net.spec:
        (folder / "spec.json").write_text(spec_text(net))
    model = model.double()
    for batch in batches:
        torch.manual_seed(1)
        x = torch.randn(batch, *net.item)
        x.numpy().tofile(folder / f"input-b{batch}.f32")
        with torch.inference_mode():
            # In pieces: a whole batch of 64 in double would take the memory of a small machine.
            exact = torch.cat([model(piece.double()) for piece in x.split(8)])
        exact.numpy().tofile(folder / f"double-b{batch}.f64")


def runner(way, model, x, device, torch):
    """run() and last(): the newest output, on the device."""
    layout = torch.channels_last if way.channels_last and x.ndim == 4 else torch.contiguous_format
    model = model.to(device).to(memory_format=layout)
    x = x.to(device).contiguous(memory_format=layout)
    if way.compiled:
        if not hasattr(torch, "compile"):
            sys.exit(f"torch {torch.__version__} has no compile()")
        model = torch.compile(model)
    # Its cache of rounded weights would be emptied at the end of each run, and does not go with graphs.
    precision = (torch.autocast(torch.device(device).type, dtype=torch.bfloat16, cache_enabled=False) if way.bf16
                 else contextlib.nullcontext())
    last = [None]

    def run():
        with precision:
            last[0] = model(x)

    if not way.graph:
        return run, lambda: last[0]
    if not device.startswith("cuda"):
        sys.exit("CUDA graphs need a GPU")
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay, lambda: last[0]


def serve(name_of_way, name, folder, batch, device):
    import numpy
    import torch
    if NETS[name].arch:
        import torchvision  # noqa: F401  what builds the network: its absence shows before anything is timed
    # Libraries may print; the answers have a channel of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    net, way = NETS[name], WAYS[name_of_way]
    torch.backends.cuda.matmul.allow_tf32 = way.tf32
    torch.backends.cudnn.allow_tf32 = way.tf32
    torch.backends.cudnn.benchmark = True  # its own choice of algorithms by measuring them, as one would run it
    x = torch.from_numpy(numpy.fromfile(folder / f"input-b{batch}.f32", dtype=numpy.float32).reshape(batch, *net.item))
    model = net.build().eval()
    model.load_state_dict(torch.load(folder / "weights.pt"))
    wait = torch.cuda.synchronize if device.startswith("cuda") else lambda: None

    def answer(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    with torch.inference_mode():
        run, last = runner(way, model, x, device, torch)
        run()
        wait()
        last().float().cpu().contiguous().numpy().tofile(folder / f"{name_of_way}-b{batch}.f32")
        answer({"version": torch.__version__})
        clock = time.perf_counter_ns
        for line in sys.stdin:
            warm, runs = map(int, line.split())
            for _ in range(warm):
                run()
            wait()
            samples = []
            for _ in range(runs):
                begin = clock()
                run()
                wait()
                samples.append(clock() - begin)
            answer(samples)


def main():
    words = sys.argv[1:]
    if words[0] == "facts":
        facts()
    elif words[0] == "prepare":
        prepare(words[1], pathlib.Path(words[2]), [int(batch) for batch in words[3:]])
    else:
        serve(words[0], words[1], pathlib.Path(words[2]), int(words[3]), words[4])


if __name__ == "__main__":
    main()
