#!/usr/bin/env python3
"""Inference by Rushlight and its rivals, side by side: the same weights, inputs and number of threads, in fp32, and of
those that have it in bfloat16.

    forward.py                                                  everything: hours, on a machine that does nothing else
    forward.py --nets resnet18,mlp --batches 1 --threads 1 --rounds 3
    forward.py --python .../bin/python                          on a Python that has torch and torchvision already

Needs a build of `cmake --workflow --preset bench`. What it lacks it installs into a virtual environment under the build
directory; a rival that cannot be had is skipped, and the reason is in the report. Each rival is a process of its own
that stays for the whole block (a network, a batch, a number of threads) and is asked in turn, in another order every
round; many short rounds give a noisy machine less to say than a few long ones. All others are stopped by a signal
meanwhile, so that nobody's waiting threads take the processor. A turn waits up to a second for a processor that is as
fast as any was before (Quiet), whoever's turn it is, since neighbours on a shared machine slow processors for a while;
with one thread it stays there. Before it is timed its output is compared with PyTorch's, in float32 and in double.

Writes bench/results/YYYY-MM-DD-rivals-forward.json with every sample; forward_report.py makes the tables and the chart.
With no rivals but those in bfloat16 it is rivals-bf16, and with --rounds 0 rivals-first: the report takes its tables of
bfloat16, and the times to the first result, from there.
"""
import argparse
import array
import datetime
import hashlib
import json
import math
import os
import pathlib
import random
import signal
import statistics
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(ROOT / "bench"))
from nets import NETS  # noqa: E402
from quiet import Quiet  # noqa: E402
from run import free_path, machine, output_of, without_folder, write_blocks  # noqa: E402

# Rival -> the packages it wants besides torch. Rushlight is the first.
EXPORT = ["onnx", "onnxscript"]
RIVALS = {"rushlight": [], "rushlight-fast": [], "rushlight-bf16": [], "rushlight-int8": [],
          "onnxruntime": ["onnxruntime", *EXPORT],
          "openvino": ["openvino", *EXPORT], "openvino-bf16": ["openvino", *EXPORT], "ncnn": ["ncnn", "pnnx"],
          "torch": [], "torch-channels-last": [], "torch-frozen": [], "torch-compile": [], "torch-bf16": []}
# How far 8-bit integers are off is a matter of trained weights and real pictures, which these networks have not
# (tests/parity/int8.py): its speed alone means something here.
ON_REQUEST = ("rushlight-int8",)
NEEDS_FILE = {"onnxruntime": "onnx-b{batch}", "openvino": "onnx-b{batch}", "openvino-bf16": "onnx-b{batch}",
              "ncnn": "ncnn"}
PACKAGE_FOLDERS = {"onnxruntime": "onnxruntime", "openvino": "openvino", "ncnn": "ncnn", "torch": "torch"}
# A rival whose output is further from PyTorch's than this, relative to the largest value, computes something else.
LARGEST_ERROR = 1e-3
LARGEST_ERROR_BF16 = 3e-1  # of networks with random weights; PyTorch and OpenVINO round what layers hand on, too
MOST_SAMPLES = 25  # of one turn: of many short ones more would say no more


def say(text):
    print(text, file=sys.stderr, flush=True)


# --- the environment ---

class Environment:
    """A virtual environment; on top of the packages of another Python, where one is given."""

    def __init__(self, folder, base):
        self.folder = folder
        self.python = folder / "bin" / "python"
        self.missing = {}  # package -> why
        if not self.python.exists():
            say(f"virtual environment: {folder}")
            subprocess.run([base or sys.executable, "-m", "venv", folder], check=True)
            if base:
                self.borrow(base)
        if not self.has("torch") or not self.has("torchvision"):
            # Wheels for the processor alone are a tenth of the size, but lie on a server of their own.
            self.pip("torch", "torchvision", "--index-url", "https://download.pytorch.org/whl/cpu", quiet=True)
        if not self.has("torch") or not self.has("torchvision"):
            self.pip("torch", "torchvision")
        if not self.has("torch") or not self.has("torchvision"):
            sys.exit("PyTorch with torchvision is needed for the weights: give --python with both")

    def borrow(self, base):
        where = "import sysconfig; print(sysconfig.get_paths()['purelib'])"
        theirs = subprocess.run([base, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
        ours = subprocess.run([self.python, "-c", where], capture_output=True, text=True, check=True).stdout.strip()
        (pathlib.Path(ours) / "borrowed.pth").write_text(theirs + "\n")

    def has(self, package):
        done = subprocess.run([self.python, "-c", f"import {package}"], capture_output=True, check=False)
        return done.returncode == 0

    def pip(self, *words, quiet=False):
        done = subprocess.run([self.python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *words],
                              capture_output=True, text=True, check=False)
        lines = done.stderr.strip().splitlines()
        if done.returncode != 0 and not quiet:
            say(f"pip install {' '.join(words)}: {lines[-1] if lines else 'failed'}")
        return "" if done.returncode == 0 else (lines[-1] if lines else "pip failed")

    def want(self, packages):
        """Why one of them cannot be had, or ''."""
        for package in packages:
            if package not in self.missing:
                self.missing[package] = "" if self.has(package) else self.pip(package)
            if self.missing[package]:
                return f"{package} cannot be installed: {self.missing[package]}"
        return ""


# --- one rival in a process of its own ---

class Failed(Exception):
    pass


def proc_numbers(pid):
    """Jiffies of a process and the children it has waited for, or 0 where it has gone."""
    try:
        fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return int(fields[11]) + int(fields[12])


class Child:
    def __init__(self, rival, settings, name, batch, threads):
        folder = settings.folder / name
        self.rival = rival
        self.result = folder / f"{rival}-b{batch}.f32"
        self.result.unlink(missing_ok=True)
        self.errors_path = folder / f"{rival}.log"
        net = NETS[name]
        if rival.startswith("rushlight"):
            structure = ["--arch", net.arch] if net.arch else ["--spec", folder / "spec.json"]
            command = [settings.server, folder / "weights.pt", *structure, folder / f"input-b{batch}.f32", self.result,
                       threads, rival.partition("-")[2] or "strict", batch, *net.item]
        else:
            command = [settings.environment.python, HERE / "engines.py", rival, name, folder, batch, threads]
        self.began = time.perf_counter_ns()
        # Its own session: stopping it stops its threads and whatever it started.
        with self.errors_path.open("w") as log:
            self.process = subprocess.Popen([str(word) for word in command], stdin=subprocess.PIPE, stderr=log,
                                            stdout=subprocess.PIPE, text=True, start_new_session=True,
                                            env={**os.environ, "OMP_NUM_THREADS": str(threads)})

    def answer(self):
        line = self.process.stdout.readline()
        if not line:
            words = self.errors_path.read_text(errors="replace").strip().splitlines()
            raise Failed(f"ended with {self.process.wait()}: {words[-1][:300] if words else 'without a word'}")
        return json.loads(line)

    def first(self):
        self.facts = self.answer()
        self.facts["process_to_first_result_ns"] = time.perf_counter_ns() - self.began
        return self.facts

    def run(self, warm, runs):
        self.process.stdin.write(f"{warm} {runs}\n")
        self.process.stdin.flush()
        return self.answer()

    def signal(self, number):
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            pass

    def stay_on(self, processors):
        """The threads that it has by now."""
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            try:
                os.sched_setaffinity(int(task.name), processors)
            except ProcessLookupError:
                pass  # a thread that has ended

    def stop(self):
        self.signal(signal.SIGSTOP)

    def go(self):
        self.signal(signal.SIGCONT)

    def end(self):
        """What it says at its end: Rushlight how often its runs asked for memory."""
        self.go()
        last = {}
        try:
            self.process.stdin.close()
            if self.rival.startswith("rushlight"):
                last = json.loads(self.process.stdout.readline() or "{}")
        except (OSError, json.JSONDecodeError):
            pass
        self.process.stdout.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.signal(signal.SIGKILL)
            self.process.wait()
        return last

    def libraries(self, package):
        """The sizes of the package's own libraries that the process has mapped."""
        sizes = {}
        for line in pathlib.Path(f"/proc/{self.process.pid}/maps").read_text().splitlines():
            path = line.split(maxsplit=5)[5] if len(line.split(maxsplit=5)) == 6 else ""
            if f"/{package}" in path and ".so" in path and "/site-packages/" in path:
                sizes[pathlib.Path(path).name] = os.path.getsize(path)
        return sizes


class PeakOfMemory:
    """The most anonymous memory that a process had, looked at every millisecond."""

    def __init__(self, pid):
        self.path = pathlib.Path(f"/proc/{pid}/status")
        self.peak_kib = 0
        self.is_over = False
        self.thread = threading.Thread(target=self.look)
        self.thread.start()

    def look(self):
        while not self.is_over:
            try:
                for line in self.path.read_text().splitlines():
                    if line.startswith("RssAnon:"):
                        self.peak_kib = max(self.peak_kib, int(line.split()[1]))
            except OSError:
                return
            time.sleep(0.001)

    def end(self):
        self.is_over = True
        self.thread.join()
        return self.peak_kib


# --- errors ---

def read_array(path, code):
    values = array.array(code)
    with path.open("rb") as file:
        values.frombytes(file.read())
    return values


def relative_error(found, expected):
    """The greatest deviation by the greatest value."""
    if len(found) != len(expected):
        raise Failed(f"{len(found)} outputs instead of {len(expected)}")
    largest = max(map(abs, expected), default=0.0)
    worst = 0.0
    for a, b in zip(found, expected):
        worst = math.inf if math.isnan(a) != math.isnan(b) else max(worst, abs(a - b))
    return worst / largest if largest else worst


def root_mean_square_error(found, expected):
    """By the greatest value, too: of one network that has many outputs it says more than the worst of them."""
    largest = max(map(abs, expected), default=0.0)
    mean = math.fsum((a - b) ** 2 for a, b in zip(found, expected)) / max(1, len(expected))
    return math.sqrt(mean) / largest if largest else math.sqrt(mean)


def check(child, folder, batch):
    found = read_array(child.result, "f")
    torch = read_array(folder / f"torch-b{batch}.f32", "f")
    exact = read_array(folder / f"double-b{batch}.f64", "d")
    errors = {"against_torch": relative_error(found, torch), "against_double": relative_error(found, exact),
              "torch_against_double": relative_error(torch, exact),
              "rms_against_double": root_mean_square_error(found, exact)}
    most = LARGEST_ERROR_BF16 if child.rival.endswith("-bf16") else LARGEST_ERROR
    if child.rival in ON_REQUEST:
        most = sys.float_info.max
    if not errors["against_torch"] <= most:
        raise Failed(f"its output is {errors['against_torch']:.1e} off PyTorch's")
    return errors


# --- measuring ---

def without_folders(text, *folders):
    """A reason that says the same on every machine: where somebody built is nobody else's business."""
    for folder in folders:
        text = text.replace(f"{folder}/", "")
    return text


class Measurement:
    def __init__(self, settings):
        self.settings = settings
        self.skipped = []
        self.blocks, self.first_results, self.memory, self.allocations = [], [], [], []
        self.libraries, self.versions = {}, {}
        self.quiet = Quiet()

    def skip(self, why, **where):
        why = without_folders(str(why), self.settings.build, ROOT)
        self.skipped.append({**where, "why": why})
        say("skipped: " + " ".join(str(word) for word in where.values()) + f": {why}")

    def rivals_for(self, name, batch):
        facts = json.loads((self.settings.folder / name / "facts.json").read_text())
        for rival in self.settings.rivals:
            failed = facts["failed"].get(NEEDS_FILE.get(rival, "").format(batch=batch))
            if failed:
                self.skip(failed, rival=rival, net=name, batch=batch)
            else:
                yield rival

    def start(self, rival, name, batch, threads, skips=True):
        """A child that has given its first result, the right one; None when it cannot."""
        child = None
        try:
            child = Child(rival, self.settings, name, batch, threads)
            child.first()
            child.errors = check(child, self.settings.folder / name, batch)
            return child
        except (Failed, OSError, json.JSONDecodeError) as error:
            if child:
                child.end()
            if skips:
                self.skip(error, rival=rival, net=name, batch=batch, threads=threads)
            return None

    def block(self, name, batch, threads):
        children = {}
        for rival in self.rivals_for(name, batch):
            child = self.start(rival, name, batch, threads)
            if child:
                self.versions[rival] = child.facts["version"]
                if rival in PACKAGE_FOLDERS:
                    self.libraries.setdefault(rival, {}).update(child.libraries(PACKAGE_FOLDERS[rival]))
                children[rival] = child
                child.stop()
        try:
            self.measure(children, name, batch, threads)
        finally:
            for rival, child in children.items():
                last = child.end()
                if last.get("runs"):
                    self.allocations.append({"net": name, "batch": batch, "threads": threads, "rival": rival, **last})

    def measure(self, children, name, batch, threads):
        # How many runs fill a turn, from the fastest of the first few.
        plan = {}
        for rival, child in children.items():
            child.go()
            once = min(child.run(2, 3)) / 1e9
            child.stop()
            runs = max(1, min(MOST_SAMPLES, round(self.settings.seconds / once)))
            plan[rival] = (max(1, min(10_000, round(self.settings.seconds / 4 / once))), runs)
        samples = {rival: [] for rival in children}
        order = list(children)
        shuffle = random.Random(f"{name} {batch} {threads}")
        begin, busy, own = time.monotonic(), processor_jiffies(), jiffies_of(children)
        self.quiet.waited_s = 0.0
        for _ in range(self.settings.rounds):
            shuffle.shuffle(order)
            for rival in order:
                children[rival].stay_on(self.quiet.wait(threads))
                children[rival].go()
                samples[rival].append(children[rival].run(*plan[rival]))
                children[rival].stop()
        elapsed = (time.monotonic() - begin) * os.sysconf("SC_CLK_TCK")
        others = (processor_jiffies() - busy - (jiffies_of(children) - own)) / elapsed if elapsed else 0
        ours = statistics.median(sum(samples.get("rushlight", []), [])) if "rushlight" in samples else None
        for rival, rounds in samples.items():
            self.blocks.append({"net": name, "batch": batch, "threads": threads, "rival": rival,
                                **children[rival].errors, "processors_busy_with_others": round(max(0, others), 2),
                                "waited_for_quiet_s": round(self.quiet.waited_s, 1), "rounds_ns": rounds})
            median = statistics.median(sum(rounds, []))
            ratio = f"{median / ours:6.2f} x" if ours else ""
            say(f"{name:16} b={batch} t={threads}  {rival:20} {median / 1e6:10.4f} ms  {ratio}  "
                f"error {children[rival].errors['against_double']:.1e}, PyTorch's "
                f"{children[rival].errors['torch_against_double']:.1e}")
        if others > 0.1:
            say(f"note: other programs kept {others:.1f} processors busy; these figures are not to be quoted")

    def first_result(self, name, threads):
        """Fresh processes, one at a time, with their files in the cache of pages: who reads weights first would pay for
        the disk, where a system takes pages back that nobody has used for a while."""
        taken = {}
        rivals = self.rivals_of_first(name)
        for _ in range(self.settings.first_rounds):
            for path in (self.settings.folder / name).iterdir():
                path.read_bytes()
            for rival in rivals:
                child = self.start(rival, name, 1, threads, skips=False)
                if child is None:
                    continue
                row = taken.setdefault(rival, {"file_ns": [], "process_ns": []})
                row["file_ns"].append(child.facts["file_to_first_result_ns"])
                row["process_ns"].append(child.facts["process_to_first_result_ns"])
                child.end()
        for rival, row in taken.items():
            self.first_results.append({"net": name, "threads": threads, "rival": rival, **row})

    def rivals_of_first(self, name):
        if self.settings.rounds == 0:
            return list(self.rivals_for(name, 1))
        return list(dict.fromkeys(block["rival"] for block in self.blocks if block["net"] == name))

    def peak(self, name):
        """A pass of its own, for looking takes time."""
        for rival in self.rivals_of_first(name):
            child = Child(rival, self.settings, name, 1, 1)
            peak = PeakOfMemory(child.process.pid)
            try:
                child.first()
                child.run(1, 2)
            except Failed as error:
                self.skip(error, rival=rival, net=name)
                peak.end()
                child.end()
                continue
            row = {"net": name, "rival": rival, "anonymous_kib_before": child.facts["anonymous_kib_before"],
                   "anonymous_kib_peak": peak.end()}
            if "workspace_bytes" in child.facts:
                row["workspace_bytes"] = child.facts["workspace_bytes"]
            self.memory.append(row)
            child.end()


def processor_jiffies():
    """All that the processors did, and what a hypervisor took."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    user, nice, system, _, _, irq, softirq, steal = fields
    return user + nice + system + irq + softirq + steal


def jiffies_of(children):
    return sum(proc_numbers(child.process.pid) for child in children.values()) + proc_numbers(os.getpid())


def stripped_size(program):
    copy = program.with_suffix(".stripped")
    done = subprocess.run(["strip", "-o", copy, program], capture_output=True, check=False)
    if done.returncode != 0:
        return None
    size = copy.stat().st_size
    copy.unlink()
    return size


def prepare(settings, name):
    """What engines.py made for this network; made again when its sources, or the batches, are others."""
    folder = settings.folder / name
    batches = sorted({1, *settings.batches})
    made_by = hashlib.sha256(b"".join((HERE / file).read_bytes() for file in ("nets.py", "engines.py"))).hexdigest()
    stamp = folder / "made_by.json"
    if stamp.exists() and stamp.read_text() == json.dumps([made_by, batches]):
        return json.loads((folder / "facts.json").read_text())
    say(f"{name}: weights, inputs, exports")
    for export in folder.glob("model*"):
        export.unlink()
    done = subprocess.run([settings.environment.python, HERE / "engines.py", "prepare", name, folder,
                           *map(str, batches)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"{name}: {done.stderr.strip().splitlines()[-1:]}")
    stamp.write_text(json.dumps([made_by, batches]))
    return json.loads((folder / "facts.json").read_text())


def listed(text):
    return [word for word in text.split(",") if word]


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--nets", type=listed, default=list(NETS), help=",".join(NETS))
    parser.add_argument("--batches", type=lambda text: list(map(int, listed(text))), default=[1, 8], help="1,8")
    parser.add_argument("--threads", type=lambda text: list(map(int, listed(text))), default=[1, 2], help="1,2")
    parser.add_argument("--rounds", type=int, default=7,
                        help="turns of each rival in a block (7); 0: the time to the first result alone")
    parser.add_argument("--seconds", type=float, default=0.5, help="about how long a turn measures (0.5)")
    parser.add_argument("--first-rounds", type=int, default=5, help="fresh processes for the time to the first result; "
                        "0: none (5)")
    parser.add_argument("--no-memory", action="store_true", help="skip the pass that looks at memory")
    parser.add_argument("--rivals", type=listed, default=[rival for rival in RIVALS if rival not in ON_REQUEST],
                        help=",".join(RIVALS))
    parser.add_argument("--build", type=pathlib.Path, default=ROOT / "build" / "bench", help="where Rushlight is built")
    parser.add_argument("--environment", type=pathlib.Path, help="the virtual environment (BUILD/rivals/environment)")
    parser.add_argument("--python", help="a Python with torch and torchvision, to build the environment upon")
    parser.add_argument("--results", type=pathlib.Path, default=ROOT / "bench" / "results", help="where to write")
    parser.add_argument("--dry-run", action="store_true", help="print, write no file")
    parser.add_argument("--evidence", action="store_true", help="write what does not hang on the time: errors, "
                        "allocations within runs and sizes, into tests/evidence instead")
    arguments = parser.parse_args()
    for word, known, what in ((arguments.nets, NETS, "network"), (arguments.rivals, RIVALS, "rival")):
        unknown = [name for name in word if name not in known]
        if unknown:
            parser.error(f"no {what} is called {unknown[0]}: {', '.join(known)}")
    return parser, arguments


def main():
    parser, settings = parse_arguments()
    settings.server = settings.build / "bench" / "bench_forward_server"
    if not settings.server.is_file():
        parser.error(f"no program at {settings.server}: cmake --workflow --preset bench")
    settings.folder = settings.build / "rivals"
    settings.folder.mkdir(parents=True, exist_ok=True)
    settings.environment = Environment(settings.environment or settings.folder / "environment", settings.python)
    measurement = Measurement(settings)
    available = []
    for rival in settings.rivals:
        why = settings.environment.want(RIVALS[rival])
        if why:
            measurement.skip(why, rival=rival)
        else:
            available.append(rival)
    settings.rivals = available

    facts = machine()
    start = datetime.datetime.now(datetime.timezone.utc)
    nets = {}
    for name in settings.nets:
        nets[name] = prepare(settings, name)
        for threads in settings.threads if settings.rounds else ():
            for batch in settings.batches:
                measurement.block(name, batch, threads)
        if settings.first_rounds:
            for threads in settings.threads:
                measurement.first_result(name, threads)
        if not settings.no_memory:
            measurement.peak(name)
    if not measurement.blocks and not measurement.first_results:
        sys.exit("nothing was measured")

    in_bf16 = all(rival == "rushlight" or rival.endswith("-bf16") for rival in settings.rivals)
    kind = "rivals-bf16" if in_bf16 and "rushlight-bf16" in settings.rivals else "rivals-forward"
    if not measurement.blocks:
        kind = "rivals-first"
    changes = output_of("git", "status", "--porcelain", "--", ".", ":!bench/results", ":!bench/README.md")
    document = {
        "schema": 1,
        "name": kind,
        "date": start.isoformat(timespec="seconds"),
        "commit": output_of("git", "rev-parse", "--verify", "--quiet", "HEAD"),
        "uncommitted_changes": None if changes is None else bool(changes),
        "command": ["forward.py", *map(without_folder, sys.argv[1:])],
        "machine": facts,
        "versions": measurement.versions,
        "nets": nets,
        "blocks": measurement.blocks,
        "first_results": measurement.first_results,
        "memory": measurement.memory,
        "allocations": measurement.allocations,
        "binary_bytes": {"rushlight": {f"{path.name}, stripped": stripped_size(path)
                                       for path in (settings.server, settings.build / "rushlight") if path.is_file()},
                         **measurement.libraries},
        "skipped": measurement.skipped,
    }
    if settings.dry_run:
        return
    if settings.evidence:
        for key in ("first_results", "memory"):
            del document[key]
        document["name"] = "inference"
        document["blocks"] = [{key: value for key, value in block.items() if key not in ("rounds_ns",)
                               and not key.startswith("processors")} for block in measurement.blocks]
        path = free_path(ROOT / "tests" / "evidence", document["name"])
        path.write_text(json.dumps(document, indent=1) + "\n")
        say(f"written: {path.name}")
        return
    say(f"written: {write_blocks(settings.results, document).name}")


if __name__ == "__main__":
    main()
