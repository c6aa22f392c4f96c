#!/usr/bin/env python3
"""How accurate --precision int8 is on the trained Fashion-MNIST network, beside strict.

    int8.py PROGRAM CHECKPOINT SPEC [--data FOLDER] [--items N ...] [--evidence]

Ranges come from N pictures of the training set, accuracy from the 10,000 of the test set: Debian's package
dataset-fashion-mnist, or another folder with its four files. A table is printed; --evidence writes it to
tests/evidence/<date>-int8.json as well. Exits with 1 where int8 loses more than one percentage point.
"""
import argparse
import ast
import datetime
import gzip
import json
import pathlib
import struct
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
FILES = ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
MOST_LOST = 0.01


def run(program, *words):
    result = subprocess.run([program, *map(str, words), "--json"], capture_output=True, text=True)
    if result.returncode:
        sys.exit(f"{' '.join(map(str, words))}: {result.stdout}{result.stderr}")
    return json.loads(result.stdout)


def rows(path):
    """The rows of a float32 matrix in an .npy file."""
    data = path.read_bytes()
    size = struct.unpack("<H", data[8:10])[0]
    header = ast.literal_eval(data[10:10 + size].decode())
    count, width = header["shape"]
    values = struct.unpack(f"<{count * width}f", data[10 + size:])
    return [values[i * width:(i + 1) * width] for i in range(count)]


def best(row):
    return max(range(len(row)), key=row.__getitem__)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("checkpoint")
    parser.add_argument("spec")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--items", type=int, nargs="*", default=[16, 64, 256, 1024])
    parser.add_argument("--evidence", action="store_true")
    options = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for file in FILES:
            (folder / file).write_bytes(gzip.decompress((options.data / f"{file}.gz").read_bytes()))
        train, images, labels = (folder / file for file in FILES)
        output = folder / "logits.npy"

        def measure(*words):
            report = run(options.program, "run", options.checkpoint, "--spec", options.spec, "--idx", images,
                         "--idx-labels", labels, "--scale", 255, "--output", output, *words)
            return report["accuracy"], rows(output)

        accuracy, strict = measure()
        results.append({"precision": "strict", "accuracy": accuracy})
        largest = max(abs(value) for row in strict for value in row)
        for choice in ("least_error", "min_max"):
            for items in options.items:
                ranges = folder / "ranges.json"
                run(options.program, "calibrate", options.checkpoint, "--spec", options.spec, "--idx", train, "--scale",
                    255, "--items", items, "--range", choice, "-o", ranges, "--force")
                accuracy, coded = measure("--precision", "int8", "--calibration", ranges)
                agree = sum(best(a) == best(b) for a, b in zip(strict, coded)) / len(strict)
                error = max(abs(x - y) for a, b in zip(strict, coded) for x, y in zip(a, b)) / largest
                results.append({"precision": "int8", "range": choice, "calibration_items": items, "accuracy": accuracy,
                                "same_class": agree, "largest_error": round(error, 5)})
    for row in results:
        print(f"{row['precision']:7} {row.get('range', ''):12} {row.get('calibration_items', ''):>5}  "
              f"accuracy {100 * row['accuracy']:.2f} %" +
              (f"  same class {100 * row['same_class']:.2f} %  largest error {row['largest_error']:.4f}"
               if "same_class" in row else ""))
    if options.evidence:
        now = datetime.datetime.now(datetime.timezone.utc)
        commit = subprocess.run(["git", "-C", SOURCE, "rev-parse", "--short", "HEAD"], capture_output=True, text=True).stdout
        cpu = next((line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")), "")
        path = SOURCE / "tests" / "evidence" / f"{now:%Y-%m-%d}-int8.json"
        path.write_text(json.dumps({"schema": 1, "date": f"{now:%Y-%m-%dT%H:%M:%SZ}", "commit": commit.strip(),
                                    "command": "tests/parity/int8.py", "machine": cpu,
                                    "network": "fashion_cnn.pt, Fashion-MNIST, 10,000 test pictures",
                                    "results": results}, indent=2) + "\n")
        print(path)
    lost = results[0]["accuracy"] - min(row["accuracy"] for row in results)
    return 1 if lost > MOST_LOST else 0


if __name__ == "__main__":
    sys.exit(main())
