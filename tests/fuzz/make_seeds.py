#!/usr/bin/env python3
"""Writes corpus/{safetensors,npz,gguf,spec,manifest,image}: one small file for each road through their readers.

    tests/fuzz/make_seeds.py            writes them
    tests/fuzz/make_seeds.py --check    fails when a committed one differs (ctest runs this)

What is in these folders beside the files made here are inputs of old findings.
"""
import io
import json
import pathlib
import struct
import sys
import zipfile
import zlib

HERE = pathlib.Path(__file__).resolve().parent
FLOATS = struct.pack("<6f", *range(6))


# --- safetensors --------------------------------------------------------------------------------------------------------
def safetensors(header, data: bytes, pad: int = 0) -> bytes:
    text = header if isinstance(header, str) else json.dumps(header, separators=(",", ":"))
    raw = text.encode() + b" " * pad
    return struct.pack("<Q", len(raw)) + raw + data


def tensor(dtype: str, shape, begin: int, end: int):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}


def safetensors_seeds():
    yield "two.safetensors", safetensors({"__metadata__": {"format": "pt"}, "a": tensor("F32", [2, 3], 0, 24),
                                          "b": tensor("U8", [4], 24, 28)}, FLOATS + b"abcd", 5)
    yield "unordered.safetensors", safetensors({"b": tensor("BF16", [], 24, 26), "a": tensor("F32", [6], 0, 24)},
                                               FLOATS + b"\x80\x3f")
    yield "empty.safetensors", safetensors({}, b"")
    yield "no_elements.safetensors", safetensors({"a": tensor("F64", [0, 7], 0, 0)}, b"")
    small = {"a": tensor("F8_E4M3", [2], 0, 2), "b": tensor("F4", [4], 2, 4), "c": tensor("BOOL", [2], 4, 6),
             "d": tensor("C64", [1], 6, 14)}
    yield "small_types.safetensors", safetensors(small, bytes(14))
    yield "unsupported.safetensors", safetensors({"a": tensor("F6_E2M3", [4], 0, 3)}, b"abc")
    yield "gap.safetensors", safetensors({"a": tensor("U8", [2], 1, 3)}, b"abc")
    yield "overlap.safetensors", safetensors({"a": tensor("U8", [2], 0, 2), "b": tensor("U8", [2], 1, 3)}, b"abc")
    yield "twice.safetensors", safetensors('{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},'
                                           '"a":{"dtype":"U8","shape":[1],"data_offsets":[1,2]}}', b"ab")
    yield "odd_names.safetensors", safetensors('{"\\u001b[\\ud83d\\ude00.x":{"dtype":"I8","shape":[1],'
                                               '"data_offsets":[0,1]}}', b"a")
    yield "huge_shape.safetensors", safetensors({"a": tensor("F32", [1 << 62, 4], 0, 24)}, FLOATS)


# --- NumPy --------------------------------------------------------------------------------------------------------------
def npy(descr: str, shape: str, data: bytes, fortran: bool = False, version: int = 1) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}".encode()
    length = 2 if version == 1 else 4
    text += b" " * (-(6 + 2 + length + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY" + bytes([version, 0]) + len(text).to_bytes(length, "little") + text + data


def npz(members, method=zipfile.ZIP_STORED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in members:
            info = zipfile.ZipInfo(name)
            info.compress_type = method
            archive.writestr(info, data)
    return out.getvalue()


def npz_seeds():
    floats = npy("'<f4'", "(2, 3)", FLOATS)
    yield "floats.npy", floats
    yield "fortran.npy", npy("'<f4'", "(2, 3)", FLOATS, fortran=True)
    yield "big_endian.npy", npy("'>i2'", "(3,)", bytes(range(6)))
    yield "scalar.npy", npy("'|b1'", "()", b"\x01")
    yield "version2.npy", npy("'<c8'", "(1, 0, 2)", b"", version=2)
    yield "version3.npy", npy("'<f8'", "(1,)", bytes(8), version=3)
    yield "objects.npy", npy("'|O'", "(1,)", b"\x80\x03N.")
    yield "structure.npy", npy("[('a', '<i4'), ('b', '<f4', (2,))]", "(1,)", bytes(12))
    yield "two.npz", npz([("a.npy", floats), ("b.npy", npy("'|u1'", "(4,)", b"abcd"))])
    yield "deflated.npz", npz([("a.npy", npy("'<i8'", "(64,)", bytes(512)))], zipfile.ZIP_DEFLATED)
    yield "objects.npz", npz([("a.npy", npy("'|O'", "(1,)", b"\x80\x03N.")), ("b.npy", floats)])
    damaged = bytearray(npz([("a.npy", floats)]))
    damaged[damaged.index(FLOATS) + 3] ^= 1
    yield "damaged.npz", bytes(damaged)


# --- GGUF ---------------------------------------------------------------------------------------------------------------
def gguf_text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def pair(key: str, kind: int, value: bytes) -> bytes:
    return gguf_text(key) + struct.pack("<I", kind) + value


def array(kind: int, count: int, values: bytes) -> bytes:
    return struct.pack("<IQ", kind, count) + values


def gguf(pairs, tensors, data: bytes, alignment: int = 32, version: int = 3) -> bytes:
    out = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(pairs)) + b"".join(pairs)
    for name, sizes, kind, offset in tensors:
        out += gguf_text(name) + struct.pack(f"<I{len(sizes)}QIQ", len(sizes), *sizes, kind, offset)
    return out + (bytes(-len(out) % alignment) if tensors else b"") + data


def gguf_seeds():
    floats = ("w", [3, 2], 0, 0)
    yield "floats.gguf", gguf([pair("general.architecture", 8, gguf_text("llama"))], [floats], FLOATS)
    every = [pair(f"k{kind}", kind, bytes(size)) for kind, size in
             enumerate([1, 1, 2, 2, 4, 4, 4, 1, 8, 12, 8, 8, 8])]
    yield "every_value.gguf", gguf(every, [], b"")
    nested = array(9, 2, array(4, 2, struct.pack("<2I", 1, 2)) + array(8, 1, gguf_text("x")))
    yield "arrays.gguf", gguf([pair("a", 9, nested), pair("t", 9, array(8, 2, gguf_text("a") + gguf_text("b")))], [],
                              b"")
    yield "blocks.gguf", gguf([], [("q", [32], 2, 0), ("w", [6], 0, 32)], bytes(32) + FLOATS)
    yield "alignment.gguf", gguf([pair("general.alignment", 4, struct.pack("<I", 8))],
                                 [("a", [1], 24, 0), ("b", [2], 30, 8)], bytes(12), alignment=8)
    yield "version2.gguf", gguf([], [("d", [1, 1, 1, 1], 28, 0)], bytes(8), version=2)
    yield "empty_name.gguf", gguf([], [("", [32], 2, 0)], bytes(32))  # a path that begins with an empty key
    yield "no_elements.gguf", gguf([], [("e", [0], 0, 0)], b"")[:-3]  # cut within the padding
    yield "overlap.gguf", gguf([], [floats, ("v", [6], 0, 0)], FLOATS)
    yield "deep.gguf", gguf([pair("a", 9, array(9, 1, array(9, 1, array(9, 1, array(0, 1, b"\x07")))))], [], b"")


# --- specs --------------------------------------------------------------------------------------------------------------
def spec_seeds():
    yield "cnn.json", {"schema": 1, "input": [1, 8, 8], "normalise": {"scale": 255, "mean": [0.5], "std": [0.25]},
                       "labels": ["a", "b"],
                       "layers": [{"conv2d": "c", "in_channels": 1, "out_channels": 2, "kernel_size": 3, "padding": 1},
                                  {"batchnorm2d": "bn", "num_features": 2}, "relu", {"maxpool2d": 2}, "flatten",
                                  {"linear": "fc", "in_features": 32, "out_features": 2}, {"softmax": 1}]}
    yield "residual.json", {"schema": 1, "description": "a block", "input": [2, -1, -1],
                            "layers": [{"conv2d": "c", "in_channels": 2, "out_channels": 2, "kernel_size": [3, 1],
                                        "padding": "same", "bias": False}, {"relu": "x"},
                                       {"add": "s", "input": ["x", "x"]}, {"adaptiveavgpool2d": [1, 2]}, "flatten",
                                       {"dropout": 0.2}, {"identity": "out"}], "outputs": ["out", "x"]}
    yield "inputs.json", {"schema": 1, "inputs": {"left": [4], "right": [4]},
                          "layers": [{"add": "both", "input": ["left", "right"]},
                                     {"linear": "fc", "in_features": 4, "out_features": 3, "bias": False},
                                     {"batchnorm1d": "bn", "num_features": 3, "eps": 0.001, "affine": False}]}
    yield "pools.json", {"schema": 1, "input": [1, 7, 5],
                         "layers": [{"avgpool2d": [3, 2], "stride": 2, "padding": [1, 1], "ceil_mode": True,
                                     "count_include_pad": False}, {"avgpool2d": 2, "divisor_override": 3},
                                    {"maxpool2d": 2, "stride": 1, "padding": 1, "dilation": 1, "name": "p"}]}
    yield "groups.json", {"schema": 1, "input": [4, 6, 6],
                          "layers": [{"conv2d": "c", "in_channels": 4, "out_channels": 4, "kernel_size": 2, "stride": 2,
                                      "dilation": 2, "groups": 4, "padding": "valid"}, {"softmax": -1},
                                     {"flatten": "f", "start_dim": 1, "end_dim": 2}]}
    yield "no_shape.json", {"schema": 1, "layers": [{"linear": "fc"}, "relu"]}
    yield "wrong.json", {"schema": 1, "input": [3], "layers": [{"linear": "a", "in_features": 4}, {"reul": "b"}]}
    yield "syntax.json", '{"schema": 1, "layers": [\n "relu",, ]}'


# --- manifests ----------------------------------------------------------------------------------------------------------
def manifest(records, tensors=(), sha256=False, size_bytes=4096):
    text = '{"rushlight_manifest":1,\n"self_xxh3":"' + "0123456789abcdef" * 2
    if sha256:
        text += '",\n"self_sha256":"' + "0123456789abcdef" * 4
    text += '",\n"size_bytes":%d,"chunk_bytes":4194304,\n"container":"zip","root":"archive","alignment":64' % size_bytes
    for key, items in (("records", records), ("tensors", tensors)):
        lines = ",\n".join(json.dumps(item, separators=(",", ":")) for item in items)
        text += ',\n"%s":[%s]' % (key, "\n" + lines if lines else "")
    return text + "}\n"


def manifest_record(name, offset, size, sha256=False, chunks=0):
    record = {"name": name, "header_offset": offset, "data_offset": offset + 64, "size_bytes": size, "stored_bytes": size,
              "method": 0, "flags": 2056, "crc": "0011aaff", "xxh3": "f" * 32}
    if chunks:
        record["chunks"] = ["%032x" % i for i in range(chunks)]
    if sha256:
        record["sha256"] = "a" * 64
    return record


def manifest_seeds():
    tensor = {"name": "a", "dtype": "float32", "shape": [2, 3], "strides": [3, 1], "record": "data/0", "storage_offset": 0}
    scalar = {"name": 'x."q\\', "dtype": "int64", "shape": [], "strides": [], "record": "", "storage_offset": 7}
    records = [manifest_record("data.pkl", 0, 100), manifest_record("data/0", 192, 24)]
    good = manifest(records, [tensor, scalar])
    yield "small.json", good
    yield "empty.json", manifest([])
    yield "sha256.json", manifest([manifest_record("data.pkl", 0, 100, True)], [tensor], True)
    yield "chunks.json", manifest([manifest_record("data/0", 0, 9 << 20, chunks=3)], [tensor], size_bytes=10 << 20)
    yield "version.json", good.replace('"rushlight_manifest":1', '"rushlight_manifest":2')
    yield "unknown.json", good.replace('"method"', '"more":{},"method"')
    yield "spelling.json", good.replace('"method":0', '"method":-0')
    yield "order.json", manifest(records[::-1])
    yield "signature.json", ('{"rushlight_signature":1,\n"public_key":"%s",\n"ed25519":"%s"}\n'
                             % ("0123456789abcdef" * 4, "0123456789abcdef" * 8))


# --- calibrations and tunings -------------------------------------------------------------------------------------------
def calibration(ranges, choice="least_error", **more):
    layers = {name: dict(zip(("low", "high", "least", "most"), ends)) for name, ends in ranges.items()}
    return {"rushlight_calibration": 1, "items": 64, "choice": choice, "layers": layers, **more}


def calibration_seeds():
    usual = {"0": (-1, 1.5, -1.25, 2), "2": (0, 6, 0, 6.5), "4": (-0.5, 0, -0.75, 0)}
    yield "usual.json", calibration(usual)
    yield "empty.json", calibration({}, "min_max")
    yield "zero.json", calibration({"a": (0, 0, 0, 0)})
    yield "widest.json", calibration({"a": (-3.4028234e38, 3.4028234e38, -1, 1)})
    yield "smallest.json", calibration({"a": (-1e-45, 0, 0, 0), "b": (0, 1e-45, 0, 0)})
    yield "odd_name.json", calibration({'x."q\\\u00e9\n': (-1, 1, -1, 1), "": (-1, 1, -1, 1)})
    yield "no_zero.json", calibration({"a": (0.5, 1, 0, 1)})
    yield "unknown.json", calibration(usual, more=1)
    yield "version.json", json.dumps(calibration(usual)).replace('"rushlight_calibration": 1', '"rushlight_calibration": 2')
    yield "twice.json", json.dumps(calibration(usual)).replace('"2":', '"0":')
    yield "syntax.json", '{"rushlight_calibration": 1,\n "items": 1,, }'


def tuning_seeds():
    head = "rushlight tuning 1\n# Which way.\n\nmachine cpu x86-64-v4, a processor, L2 1048576, rushlight 0.1.0\n"
    layer = "conv3x3 strict threads=2 in=1x56x56x64 out=1x56x56x64"
    yield "usual.txt", head + layer + " : winograd2\n" + layer.replace("56", "28") + " : direct\n"
    yield "times.txt", head + layer + " : direct # direct 812.4 us, winograd2 901.0 us\n"
    yield "machines.txt", head + layer + " : winograd4\n\nmachine another\n" + layer + " : direct\n"
    yield "empty.txt", "rushlight tuning 1\n"
    yield "lines.txt", head.replace("\n", "\r\n") + layer + " : direct"
    yield "unknown_word.txt", head + layer + " : fft\n"
    yield "twice.txt", head + layer + " : direct\n" + layer + " : winograd2\n"
    yield "no_machine.txt", "rushlight tuning 1\n" + layer + " : direct\n"
    yield "no_word.txt", head + layer + " :\n"
    yield "version.txt", "rushlight tuning 2\n"
    yield "long.txt", head + "x" * 600 + " : direct\n"
    yield "bytes.txt", head.encode() + b"\xff\x00 : direct\n"


# --- pictures -----------------------------------------------------------------------------------------------------------
def image_seeds():
    yield "grey.pgm", b"P5\n# made\n3 2\n255\n" + bytes(range(6))
    yield "deep.pgm", b"P5 2 2 1000\n" + struct.pack(">4H", 0, 1, 999, 1000)
    yield "text.pgm", b"P2\n3 2\n15\n0 1 2\n3 4 15\n"
    yield "colour.ppm", b"P6 2 1 255\n" + bytes(range(6))
    yield "text.ppm", b"P3\n1 2\n# between\n7\n0 1 2 3 4 7\n"
    yield "two.pgm", b"P5 1 1 255\nAP5 1 1 255\nB"
    yield "images.idx", struct.pack(">4B3I", 0, 0, 8, 3, 2, 2, 3) + bytes(range(12))
    yield "labels.idx", struct.pack(">4BI", 0, 0, 8, 1, 4) + bytes(range(4))
    yield "floats.idx", struct.pack(">4BI", 0, 0, 0x0D, 1, 1) + bytes(4)
    yield "many_dims.idx", struct.pack(">4B9I", 0, 0, 8, 9, *[1] * 9) + b"\x01"
    yield "no_pictures.idx", struct.pack(">4B4I", 0, 0, 8, 4, 0, 1 << 28, 3, 3)  # of any number of channels
    yield "gzip.idx", b"\x1f\x8b\x08\x00" + bytes(8)
    yield "picture.png", b"\x89PNG\r\n\x1a\n" + bytes(8)
    yield from png_seeds()
    yield from jpeg_seeds()


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png(width, height, depth, colour, rows: bytes, before=b"", after=b"", interlace=0) -> bytes:
    # Stored, not deflated: the same bytes from every version of zlib, and mutations reach the pixels.
    stored = b"\x78\x01\x01" + struct.pack("<HH", len(rows), len(rows) ^ 0xFFFF) + rows
    data = stored + struct.pack(">I", zlib.adler32(rows))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return (b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", header) + before + png_chunk(b"IDAT", data) + after +
            png_chunk(b"IEND", b""))


def exif(orientation: int) -> bytes:
    return b"MM\0*" + struct.pack(">IHHHIHHI", 8, 1, 0x112, 3, 1, orientation, 0, 0)


def png_seeds():
    for depth in (1, 2, 4, 8, 16):
        yield f"grey{depth}.png", png(3, 2, depth, 0, (b"\0" + bytes(range((3 * depth + 7) // 8))) * 2)
    for name, colour, depth, row in (("rgb", 2, 8, 9), ("rgb16", 2, 16, 18), ("grey_alpha", 4, 8, 6),
                                     ("grey_alpha16", 4, 16, 12), ("rgb_alpha", 6, 8, 12), ("rgb_alpha16", 6, 16, 24)):
        yield f"{name}.png", png(3, 2, depth, colour, b"\1" + bytes(range(row)) + b"\4" + bytes(range(row)))
    palette = png_chunk(b"PLTE", bytes(range(9)))
    yield "palette.png", png(3, 1, 8, 3, b"\0\0\1\2", palette + png_chunk(b"tRNS", b"\0"))
    yield "palette1.png", png(9, 1, 1, 3, b"\0\xa5\x80", palette)
    yield "interlaced.png", png(3, 3, 8, 0, b"\0\1\0\3\0\7\x09\0\2\0\x08\0\4\5\6", interlace=1)
    yield "turned.png", png(3, 1, 8, 0, b"\0\1\2\3", png_chunk(b"eXIf", exif(6)))
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x tiff:Orientation="8"/>'
    yield "xmp.png", png(3, 1, 8, 0, b"\0\1\2\3", after=png_chunk(b"iTXt", xmp))
    yield "bomb.png", png(0x7FFFFFFF, 0x7FFFFFFF, 16, 6, b"\0")


def jpeg_segment(marker: int, data: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def jpeg(components: int, scans, frame=0xC0, before=b"", size=(8, 8), sampling=0x11) -> bytes:
    """Blocks whose every code is one bit: 0 for no difference in the first coefficient, 0 for no others."""
    def table(kind: int) -> bytes:
        return bytes([kind]) + bytes([1] + [0] * 15) + b"\0"
    parts = [b"\xff\xd8", before, jpeg_segment(0xDB, b"\0" + bytes([1] * 64)),
             jpeg_segment(frame, struct.pack(">BHHB", 8, *size, components) +
                          b"".join(bytes([i + 1, sampling if i == 0 else 0x11, 0]) for i in range(components))),
             jpeg_segment(0xC4, table(0x00) + table(0x10))]
    for which, first, last, bits, data in scans:
        parts.append(jpeg_segment(0xDA, bytes([len(which)]) + b"".join(bytes([i, 0]) for i in which) +
                                  bytes([first, last, bits])) + data)
    return b"".join(parts) + b"\xff\xd9"


def jpeg_seeds():
    yield "grey.jpg", jpeg(1, [([1], 0, 63, 0, b"\x3f")])
    yield "ycbcr.jpg", jpeg(3, [([1, 2, 3], 0, 63, 0, b"\x03")])
    yield "halved.jpg", jpeg(3, [([1, 2, 3], 0, 63, 0, b"\x00\x0f")], size=(13, 15), sampling=0x22)
    yield "cmyk.jpg", jpeg(4, [([1, 2, 3, 4], 0, 63, 0, b"\x00")])
    adobe = jpeg_segment(0xEE, b"Adobe\0\x64\0\0\0\0\2")
    yield "ycck.jpg", jpeg(4, [([1, 2, 3, 4], 0, 63, 0, b"\x00")], before=adobe)
    yield "progressive.jpg", jpeg(1, [([1], 0, 0, 0, b"\x7f"), ([1], 1, 63, 0, b"\x7f")], frame=0xC2)
    yield "arithmetic.jpg", jpeg(1, [([1], 0, 63, 0, b"\x00\x00")], frame=0xC9)
    yield "turned.jpg", jpeg(1, [([1], 0, 63, 0, b"\x3f")], before=jpeg_segment(0xE1, b"Exif\0\0" + exif(6)))
    xmp = b"http://ns.adobe.com/xap/1.0/\0<tiff:Orientation>8</tiff:Orientation>"
    yield "xmp.jpg", jpeg(1, [([1], 0, 63, 0, b"\x3f")], before=jpeg_segment(0xE1, xmp))
    restart = jpeg_segment(0xDD, b"\0\1")
    yield "restarts.jpg", jpeg(1, [([1], 0, 63, 0, b"\x3f\xff\xd0\x3f")], before=restart, size=(8, 16))
    yield "bomb.jpg", jpeg(1, [([1], 0, 63, 0, b"\x3f")], size=(65000, 65000))


def as_bytes(content) -> bytes:
    if isinstance(content, dict):
        content = json.dumps(content)
    return content.encode() if isinstance(content, str) else content


def main() -> int:
    check = sys.argv[1:] == ["--check"]
    failed = False
    for target, seeds in (("safetensors", safetensors_seeds()), ("npz", npz_seeds()), ("gguf", gguf_seeds()),
                          ("spec", spec_seeds()), ("manifest", manifest_seeds()),
                          ("calibration", calibration_seeds()), ("tuning", tuning_seeds()), ("image", image_seeds())):
        folder = HERE / "corpus" / target
        for name, content in seeds:
            path = folder / name
            if not check:
                folder.mkdir(parents=True, exist_ok=True)
                path.write_bytes(as_bytes(content))
            # zlib's streams differ from version to version; what they inflate to is in the other seeds.
            elif not path.exists() or (name != "deflated.npz" and path.read_bytes() != as_bytes(content)):
                print(f"{path.name} is out of date: run tests/fuzz/make_seeds.py", file=sys.stderr)
                failed = True
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
