#!/usr/bin/env python3
"""Saves random objects with torch, and compares what Rushlight says of the files with what torch says of them.

    compare.py PROGRAM [--count N] [--seed FIRST] [--folder DIR] [--json FILE]

For each seed: random_objects.py makes an object, torch saves it and loads the file again, torch_view.py describes what
came back, and `rushlight list`, `hash` and `verify` must say the same. A difference names file, seed, path and both
answers, and its file is kept in DIR. One seed again: --seed N --count 1.
Exits with 1 when anything differed.
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import torch

import random_objects
import torch_view


def rushlight(program, *words):
    """The exit code and the JSON of a command."""
    done = subprocess.run([program, *words, "--json"], capture_output=True, timeout=300)
    try:
        report = json.loads(done.stdout.decode("utf-8"), parse_constant=lambda name: "not JSON: " + name)
    except ValueError as problem:
        report = {"ok": False, "findings": [{"severity": "error", "message": "%s: %s" % (problem, done.stderr[-500:])}]}
    return done.returncode, report


def has_sha256(program, file):
    code, report = rushlight(program, "hash", str(file), "--algo", "sha256")
    return code == 0 or report.get("error") != "unsupported"


class Comparison:
    """One file's; `differences` are lines of text."""

    def __init__(self, program, file, sha256=True, ask=rushlight):
        self.program, self.file, self.sha256, self.ask = program, file, sha256, ask
        self.differences = []
        self.tensors = self.values = 0

    def differ(self, where, what, torch_says, rushlight_says):
        self.differences.append("%s: %s: torch says %.300r, rushlight says %.300r"
                                % (where, what, torch_says, rushlight_says))

    def same(self, where, what, torch_says, rushlight_says):
        if torch_says != rushlight_says or type(torch_says) is not type(rushlight_says):
            self.differ(where, what, torch_says, rushlight_says)

    def run(self):
        view = torch_view.describe(random_objects.load(str(self.file)))
        with self.file.open("rb") as file:
            is_zip = file.read(2) == b"PK"
        if not is_zip:  # the legacy format has no checksums
            for entry in view.tensors:
                entry["state"] = "unverified"
        self.tensors, self.values = len(view.tensors), len(view.values)
        listing = self.report("list")
        if listing is None:
            return self
        self.same("", "kind", "torch-zip" if is_zip else "torch-legacy", listing["kind"])
        self.same("", "root", self.file.stem if is_zip else "", listing["root"])
        self.same("", "size_bytes", self.file.stat().st_size, listing["size_bytes"])
        self.compare_tensors(view, listing)
        self.compare_values(view, listing)
        self.compare_opaque(view, listing)
        if self.sha256:
            self.compare_digests(view, self.report("hash", "--algo", "sha256"))
        self.compare_verdicts(view, self.report("verify"))
        return self

    def report(self, verb, *options):
        code, report = self.ask(self.program, verb, str(self.file), *options)
        errors = [finding["message"] for finding in report["findings"] if finding["severity"] == "error"]
        if code == 0 and report["ok"] and not errors:
            return report
        self.differ("", "rushlight " + verb, "a file without faults", "exit %d: %s" % (code, "; ".join(errors)))
        return None

    # --- entries, those in sets by themselves: they have no order

    def path(self, view, steps):
        made = ()
        for step in steps:
            if isinstance(step, dict):  # {"attr": name} or {"key": text}
                made += tuple(step.items())
            elif made in view.sets:
                made += (torch_view.IN_SET,)
            else:
                made += (step,)
        return made

    def pairs(self, what, wanted, found):
        """Both sides' entries with the same path, in order; both start with the path."""
        def in_order(entries):
            return [entry for entry in entries if torch_view.IN_SET not in entry[0]]

        def in_sets(entries):
            return sorted((entry for entry in entries if torch_view.IN_SET in entry[0]),
                          key=lambda entry: repr((entry[0], entry[2:])))
        for wanted_part, found_part in ((in_order(wanted), in_order(found)), (in_sets(wanted), in_sets(found))):
            for want, have in zip(wanted_part, found_part):
                if repr(want[0]) != repr(have[0]):
                    return self.differ(want[0], "path of " + what, want[0], have[0])
                yield want, have
            if len(wanted_part) != len(found_part):
                longer = wanted_part if len(wanted_part) > len(found_part) else found_part
                first = longer[min(len(wanted_part), len(found_part))][0]
                return self.differ(first, "number of " + what, len(wanted_part), len(found_part))

    def compare_tensors(self, view, listing):
        wanted = [(entry["path"], entry) for entry in view.tensors]
        found = [(self.path(view, entry["path"]), entry) for entry in listing["tensors"]]
        storages, numbers = {}, {}
        for (path, want), (_, have) in self.pairs("tensors", wanted, found):
            for field in ("name", "dtype", "device", "requires_grad", "class", "layout", "storage_offset",
                          "size_bytes"):
                self.same(path, field, want[field], have[field])
            for field in ("shape", "strides"):
                self.same(path, field, want[field], tuple(have[field]))
            self.same(path, "in state_dict", want["persistent"], have.get("persistent", True))
            quantizer = have["quantizer"]
            scheme = quantizer["qscheme"] if isinstance(quantizer, dict) else quantizer
            self.same(path, "quantizer", want["quantizer"], scheme)
            number, record = want["storage"], have["storage"]
            if (number is None) != (record is None):
                self.differ(path, "storage", number, record)
            elif storages.setdefault(number, record) != record or numbers.setdefault(record, number) != number:
                self.differ(path, "storage", "number %s, which is %s" % (number, storages[number]),
                            "%s, which is number %s" % (record, numbers.get(record)))

    def compare_values(self, view, listing):
        wanted = [(path, name, kind, value) for path, name, kind, value in view.values]
        found = []
        for entry in listing["values"]:
            kind, value = entry["type"], entry["value"]
            if kind == "float":
                value = self.float(value)
            elif kind == "complex":
                value = tuple(map(self.float, value))
            elif kind == "size":
                value = tuple(value)
            elif kind == "storage":
                value = None
            elif kind == "ndarray":
                value = dict(value, shape=tuple(value["shape"]), dtype=self.native(value["dtype"]))
            if "numpy" in entry:
                kind = "%s %s %s" % (kind, entry["class"], self.native(entry["numpy"]))
            found.append((self.path(view, entry["path"]), entry["name"], kind, value))
        for want, have in self.pairs("values", wanted, found):
            if torch_view.IN_SET not in want[0]:
                self.same(want[0], "name", want[1], have[1])
            self.same(want[0], "type", want[2], have[2])
            self.same(want[0], "value", want[3], have[3])

    @staticmethod
    def native(dtype):
        """As NumPy has it once it has swapped the elements."""
        return "<" + dtype[1:] if dtype.startswith(">") else dtype

    @staticmethod
    def float(json_number):
        return json_number if isinstance(json_number, str) else float(json_number).hex()

    def compare_opaque(self, view, listing):
        found = [(self.path(view, entry["path"]), entry["class"]) for entry in listing["opaque"]]
        for want, have in self.pairs("opaque values", view.opaque, found):
            self.same(want[0], "class", want[1], have[1])

    def compare_digests(self, view, report):
        if report is None:
            return
        wanted = [entry for entry in view.tensors if entry["persistent"]]
        self.same("", "tensors with digests", len(wanted), len(report["tensors"]))
        for want, have in zip(wanted, report["tensors"]):
            self.same(want["path"], "name of the digest", want["name"], have["name"])
            self.same(want["path"], "digest", want["digest"], have["digest"])
        arrays = [(entry["name"], self.native(entry["dtype"]), tuple(entry["shape"]), entry["digest"])
                  for entry in report["arrays"]]
        self.same("", "arrays with digests", len(view.arrays), len(arrays))
        for want, have in zip(view.arrays, arrays):
            self.same(want[0], "array", want, have)

    def compare_verdicts(self, view, report):
        if report is None:
            return
        self.same("", "structure", "ok", report["structure"])
        self.same("", "explained bytes", report["size_bytes"], report["explained_bytes"])
        states = [(entry["name"], entry["state"]) for entry in report["tensors"]]
        self.same("", "verdicts", [(entry["name"], entry["state"]) for entry in view.tensors], states)


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program", help="the rushlight program")
    options.add_argument("--count", type=int, default=100, help="how many objects")
    options.add_argument("--seed", type=int, default=0, help="the first seed; the others follow")
    options.add_argument("--folder", help="where files are written; those that differ stay there")
    options.add_argument("--json", help="write the outcome there as well")
    asked = options.parse_args()

    folder = pathlib.Path(asked.folder or tempfile.mkdtemp(prefix="rushlight-parity-"))
    folder.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)
    sha256 = None
    totals = {"objects": 0, "tensors": 0, "values": 0}
    differences = []
    for seed in range(asked.seed, asked.seed + asked.count):
        file = folder / ("seed%d.pt" % seed)
        random_objects.Generator(seed).save(str(file))
        if sha256 is None:
            sha256 = has_sha256(asked.program, file)
        comparison = Comparison(asked.program, file, sha256).run()
        totals["objects"] += 1
        totals["tensors"] += comparison.tensors
        totals["values"] += comparison.values
        for difference in comparison.differences:
            print("%s: seed %d: %s" % (file, seed, difference))
            differences.append({"seed": seed, "difference": difference})
        if not comparison.differences:
            file.unlink()
    if not asked.folder and not differences:
        folder.rmdir()
    if not sha256:
        print("digests were not compared: this build has no SHA-256")
    print("parity: %d objects, %d tensors, %d values compared, torch %s"
          % (totals["objects"], totals["tensors"], totals["values"], torch.__version__))
    if asked.json:
        outcome = dict(totals, seeds=[asked.seed, asked.seed + asked.count - 1], torch=str(torch.__version__),
                       python=sys.version.split()[0], digests_compared=bool(sha256),
                       features=sorted(random_objects.READ_TODAY), differences=differences)
        pathlib.Path(asked.json).write_text(json.dumps(outcome, indent=2, ensure_ascii=True) + "\n")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
