#!/usr/bin/env python3
"""Inference on one GPU by Rushlight and by PyTorch, side by side: the same weights and inputs, buffers on the GPU.

    cuda_forward.py                                            everything, on a machine whose GPU does nothing else
    cuda_forward.py --nets resnet50 --batches 1,64 --rounds 3
    cuda_forward.py --device cpu --nets mlp --batches 1 --rounds 1 --dry-run    tries its own parts out, without a GPU

Needs a build with CUDA (`bench_forward_server`) and a Python with torch, and torchvision for its networks (--python). Each
way to run a network is a process that stays for the whole block (a network, a batch) and is asked in turn, in another
order every round, while the others wait. Before it is timed its output is compared with what PyTorch computes in double
on the processor. What cannot be had is skipped, and the reason is printed and kept.

Writes bench/results/YYYY-MM-DD-rivals-cuda.json with every sample; bench/cuda_report.py makes tables of the newest.
"""
import argparse
import datetime
import json
import pathlib
import random
import statistics
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path[:0] = [str(ROOT / "bench"), str(HERE)]
from cuda_engines import WAYS  # noqa: E402
from forward import Failed, listed, read_array, relative_error, say  # noqa: E402
from nets import NETS  # noqa: E402
from run import machine, output_of, without_folder, write_blocks  # noqa: E402

OURS = ["rushlight-strict", "rushlight-tf32", "rushlight-bf16", "rushlight-fp16"]
MEASURED = ["mlp", "fashion_cnn", "resnet18", "resnet50", "vgg16", "mobilenet_v2"]
# A rival whose output is further from the right one than this, relative to the largest value, computes something else.
# The networks have random weights, of which short formats lose more than of trained ones.
LARGEST_ERROR = {"float32": 1e-4, "tf32": 3e-2, "bf16": 3e-1}
MOST_SAMPLES = 200  # of one turn


def precision_of(rival):
    if "bf16" in rival:
        return "bf16"
    return "tf32" if rival.endswith(("tf32", "fp16")) else "float32"


def title_of(rival):
    return WAYS[rival].title if rival in WAYS else "Rushlight, " + rival.partition("-")[2]


def command_of(rival, settings, name, batch):
    folder, net = settings.folder / name, NETS[name]
    if rival in WAYS:
        words = [settings.python, HERE / "cuda_engines.py", rival, name, folder, batch, settings.device]
    else:
        structure = ["--arch", net.arch] if net.arch else ["--spec", folder / "spec.json"]
        words = [settings.server, folder / "weights.pt", *structure, folder / f"input-b{batch}.f32",
                 folder / f"{rival}-b{batch}.f32", 1 if settings.device == "cpu" else settings.device,
                 rival.partition("-")[2], batch, *net.item]
    return [str(word) for word in words]


class Child:
    """One rival in a process of its own."""

    def __init__(self, rival, settings, name, batch):
        self.result = settings.folder / name / f"{rival}-b{batch}.f32"
        self.result.unlink(missing_ok=True)
        self.log = settings.folder / name / f"{rival}.log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command_of(rival, settings, name, batch), stdin=subprocess.PIPE, stderr=log,
                                            stdout=subprocess.PIPE, text=True)

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            words = self.log.read_text(errors="replace").strip().splitlines()
            raise Failed(f"ended with {self.process.wait()}: {words[-1][:300] if words else 'without a word'}")
        return json.loads(line)

    def run(self, warm, runs):
        self.process.stdin.write(f"{warm} {runs}\n")
        self.process.stdin.flush()
        return self.answer()

    def end(self):
        for stream in (self.process.stdin, self.process.stdout):
            try:
                stream.close()
            except OSError:
                pass  # it has gone already
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Measurement:
    def __init__(self, settings):
        self.settings = settings
        self.skipped, self.blocks = [], []

    def skip(self, why, **where):
        self.skipped.append({**where, "why": str(why)})
        say("SKIPPED: " + " ".join(str(word) for word in where.values()) + f": {why}")

    def block(self, name, batch):
        exact = read_array(self.settings.folder / name / f"double-b{batch}.f64", "d")
        children, errors = {}, {}
        for rival in self.settings.rivals:
            child = None
            try:
                child = Child(rival, self.settings, name, batch)
                child.answer()
                errors[rival] = relative_error(read_array(child.result, "f"), exact)
                if not errors[rival] <= LARGEST_ERROR[precision_of(rival)]:
                    raise Failed(f"its output is {errors[rival]:.1e} off")
                children[rival] = child
            except (Failed, OSError, json.JSONDecodeError) as error:
                if child:
                    child.end()
                self.skip(error, rival=rival, net=name, batch=batch)
        try:
            self.measure(children, errors, name, batch)
        finally:
            for child in children.values():
                child.end()

    def measure(self, children, errors, name, batch):
        plan = {}  # how many runs fill a turn, from the fastest of the first few
        for rival, child in children.items():
            once = min(child.run(3, 5)) / 1e9
            runs = max(3, min(MOST_SAMPLES, round(self.settings.seconds / once)))
            plan[rival] = (max(1, min(1000, round(self.settings.seconds / 4 / once))), runs)
        samples = {rival: [] for rival in children}
        order = list(children)
        shuffle = random.Random(f"{name} {batch}")
        for _ in range(self.settings.rounds):
            shuffle.shuffle(order)
            for rival in order:
                samples[rival].append(children[rival].run(*plan[rival]))
        for rival, rounds in samples.items():
            self.blocks.append({"net": name, "batch": batch, "rival": rival, "error_against_double": errors[rival],
                                "rounds_ns": rounds})
            say(f"{name:13} b={batch:<3} {title_of(rival):42} {statistics.median(sum(rounds, [])) / 1e6:9.4f} ms  "
                f"error {errors[rival]:.1e}")


def facts_of(settings):
    done = subprocess.run([settings.python, HERE / "cuda_engines.py", "facts"], capture_output=True, text=True,
                          check=False)
    if done.returncode != 0:
        words = done.stderr.strip().splitlines()
        return None, f"{settings.python} has no torch: {words[-1] if words else done.returncode}"
    return json.loads(done.stdout.splitlines()[-1]), ""


def prepare(settings, name):
    """Why it cannot be had, or ''."""
    done = subprocess.run([settings.python, HERE / "cuda_engines.py", "prepare", name, settings.folder / name,
                           *map(str, settings.batches)], capture_output=True, text=True, check=False)
    words = done.stderr.strip().splitlines()
    return "" if done.returncode == 0 else (words[-1] if words else f"ended with {done.returncode}")


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=listed, default=MEASURED, help=",".join(NETS))
    parser.add_argument("--batches", type=lambda text: list(map(int, listed(text))), default=[1, 8, 64], help="1,8,64")
    parser.add_argument("--rivals", type=listed, default=[*OURS, *WAYS], help=",".join([*OURS, *WAYS]))
    parser.add_argument("--rounds", type=int, default=5, help="turns of each rival in a block (5)")
    parser.add_argument("--seconds", type=float, default=0.2, help="about how long a turn measures (0.2)")
    parser.add_argument("--device", default="cuda:0", choices=["cuda:0", "cpu"], help="cpu: to try this script out")
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "cuda", help="where Rushlight is built")
    parser.add_argument("--folder", type=pathlib.Path, help="for weights and inputs (BUILD/rivals-cuda)")
    parser.add_argument("--python", default=sys.executable, help="a Python with torch and torchvision")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "bench" / "results", help="where to write")
    parser.add_argument("--dry-run", action="store_true", help="print, write no file")
    settings = parser.parse_args()
    for words, known, what in ((settings.nets, NETS, "network"), (settings.rivals, [*OURS, *WAYS], "rival")):
        unknown = [word for word in words if word not in known]
        if unknown:
            parser.error(f"no {what} is called {unknown[0]}: {', '.join(known)}")
    if settings.device == "cpu" and not settings.dry_run:
        parser.error("--device cpu tries the script out: give --dry-run too")
    settings.server = settings.build / "bench" / "bench_forward_server"
    settings.folder = settings.folder or settings.build / "rivals-cuda"
    return settings


def main():
    settings = parse_arguments()
    facts, why = facts_of(settings)
    if facts is None:
        sys.exit(f"{why}; PyTorch makes the weights and the right answers: give --python with one that has it")
    measurement = Measurement(settings)
    if not settings.server.is_file():
        for rival in OURS:
            measurement.skip(f"there is no {settings.server.name}: cmake --workflow --preset cuda, with benchmarks",
                             rival=rival)
        settings.rivals = [rival for rival in settings.rivals if rival not in OURS]
    if settings.device != "cpu" and not facts["gpu"]:
        say(f"SKIPPED: nothing was measured: torch {facts['torch']} sees no GPU")
        sys.exit(77)
    say(f"torch {facts['torch']}, CUDA {facts['cuda']}, cuDNN {facts['cudnn']}, torchvision {facts['torchvision']}, "
        f"{facts['gpu'] or 'no GPU'}")
    start = datetime.datetime.now(datetime.timezone.utc)
    for name in settings.nets:
        if why := prepare(settings, name):
            measurement.skip(why, net=name)
            continue
        for batch in settings.batches:
            measurement.block(name, batch)
    if not measurement.blocks:
        sys.exit("nothing was measured")
    if settings.dry_run:
        return
    changes = output_of("git", "status", "--porcelain", "--", ".", ":!bench/results")
    document = {
        "schema": 1,
        "name": "rivals-cuda",
        "date": start.isoformat(timespec="seconds"),
        "commit": output_of("git", "rev-parse", "--verify", "--quiet", "HEAD"),
        "uncommitted_changes": None if changes is None else bool(changes),
        "command": ["cuda_forward.py", *map(without_folder, sys.argv[1:])],
        "machine": machine(),
        "gpu": output_of("nvidia-smi", "--query-gpu=name,driver_version,clocks.sm,clocks.mem", "--format=csv,noheader"),
        "torch": facts,
        "ways": {rival: title_of(rival) for rival in settings.rivals},
        "blocks": measurement.blocks,
        "skipped": measurement.skipped,
    }
    say(f"written: {write_blocks(settings.results, document).name}")


if __name__ == "__main__":
    main()
