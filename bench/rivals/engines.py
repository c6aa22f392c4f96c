#!/usr/bin/env python3
"""One rival with one network in one process. Only forward.py starts it.

    engines.py prepare NET FOLDER BATCH...        weights, inputs, right answers and the rivals' own files
    engines.py ENGINE NET FOLDER BATCH THREADS    loads, answers once, then runs when it is asked

The second form writes its first result to FOLDER/ENGINE-bBATCH.f32 and prints a line of JSON. Then, for every line
"WARM RUNS" on its standard input, it runs WARM times unmeasured and RUNS times measured, and prints a line of JSON: the
nanoseconds of each. bench/forward_server.cpp is the same for Rushlight. Arrays are raw little-endian float32.
"""
import json
import os
import pathlib
import subprocess
import sys
import time

from nets import NETS, spec_text


def anonymous_kib():
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1])
    return 0


# --- what everybody reads ---

def calibrated(net, torch):
    """Weights as torch initialises them, and running statistics as a training leaves them: of made-up data, but such
    that activations keep their size through the network, and no denormals arise."""
    torch.manual_seed(0)
    model = net.build().eval()
    norms = [m for m in model.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.momentum = 1.0
        norm.train()
    if norms:
        with torch.inference_mode():
            model(torch.randn(4, *net.item))
    for norm in norms:
        norm.momentum = 0.1
        norm.eval()
    return model


def prepare(name, folder, batches):
    import torch
    net = NETS[name]
    folder.mkdir(parents=True, exist_ok=True)
    model = calibrated(net, torch)
    torch.save(model.state_dict(), folder / "weights.pt")
    if net.spec:
        (folder / "spec.json").write_text(spec_text(net))
    facts = {"title": net.title, "item": list(net.item), "failed": {},
             "parameters": sum(p.numel() for p in model.parameters()),
             "weights_bytes": (folder / "weights.pt").stat().st_size}
    for batch in batches:
        torch.manual_seed(1)
        x = torch.randn(batch, *net.item)
        if net.is_picture:
            x = x.relu()
        with torch.inference_mode():
            y = model(x)
            exact = model.double()(x.double())
            model.float()
        x.numpy().tofile(folder / f"input-b{batch}.f32")
        y.numpy().tofile(folder / f"torch-b{batch}.f32")
        exact.numpy().tofile(folder / f"double-b{batch}.f64")
        export = folder / f"model-b{batch}.onnx"
        try:
            if not export.exists():
                export_onnx(model, x, export, torch)
        except Exception as error:  # whatever an exporter throws: its rivals are then skipped by name
            facts["failed"][f"onnx-b{batch}"] = f"{type(error).__name__}: {error}"[:500]
    model = model.float()
    try:
        if not (folder / "model.ncnn.param").exists():
            export_ncnn(model, torch.randn(1, *net.item), folder, torch)
    except Exception as error:
        facts["failed"]["ncnn"] = f"{type(error).__name__}: {error}"[:500]
    (folder / "facts.json").write_text(json.dumps(facts, indent=1))


def export_onnx(model, x, path, torch):
    try:
        torch.onnx.export(model, (x,), str(path), dynamo=False, opset_version=17, input_names=["x"])
    except Exception as error:  # releases without the older exporter
        print(f"exporting by dynamo: {error}", file=sys.stderr)
        torch.onnx.export(model, (x,), str(path), dynamo=True, input_names=["x"], external_data=False)


def export_ncnn(model, x, folder, torch):
    import pnnx
    with torch.inference_mode():
        traced = torch.jit.trace(model, x)
    traced.save(str(folder / "model.pt"))
    shape = ",".join(map(str, x.shape))
    done = subprocess.run([pnnx.EXEC_PATH, "model.pt", f"inputshape=[{shape}]", "fp16=0"], cwd=folder,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if not (folder / "model.ncnn.param").exists():
        raise RuntimeError(f"pnnx ended with {done.returncode}: {done.stdout.strip().splitlines()[-1:]}")


# --- the rivals: (folder, net, batch, threads) -> run(), which returns the output as a float32 array ---

def onnxruntime_run(folder, net, x, threads):
    import onnxruntime as ort
    ready()
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(str(folder / f"model-b{len(x)}.onnx"), options, providers=["CPUExecutionProvider"])
    # Bound once: each run then costs what the engine costs, and as little of the binding as can be.
    binding = session.io_binding()
    binding.bind_ortvalue_input(session.get_inputs()[0].name, ort.OrtValue.ortvalue_from_numpy(x))
    first = session.run(None, {session.get_inputs()[0].name: x})[0]
    first_result()
    output = ort.OrtValue.ortvalue_from_numpy(first)
    binding.bind_ortvalue_output(session.get_outputs()[0].name, output)
    return (lambda: session.run_with_iobinding(binding)), output.numpy, ort.__version__


def openvino_run(folder, net, x, threads, precision="f32"):
    import openvino
    ready()
    core = openvino.Core()
    model = core.compile_model(core.read_model(folder / f"model-b{len(x)}.onnx"), "CPU", {
        "INFERENCE_NUM_THREADS": threads, "NUM_STREAMS": 1, "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision})  # it takes bfloat16 of itself where the processor has it
    request = model.create_infer_request()
    request.set_input_tensor(openvino.Tensor(x, shared_memory=True))
    return request.infer, lambda: request.get_output_tensor().data, openvino.__version__.split("-")[0]


def openvino_bf16(folder, net, x, threads):
    return openvino_run(folder, net, x, threads, "bf16")


def ncnn_run(folder, net, x, threads):
    import ncnn
    import numpy
    ready()
    model = ncnn.Net()
    model.opt.num_threads = threads
    for reduced in ("use_fp16_packed", "use_fp16_storage", "use_fp16_arithmetic", "use_bf16_storage",
                    "use_bf16_packed"):
        if hasattr(model.opt, reduced):
            setattr(model.opt, reduced, False)
    model.load_param(str(folder / "model.ncnn.param"))
    model.load_model(str(folder / "model.ncnn.bin"))
    items = [ncnn.Mat(item) for item in x]
    outputs = [None] * len(items)

    def run():  # it knows no batches: an image at a time
        for i, item in enumerate(items):
            extractor = model.create_extractor()
            extractor.input("in0", item)
            outputs[i] = extractor.extract("out0")[1]

    return run, lambda: numpy.stack([numpy.array(mat) for mat in outputs]), ncnn.__version__


def torch_model(folder, net, torch, threads):
    torch.set_num_threads(threads)
    model = net.build().eval()
    model.load_state_dict(torch.load(folder / "weights.pt", mmap=True, weights_only=True), assign=True)
    return model


def torch_runner(model, x, torch):
    last = [None]

    def run():
        last[0] = model(x)

    return run, lambda: last[0].contiguous().numpy(), torch.__version__


def torch_eager(folder, net, x, threads):
    import torch
    import torchvision  # noqa: F401  what builds the networks
    ready()
    return torch_runner(torch_model(folder, net, torch, threads), torch.from_numpy(x), torch)


def torch_channels_last(folder, net, x, threads):
    import torch
    import torchvision  # noqa: F401
    if x.ndim != 4:
        sys.exit("channels_last is for images")
    ready()
    model = torch_model(folder, net, torch, threads).to(memory_format=torch.channels_last)
    return torch_runner(model, torch.from_numpy(x).to(memory_format=torch.channels_last), torch)


def torch_bf16(folder, net, x, threads):
    """As its manual has it for processors: autocast, channels last where there are channels, traced and frozen."""
    import torch
    import torchvision  # noqa: F401
    ready()
    images = x.ndim == 4
    layout = torch.channels_last if images else torch.contiguous_format
    model = torch_model(folder, net, torch, threads).to(memory_format=layout)
    example = torch.from_numpy(x).to(memory_format=layout)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
        frozen = torch.jit.freeze(torch.jit.trace(model, example))
    last = [None]

    def run():
        with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
            last[0] = frozen(example)

    return run, lambda: last[0].float().contiguous().numpy(), torch.__version__


def torch_frozen(folder, net, x, threads):
    import torch
    import torchvision  # noqa: F401
    ready()
    model = torch_model(folder, net, torch, threads)
    with torch.no_grad():
        traced = torch.jit.trace(model, torch.from_numpy(x))
        frozen = torch.jit.optimize_for_inference(torch.jit.freeze(traced))
    return torch_runner(frozen, torch.from_numpy(x), torch)


def torch_compiled(folder, net, x, threads):
    import torch
    import torch._inductor.config as inductor
    import torchvision  # noqa: F401
    ready()
    inductor.freezing = True
    model = torch.compile(torch_model(folder, net, torch, threads))
    return torch_runner(model, torch.from_numpy(x), torch)


ENGINES = {"onnxruntime": onnxruntime_run, "openvino": openvino_run, "openvino-bf16": openvino_bf16, "ncnn": ncnn_run,
           "torch": torch_eager, "torch-channels-last": torch_channels_last, "torch-frozen": torch_frozen,
           "torch-compile": torch_compiled, "torch-bf16": torch_bf16}

start = {}


def ready():
    """The imports are done: what follows is from the file to the first result."""
    start["kib"] = anonymous_kib()
    start["ns"] = time.perf_counter_ns()


def first_result():
    start.setdefault("taken", time.perf_counter_ns() - start["ns"])


def serve(engine, name, folder, batch, threads):
    import numpy
    # Libraries may print; the answers have a channel of their own.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    net = NETS[name]
    x = numpy.fromfile(folder / f"input-b{batch}.f32", dtype=numpy.float32).reshape(batch, *net.item)
    run, output, version = ENGINES[engine](folder, net, x, threads)

    def answer(value):
        answers.write(json.dumps(value) + "\n")
        answers.flush()

    def serve_lines():
        run()
        first_result()
        numpy.ascontiguousarray(output(), dtype=numpy.float32).tofile(folder / f"{engine}-b{batch}.f32")
        answer({"version": version, "file_to_first_result_ns": start["taken"], "anonymous_kib_before": start["kib"]})
        clock = time.perf_counter_ns
        for line in sys.stdin:
            warm, runs = map(int, line.split())
            for _ in range(warm):
                run()
            samples = []
            for _ in range(runs):
                begin = clock()
                run()
                samples.append(clock() - begin)
            answer(samples)

    if engine.startswith("torch"):
        import torch
        with torch.inference_mode():
            serve_lines()
    else:
        serve_lines()


def main():
    engine, name, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    if engine == "prepare":
        prepare(name, folder, [int(batch) for batch in sys.argv[4:]])
    else:
        serve(engine, name, folder, int(sys.argv[4]), int(sys.argv[5]))


if __name__ == "__main__":
    main()
