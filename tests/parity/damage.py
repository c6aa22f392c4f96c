#!/usr/bin/env python3
"""Flips bits in the storages of saved files: `rushlight verify` must name exactly the tensors that view them.

    damage.py PROGRAM [--count N] [--seed FIRST]

torch does not look at checksums: it loads the damaged file, and a tensor is damaged when its storage is not what it was
before. One flipped bit must also be found: offset, bit and what the byte was. Exits with 1 when anything differed.
"""
import argparse
import pathlib
import random
import struct
import sys
import tempfile
import zipfile

import torch

import compare
import random_objects
import torch_view


def storages(file):
    """[(name, bytes of the whole storage)] of all tensors, as torch loads the file."""
    view = torch_view.describe(random_objects.load(str(file)))
    contents = [torch_view.storage_bytes(storage) for storage in view.storages]
    return [(entry["name"], b"" if entry["storage"] is None else contents[entry["storage"]]) for entry in view.tensors]


def data_places(file):
    """(offset, size) of the records that hold storages' bytes."""
    data = file.read_bytes()
    places = []
    with zipfile.ZipFile(file) as archive:
        for record in archive.infolist():
            if "/data/" in record.filename and record.file_size:
                name, extra = struct.unpack_from("<HH", data, record.header_offset + 26)
                places.append((record.header_offset + 30 + name + extra, record.file_size))
    return places


def flip(file, damaged, choice):
    """Flips bits in a copy of the file; the list of (offset, bit)."""
    data = bytearray(file.read_bytes())
    flipped = set()
    places = data_places(file)
    for offset, size in choice.sample(places, min(len(places), choice.choice((1, 1, 2)))):
        for _ in range(choice.choice((1, 1, 2, 7))):
            flipped.add((offset + choice.randrange(size), choice.randrange(8)))
    for offset, bit in flipped:
        data[offset] ^= 1 << bit
    damaged.write_bytes(data)
    return sorted(flipped)


def differences(program, file, damaged, flipped):
    before, after = storages(file), storages(damaged)
    wanted = [name for (name, old), (_, new) in zip(before, after) if old != new]
    code, report = compare.rushlight(program, "verify", str(damaged))
    found = [entry["name"] for entry in report.get("tensors", ()) if entry["state"] == "damaged"]
    if code != 1 or report["ok"]:
        yield "rushlight verify: exit %d, ok %s" % (code, report["ok"])
    if not wanted:
        yield "no tensor is damaged in torch's eyes"
    if wanted != found:
        yield "damaged tensors: torch says %s, rushlight says %s" % (wanted, found)
    errors = [finding for finding in report["findings"] if finding["severity"] == "error"]
    named = sorted({name for finding in errors for name in finding["tensors"]})
    if named != sorted(set(wanted)):
        yield "tensors of the findings: torch says %s, rushlight says %s" % (sorted(set(wanted)), named)
    if len(flipped) == 1:
        (offset, bit), byte = flipped[0], damaged.read_bytes()[flipped[0][0]]
        places = [(found["offset"], found["bit"], found["found"], found["expected"])
                  for found in report.get("flipped_bits", ())]
        if places != [(offset, bit, byte, byte ^ 1 << bit)]:
            yield "bit %d of byte %d was flipped, rushlight says %s" % (bit, offset, places)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program", help="the rushlight program")
    options.add_argument("--count", type=int, default=40, help="how many files")
    options.add_argument("--seed", type=int, default=0, help="the first seed; the others follow")
    asked = options.parse_args()

    torch.set_num_threads(1)
    folder = pathlib.Path(tempfile.mkdtemp(prefix="rushlight-damage-"))
    outcome = 0
    tensors = 0
    for seed in range(asked.seed, asked.seed + asked.count):
        file, damaged = folder / ("seed%d.pt" % seed), folder / ("seed%d.damaged.pt" % seed)
        generator = random_objects.Generator(seed)
        root = generator.dict_of_tensors()
        root["more"] = torch.rand(3)  # whatever the others are, there are bytes to damage
        random_objects.quietly(lambda: torch.save(root, str(file)))
        flipped = flip(file, damaged, random.Random(seed))
        found = list(differences(asked.program, file, damaged, flipped))
        for difference in found:
            print("%s: seed %d: %s" % (damaged, seed, difference))
            outcome = 1
        tensors += len(root)
        if not found:
            file.unlink()
            damaged.unlink()
    if not outcome:
        folder.rmdir()
    print("damage: %d files, %d tensors, torch %s" % (asked.count, tensors, torch.__version__))
    return outcome


if __name__ == "__main__":
    sys.exit(main())
