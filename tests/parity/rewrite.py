#!/usr/bin/env python3
"""Saves random objects with torch, writes the files again with Rushlight, and lets torch read the result.

    rewrite.py PROGRAM [--count N] [--seed FIRST] [--folder DIR] [--json FILE]

For each seed: random_objects.py makes an object and torch saves it. `rushlight convert` without options must give the
same bytes but for the serialization id; with another protocol, release, alignment or container what torch reads must be
the same, under weights_only=True too where torch reads the first file so. A difference names file and seed, and its
file is kept in DIR. One seed again: --seed N --count 1.
Exits with 1 when anything differed.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

import torch

import random_objects
import torch_view

FORMS = [["--to", "torch-zip", "--torch", "1.6"], ["--to", "torch-zip", "--torch", "2.1"], ["--to", "torch-zip", "--protocol", "4"],
         ["--to", "torch-zip", "--align", "4096", "--protocol", "2"], ["--to", "torch-zip", "--protocol", "3", "--deflate"]]


def convert(program, file, out, *words):
    done = subprocess.run([program, "convert", str(file), str(out), "--force", "--json", *words], capture_output=True, timeout=300)
    return json.loads(done.stdout)


def without_id(data, file):
    """The file with the serialization id and its CRC fields blanked, as text to compare."""
    data = bytearray(data)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if entry.filename.endswith("/.data/serialization_id")]
    except zipfile.BadZipFile:
        return bytes(data)
    for entry in entries:
        name = int.from_bytes(data[entry.header_offset + 26:entry.header_offset + 28], "little")
        extra = int.from_bytes(data[entry.header_offset + 28:entry.header_offset + 30], "little")
        begin = entry.header_offset + 30 + name + extra
        data[begin:begin + 48] = bytes(48)
        central = data.rindex(b"PK\1\2", 0, data.rindex(entry.filename.encode()))
        data[central + 16:central + 20] = bytes(4)
    return bytes(data)


def shown(file, **options):
    """What torch reads, in a form to compare; or why it does not."""
    # A load that failed leaves its sparse tensors there, to fail the next one.
    getattr(torch._utils, "_sparse_tensors_to_validate", []).clear()
    try:
        view = torch_view.describe(random_objects.load(str(file)) if not options else
                                   torch.load(str(file), map_location="cpu", **options))
    except Exception as problem:  # whatever torch raises for a file that it does not read
        return "%s: %s" % (type(problem).__name__, problem)
    return {"tensors": view.tensors, "values": view.values, "opaque": view.opaque, "arrays": view.arrays}


def without_order_of_sets(entries):
    """Items of sets last, in an order of their own: Python promises none, and NaN has another hash each time."""
    def is_in_set(entry):
        path = entry["path"] if isinstance(entry, dict) else entry[0]
        return "[]" in path if isinstance(path, str) else torch_view.IN_SET in path  # arrays have names alone
    return ([entry for entry in entries if not is_in_set(entry)] +
            sorted((entry for entry in entries if is_in_set(entry)), key=repr))


def first_difference(wanted, found):
    if isinstance(wanted, str) or isinstance(found, str):
        return "torch says %.200r of the first, %.200r of the second" % (wanted, found)
    for part in wanted:
        for one, other in zip(without_order_of_sets(wanted[part]), without_order_of_sets(found[part])):
            if one != other:
                return "%s: %.300r, then %.300r" % (part, one, other)
        if len(wanted[part]) != len(found[part]):
            return "%s: %d, then %d" % (part, len(wanted[part]), len(found[part]))
    return None


def look_at(program, file, folder, totals):
    differences = []
    out = folder / "again.pt"
    report = convert(program, file, out)
    if not report["ok"]:
        return ["convert: %s" % report["findings"][:1]]
    if without_id(out.read_bytes(), out) != without_id(file.read_bytes(), file):
        differences.append("the bytes are others")
    else:
        totals["same_bytes"] += 1
    wanted = shown(file)
    safe = shown(file, weights_only=True) if "weights_only" in torch.load.__code__.co_varnames else "unknown"
    for form in FORMS:
        out = folder / "other.pt"
        report = convert(program, file, out, *form)
        if not report["ok"]:
            # Objects made with keyword arguments need protocol 4.
            if "protocol 4" not in report["findings"][0]["message"]:
                differences.append("%s: %s" % (" ".join(form), report["findings"][:1]))
            continue
        difference = first_difference(wanted, shown(out))
        # Only protocol 2 is read there.
        if difference is None and not isinstance(safe, str) and not {"3", "4"} & set(form):
            difference = first_difference(safe, shown(out, weights_only=True))
        if difference is not None:
            differences.append("%s: %s" % (" ".join(form), difference))
        totals["forms_read"] += 1
    totals["tensors"] += 0 if isinstance(wanted, str) else len(wanted["tensors"])
    return differences


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program", help="the rushlight program")
    options.add_argument("--count", type=int, default=60, help="how many objects")
    options.add_argument("--seed", type=int, default=0, help="the first seed; the others follow")
    options.add_argument("--folder", help="where files are written; those that differ stay there")
    options.add_argument("--json", help="write the outcome there as well")
    asked = options.parse_args()
    folder = pathlib.Path(asked.folder or tempfile.mkdtemp(prefix="rushlight-rewrite-"))
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    totals = {"objects": 0, "same_bytes": 0, "forms_read": 0, "tensors": 0}
    differences = []
    for seed in range(asked.seed, asked.seed + asked.count):
        file = folder / ("seed%d.pt" % seed)
        random_objects.Generator(seed).save(str(file))
        found = look_at(asked.program, file, folder, totals)
        totals["objects"] += 1
        for difference in found:
            print("%s: seed %d: %s" % (file, seed, difference))
            differences.append({"seed": seed, "difference": difference})
        if not found:
            file.unlink()
    for name in ("again.pt", "other.pt"):
        (folder / name).unlink(missing_ok=True)
    if not asked.folder and not differences:
        folder.rmdir()
    print("rewrite: %(objects)d objects, %(same_bytes)d with the same bytes, %(forms_read)d other forms read by torch"
          % totals + " " + torch.__version__)
    if asked.json:
        outcome = dict(totals, seeds=[asked.seed, asked.seed + asked.count - 1], torch=str(torch.__version__),
                       python=sys.version.split()[0], differences=differences)
        pathlib.Path(asked.json).write_text(json.dumps(outcome, indent=2, ensure_ascii=True) + "\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
