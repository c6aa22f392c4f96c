#!/usr/bin/env python3
"""Changes one thing in what Rushlight says of a file, again and again: compare.py must notice each time.

    sensitivity.py PROGRAM [--count N] [--seed FIRST]
"""
import argparse
import copy
import pathlib
import random
import sys
import tempfile

import torch

import compare
import random_objects


def changed(value, choice):
    """Another value of the same type."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, (int, float)):
        # 0.0 becomes -0.0; next to a huge number, one more is no change.
        return -value if isinstance(value, float) or abs(value) > 2**53 else value + 1
    if isinstance(value, str):
        return value + "x"
    if isinstance(value, list) and value:
        at = choice.randrange(len(value))
        return value[:at] + [changed(value[at], choice)] + value[at + 1:]
    if isinstance(value, dict) and value:
        key = choice.choice(sorted(value))
        return dict(value, **{key: changed(value[key], choice)})
    return "changed"


# What the comparison looks at, for each list of each report.
FIELDS = {
    "list": {"tensors": ("name", "path", "dtype", "shape", "strides", "storage_offset", "device", "requires_grad",
                         "class", "layout", "size_bytes", "quantizer"),
             "values": ("path", "type", "value"), "opaque": ("path", "class")},
    "hash": {"tensors": ("name", "digest"), "arrays": ("name", "dtype", "shape", "digest")},
    "verify": {"tensors": ("name", "state")},
}


def change(verb, report, choice):
    """What was changed, or None where the report is empty."""
    places = [(part, i) for part in FIELDS[verb] for i in range(len(report[part]))]
    if not places:
        return None
    part, i = choice.choice(places)
    entries = report[part]
    kind = choice.randrange(8)
    if kind == 0:
        del entries[i]
        return "%s: %s[%d] is gone" % (verb, part, i)
    if kind == 1:
        entries.append(copy.deepcopy(entries[i]))
        return "%s: %s[%d] is there twice" % (verb, part, i)
    if kind == 2 and verb == "list" and part == "tensors":
        records = {entry["storage"] for entry in entries} - {entries[i]["storage"], None}
        shared = sum(entry["storage"] == entries[i]["storage"] for entry in entries) > 1
        if entries[i]["storage"] is not None and (records or shared):
            entries[i]["storage"] = choice.choice(sorted(records) or ["data/new"])
            return "%s: %s[%d]: another storage" % (verb, part, i)
    field = choice.choice(FIELDS[verb][part])
    if field == "value" and entries[i]["type"] in ("storage", "none"):
        field = "type"  # which says it all
    if field == "path":  # its steps are left alone: the positions in a set mean nothing
        entries[i][field] = choice.choice((entries[i][field][:-1] or ["new"], entries[i][field] + [0]))
    else:
        entries[i][field] = changed(entries[i][field], choice)
    return "%s: %s[%d].%s is %.100r" % (verb, part, i, field, entries[i][field])


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("program", help="the rushlight program")
    options.add_argument("--count", type=int, default=15, help="how many files")
    options.add_argument("--seed", type=int, default=0, help="the first seed; the others follow")
    asked = options.parse_args()

    torch.set_num_threads(1)
    changes = missed = 0
    with tempfile.TemporaryDirectory(prefix="rushlight-sensitivity-") as folder:
        for seed in range(asked.seed, asked.seed + asked.count):
            file = pathlib.Path(folder) / ("seed%d.pt" % seed)
            random_objects.Generator(seed).save(str(file))
            reports = {}

            def remembered(program, verb, *words):
                if verb not in reports:
                    reports[verb] = compare.rushlight(program, verb, *words)
                return reports[verb]

            sha256 = compare.has_sha256(asked.program, file)
            if compare.Comparison(asked.program, file, sha256, remembered).run().differences:
                print("seed %d differs already: see compare.py" % seed)
                return 1
            for _ in range(20):
                choice = random.Random(seed * 1000 + changes)
                verb = choice.choice(sorted(reports))
                altered = copy.deepcopy(reports)
                what = change(verb, altered[verb][1], choice)
                if what is None:
                    continue
                changes += 1
                if not compare.Comparison(asked.program, file, sha256,
                                          lambda program, verb, *words: altered[verb]).run().differences:
                    missed += 1
                    print("seed %d: not noticed: %s" % (seed, what))
    print("sensitivity: %d changes, %d not noticed, torch %s" % (changes, missed, torch.__version__))
    return 1 if missed or not changes else 0


if __name__ == "__main__":
    sys.exit(main())
