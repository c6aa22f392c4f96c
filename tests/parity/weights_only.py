#!/usr/bin/env python3
"""What torch.load(weights_only=True) reads, by the torch that is installed: its list is the one that the tests of the table
read, and `convert --safe --torch` of that release refuses exactly the files that it refuses.

    weights_only.py PROGRAM
"""
import collections
import pathlib
import subprocess
import sys
import tempfile
import warnings

import torch

PROGRAM = sys.argv[1]
NAMES = pathlib.Path(__file__).parent.parent / "checkpoint" / "weights_only_names.txt"
DTYPES = ("bool uint8 int8 int16 int32 int64 float16 bfloat16 float32 float64 complex32 complex64 complex128 uint16 uint32 "
          "uint64 float8_e5m2 float8_e4m3fn float8_e5m2fnuz float8_e4m3fnuz float8_e8m0fnu").split()


def release_of(text):
    return tuple(int(number) for number in text.split("+")[0].split("a")[0].split(".")[:2])


def listed(release):
    names = set()
    for line in NAMES.read_text().splitlines():
        name, first, *last = line.split()
        if release_of(first) <= release and (not last or release <= release_of(last[0])):
            names.add(name)
    return names


def values():
    """Name, value: those that cannot be made with this torch are left out."""
    weight = torch.arange(6.0).reshape(2, 3)

    def attributes():
        tensor = torch.ones(2)
        tensor.note = 7
        return tensor

    def parameter_with_state():
        parameter = torch.nn.Parameter(torch.ones(2))
        parameter.note = 7
        return parameter

    made = {
        "tensors": lambda: collections.OrderedDict(a=weight, b=weight.t(), c=torch.nn.Parameter(weight)),
        "float": lambda: {"lr": 0.1},
        "integers": lambda: [1, -1, 300, 1 << 40, True, None, "text", (1, 2)],
        "big integer": lambda: 1 << 200,
        "complex": lambda: 1 + 2j,
        "bytes": lambda: b"abc",
        "no bytes": lambda: b"",
        "bytearray": lambda: bytearray(b"abc"),
        "set": lambda: {1, 2},
        "frozenset": lambda: frozenset({1}),
        "counter": lambda: collections.Counter("aab"),
        "size": lambda: torch.Size([2, 3]),
        "device": lambda: torch.device("cpu"),
        "quantised": lambda: torch.quantize_per_tensor(weight, 0.5, 1, torch.qint8),
        "sparse coo": lambda: weight.to_sparse(),
        "sparse csr": lambda: weight.to_sparse_csr(),
        "nested": lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]),
        "meta": lambda: torch.empty(2, device="meta"),
        "tensor with an attribute": attributes,
        "parameter with an attribute": parameter_with_state,
    }
    for name in DTYPES:
        made["tensor of " + name] = lambda name=name: torch.zeros(2, dtype=getattr(torch, name))
        made["dtype " + name] = lambda name=name: [getattr(torch, name)]
    for name, make in made.items():
        try:
            yield name, make()
        except (AttributeError, KeyError, RuntimeError, TypeError, NotImplementedError):
            pass


def convert(file, to, *words):
    done = subprocess.run([PROGRAM, "convert", file, to, "--force", *words], capture_output=True, text=True, timeout=60)
    return done.returncode == 0, done.stdout + done.stderr


def main():
    warnings.filterwarnings("ignore")
    try:
        from torch._weights_only_unpickler import _get_allowed_globals
    except ImportError:
        print(f"SKIPPED: torch {torch.__version__} has no weights_only")
        return 77
    release = release_of(torch.__version__)
    version = "%d.%d" % release
    theirs, ours = set(_get_allowed_globals()), listed(release)
    problems = [f"torch {version} takes {name}, and the table does not" for name in sorted(theirs - ours)]
    problems += [f"torch {version} does not take {name}, and the table does" for name in sorted(ours - theirs)]
    taken = refused = 0
    with tempfile.TemporaryDirectory() as folder:
        file, plain, safe = (pathlib.Path(folder) / name for name in ("in.pt", "plain.pt", "safe.pt"))
        for name, value in values():
            try:
                torch.save(value, file)
            except (AttributeError, KeyError, RuntimeError, TypeError, NotImplementedError):
                continue
            done, said = convert(file, plain, "--torch", version)
            if not done:
                problems.append(f"{name}: not written: {said}")
                continue
            try:
                torch.load(plain, weights_only=True)
                is_read = True
            except Exception:  # of many classes over the releases
                is_read = False
            done, said = convert(file, safe, "--torch", version, "--safe")
            if done != is_read:
                problems.append(f"{name}: torch {'reads' if is_read else 'refuses'} it, --safe says: {said}")
            taken += is_read
            refused += not is_read
    if problems or taken < 10 or refused < 3:
        print("\n".join(problems) or "too few files were made")
        return 1
    print(f"torch {version}: {len(ours)} names; {taken} files that it reads and {refused} that it refuses, likewise --safe")
    return 0


sys.exit(main())
