#!/usr/bin/env python3
"""Random pictures beside PIL and torchvision: decoded, turned, resized and cropped by both.

    pictures.py PROGRAM [--count N] [--seed N]

A network that changes nothing (ReLU of pixels) shows what the program makes of a picture. PNG must be equal, JPEG differ by 2
at most. Pillow up to 12 resizes along the rows first where Pillow 13 and Rushlight go down the columns first; it is led to
the same order here. Without PIL or torchvision the test is skipped.
"""
import argparse
import io
import pathlib
import random
import struct
import subprocess
import sys
import tempfile
import warnings
import zlib

import numpy as np
import torch

try:
    from PIL import Image, ImageOps
    from torchvision.transforms import CenterCrop
except ImportError as missing:
    print(f"SKIPPED: {missing}")
    sys.exit(77)

SAMPLES = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
DEPTHS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
FILTERS = {"nearest": Image.NEAREST, "bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC}


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def packed(row, depth):
    if depth >= 8:
        return row.astype(f">u{depth // 8}").tobytes()
    bits = np.unpackbits(row.reshape(-1, 1).astype("u1"), axis=1)[:, 8 - depth:]
    return np.packbits(bits.reshape(-1)).tobytes()


def exif(orientation):
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


def random_png(dice, numbers, width, height):
    """PIL writes neither interlaced files nor most of the depths."""
    colour = dice.choice(sorted(SAMPLES))
    depth = dice.choice(DEPTHS[colour])
    samples = numbers.integers(0, 1 << depth, (height, width, SAMPLES[colour]))
    interlaced = dice.random() < 0.3
    parts = [samples[y::dy, x::dx] for x, y, dx, dy in ADAM7] if interlaced else [samples]
    raw = b"".join(b"\0" + packed(row, depth) for part in parts if part.size for row in part)
    file = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced))
    if colour == 3:
        file += chunk(b"PLTE", numbers.integers(0, 256, 3 * dice.randint(1, 1 << depth), dtype="u1").tobytes())
    if dice.random() < 0.5:
        file += chunk(b"eXIf", exif(dice.randint(0, 9)))
    return b"\x89PNG\r\n\x1a\n" + file + chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b"")


def random_jpeg(dice, numbers, width, height):
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([127 + 100 * np.sin(x / dice.uniform(2, 20) + k) * np.cos(y / dice.uniform(2, 20)) for k in range(3)], -1)
    picture = Image.fromarray(np.clip(waves + numbers.normal(0, 6, waves.shape), 0, 255).astype("u1"))
    picture = picture.convert(dice.choice(("RGB", "RGB", "L", "CMYK")))
    file = io.BytesIO()
    options = {"exif": b"Exif\0\0" + exif(dice.randint(0, 9))} if dice.random() < 0.5 else {}
    picture.save(file, "JPEG", quality=dice.randint(20, 100), progressive=dice.random() < 0.5, **options)
    return file.getvalue()


def resized(picture, size, filter_):
    (width, height), (to_width, to_height) = picture.size, size
    if filter_ != Image.NEAREST and height > to_height and height - to_height > 2 * (width - to_width):
        return picture.resize((width, to_height), filter_).resize(size, filter_)
    return picture.resize(size, filter_)


def main() -> int:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("--count", type=int, default=100)
    arguments.add_argument("--seed", type=int, default=0)
    options = arguments.parse_args()
    warnings.simplefilter("ignore")
    version = subprocess.run([options.program, "--version"], capture_output=True, text=True).stdout.splitlines()
    for library in ("png", "jpeg"):
        if [library, "not", "built", "in"] in [line.split() for line in version]:
            print(f"SKIPPED: built without {library}")
            return 77
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        torch.save(torch.nn.Sequential(torch.nn.ReLU()), folder / "same.pt")
        for seed in range(options.seed, options.seed + options.count):
            dice, numbers = random.Random(seed), np.random.default_rng(seed)
            is_jpeg = dice.random() < 0.3
            width, height = dice.choice(((1, 1), (dice.randint(1, 90), dice.randint(1, 90)), (3, dice.randint(1, 200))))
            file = (random_jpeg if is_jpeg else random_png)(dice, numbers, width, height)
            path = folder / ("a.jpg" if is_jpeg else "a.png")
            path.write_bytes(file)

            picture = ImageOps.exif_transpose(Image.open(path))
            stored_grey = file[25] in (0, 4) if not is_jpeg else picture.mode == "L"
            picture = picture.convert("L" if stored_grey else "RGB")
            words = [options.program, "run", folder / "same.pt", "--image", path, "--output", folder / "out.npy", "--quiet"]
            if not is_jpeg and dice.random() < 0.7:
                height, width = dice.randint(1, 90), dice.randint(1, 90)
                name = dice.choice(sorted(FILTERS))
                picture = resized(picture, (width, height), FILTERS[name])
                words += ["--resize", f"{height}x{width}", "--interpolation", name]
            if dice.random() < 0.5:
                height, width = dice.randint(1, 90), dice.randint(1, 90)
                picture = CenterCrop((height, width))(picture)
                words += ["--crop", f"{height}x{width}"]
            wanted = np.asarray(picture).astype(int)
            wanted = wanted[None] if wanted.ndim == 2 else wanted.transpose(2, 0, 1)

            done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
            found = np.load(folder / "out.npy")[0] if done.returncode == 0 else None
            same = found is not None and found.shape == wanted.shape and np.abs(found - wanted).max() <= 2 * is_jpeg
            if not same:
                failures += 1
                print(f"seed {seed}: {' '.join(map(str, words[4:]))}: {done.stderr.strip() or 'other pixels'}")
    print(f"{options.count} pictures, {failures} differ")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
