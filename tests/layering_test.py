#!/usr/bin/env python3
"""Each layer includes only what lies below it (DESIGN 1), and public headers include nothing but the standard library.

    layering_test.py SOURCE_DIR
"""
import pathlib
import re
import sys

# layer: what it may include besides itself and the public headers of rushlight/.
MAY = {
    "base": [],
    "io": ["base"],
    "checksum": ["base"],
    "zip": ["checksum", "base"],
    "pickle": ["base"],
    "tensor": ["base", "cuda/device_memory.hpp"],
    "value": ["tensor", "base"],
    "checkpoint": ["value", "tensor", "zip", "pickle", "io", "checksum", "base"],
    "interchange": ["value", "tensor", "zip", "io", "checksum", "base"],
    "open": ["checkpoint", "interchange", "value", "tensor", "zip", "pickle", "io", "checksum", "base"],
    "model": ["value", "tensor", "base"],
    "runtime": ["model", "value", "tensor", "base", "cuda/backend.hpp"],
    "runtime/reference": ["runtime", "model", "tensor", "base"],
    "runtime/cpu": ["runtime", "model", "tensor", "base"],
    "doors": ["open", "checkpoint", "interchange", "runtime", "model", "value", "tensor", "zip", "pickle", "io", "base"],
    "image": ["tensor", "io", "checksum", "base"],
    "cli": [],
    "cuda": ["runtime", "model", "tensor", "checksum", "base"],
    "examples": [],
}
# Backends implement runtime's interface and know no other backend; only devices.cpp names them all.
NAMES_BACKENDS = {"src/runtime/devices.cpp", "src/tensor/devices.cpp"}
# Which external libraries a layer may use.
EXTERNAL = {
    "Eigen/": ["runtime/cpu", "model", "runtime"],
    "unsupported/Eigen": ["runtime/cpu"],
    "xxh": ["checksum", "value", "zip", "tensor", "model"],
    "libdeflate.h": ["checksum", "zip"],
    "isa-l": ["checksum"],
    "simdjson": ["doors", "interchange", "checkpoint"],
    "openssl": ["checksum", "examples"],
    "png.h": ["image"],
    "jpeglib.h": ["image"],
    "jerror.h": ["image"],
    "CLI/": ["cli"],
    "fmt/": ["cli"],
    "cuda": ["cuda"],
}
INCLUDE = re.compile(r'^\s*#\s*include\s+([<"])([^>"]+)[>"]', re.M)


def layer_of(path: pathlib.PurePosixPath) -> str:
    parts = path.parts
    if parts[0] in ("cuda", "examples"):
        return parts[0]
    if parts[1] == "runtime" and len(parts) > 3 and parts[2] in ("reference", "cpu"):
        return "/".join(parts[1:3])
    return parts[1]


def included_layer(name: str) -> str:
    parts = name.split("/")
    if parts[0] == "runtime" and len(parts) > 2 and parts[1] in ("reference", "cpu"):
        return "/".join(parts[:2])
    return parts[0]


def check(root: pathlib.Path) -> list[str]:
    problems = []
    count = 0
    files = [p for folder in ("src", "cuda", "examples") for p in sorted((root / folder).rglob("*"))
             if p.suffix in (".hpp", ".cpp", ".cu", ".cuh", ".def", ".inc")]
    for file in files:
        relative = pathlib.PurePosixPath(file.relative_to(root).as_posix())
        layer = layer_of(relative)
        if layer not in MAY:
            problems.append(f"{relative}: folder is no layer of DESIGN 1")
            continue
        for bracket, name in INCLUDE.findall(file.read_text(encoding="utf-8")):
            count += 1
            if bracket == "<":
                for library, users in EXTERNAL.items():
                    if name.startswith(library) and layer not in users:
                        problems.append(f"{relative}: <{name}> belongs to {', '.join(users)}")
                if name in ("iostream", "regex"):
                    problems.append(f"{relative}: <{name}> has no place in a small library")
                continue
            if name.startswith("rushlight/"):
                if not (root / "include" / name).exists() and not name.endswith("build_config.hpp"):
                    problems.append(f"{relative}: no public header {name}")
                continue
            target = included_layer(name)
            if target == layer or str(relative) in NAMES_BACKENDS:
                continue
            if layer in ("cuda",) and target == "kernels":
                continue
            allowed = MAY[layer]
            if target not in allowed and name not in allowed:
                problems.append(f"{relative}: layer {layer} may not include {name}")
    for file in sorted((root / "include" / "rushlight").glob("*.hpp")):
        for bracket, name in INCLUDE.findall(file.read_text(encoding="utf-8")):
            count += 1
            if bracket == '"' and not name.startswith("rushlight/"):
                problems.append(f"{file.name}: public headers include \"rushlight/...\" only, found {name}")
            if bracket == "<" and ("/" in name or name.endswith(".h")):
                problems.append(f"{file.name}: public headers include the standard library only, found <{name}>")
    if count < 200:
        problems.append(f"only {count} includes were seen: is {root} the source tree?")
    return problems


def main() -> int:
    problems = check(pathlib.Path(sys.argv[1]))
    for problem in problems:
        print(problem)
    print("layering: " + ("ok" if not problems else f"{len(problems)} problems"))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
