#!/usr/bin/env python3
"""Every verb prints exactly one JSON object under --json, also when it fails, with the fields of the contract.

    json_contract_test.py PROGRAM GOLDEN_DIR EXAMPLES_DIR
"""
import json
import math
import os
import pathlib
import re
import resource
import shutil
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM, GOLDEN, EXAMPLES = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
FASHION = GOLDEN / "fashion"
IMAGES = GOLDEN / "images"
CNN = FASHION / "fashion_cnn.pt"
LEGACY = GOLDEN / "format" / "modules" / "cnn.legacy.pt"
CKPT = FASHION / "fashion_ckpt.pt"
SPEC = EXAMPLES / "fashion_cnn.json"
CATEGORIES = set("kind trunc zip ambig unsup limit pkl global type tensor store crc mani sig changed io".split()) | {
    "model", "device", "argument"}
QUANTISED = "format/dtypes/quint8.pt"
SPARSE = "format/geometry/root_sparse.pt"
PAGES = pathlib.Path(PROGRAM).parent / "src" / "cli" / "share" / "man" / "man1"
VERBS = [line.split()[0] for line in
         subprocess.run([PROGRAM, "help"], capture_output=True, text=True).stdout.split("\n\n")[2].splitlines()]
VERBS.remove("help")


def npy(numbers, shape=None, dtype="<f4"):
    """An .npy file of float32, or of another dtype of NumPy."""
    shape = (len(numbers),) if shape is None else shape
    head = "{'descr': '%s', 'fortran_order': False, 'shape': %r, }" % (dtype, shape)
    head = head.ljust(117) + "\n"
    code = {"<f2": "e", "<f4": "f", "<f8": "d", "|u1": "B", "<i4": "i", "<i8": "q", "<c8": "d"}[dtype]  # <c8: zeros
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode() + struct.pack(
        "<%d%s" % (len(numbers), code), *numbers)


def zeros_as_safetensors(shapes):
    """A file of float32 zeros by name and shape."""
    header, end = {}, 0
    for name, shape in shapes.items():
        size = 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(end)


def rushlight(*words):
    done = subprocess.run([PROGRAM, *map(str, words), "--json"], capture_output=True, timeout=60)
    text = done.stdout.decode("utf-8")  # strictly: the output is valid UTF-8
    return done.returncode, json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(ValueError(name)))


class Envelope(unittest.TestCase):
    def check(self, verb, code, *words):
        found, report = rushlight(verb, *words)
        self.assertEqual(found, code, report)
        self.assertEqual(report["schema"], 1)
        self.assertEqual(report["command"], verb)
        self.assertEqual(report["ok"], code == 0)
        for finding in report["findings"]:
            self.assertIn(finding["severity"], ("error", "warning", "note"))
            self.assertIn(finding["category"], CATEGORIES)
            self.assertRegex(finding["code"], r"^[A-Z0-9]+(-[A-Z0-9]+)*$")
            self.assertTrue(finding["message"])
            self.assertIn("record", finding)
            self.assertIn("offset", finding)
            self.assertIsInstance(finding["tensors"], list)
        return report

    def test_list(self):
        report = self.check("list", 0, CNN)
        self.assertEqual(report["kind"], "torch-zip")
        self.assertEqual(report["size_bytes"], CNN.stat().st_size)
        self.assertEqual(len(report["tensors"]), 18)
        first = report["tensors"][0]
        self.assertEqual(first, first | {"name": "conv1.weight", "path": ["conv1.weight"], "dtype": "float32",
                                         "shape": [32, 1, 3, 3], "strides": [9, 9, 3, 1], "storage_offset": 0,
                                         "device": "cpu", "requires_grad": False, "class": "tensor",
                                         "layout": "strided", "storage": "data/0", "size_bytes": 1152,
                                         "quantizer": None})
        self.assertEqual([g["name"] for g in report["globals"] if not g["allowed"]], [])

    def test_list_of_a_training_checkpoint(self):
        report = self.check("list", 0, FASHION / "fashion_ckpt.pt")
        names = [t["name"] for t in report["tensors"]]
        self.assertIn("model_state_dict.conv1.weight", names)
        self.assertIn("optimizer_state_dict.state[0].exp_avg", names)
        values = {v["name"]: v for v in report["values"]}
        self.assertEqual(values["epoch"]["type"], "int")
        self.assertEqual(values["loss"]["type"], "float")

    def test_list_of_values_that_json_has_no_form_for(self):
        [size] = self.check("list", 0, GOLDEN / "format" / "geometry" / "root_size.pt")["values"]
        self.assertEqual((size["type"], size["value"]), ("size", [2, 3]))
        values = {v["name"]: v for v in self.check("list", 0, GOLDEN / "format" / "pickle" / "protocol5.pt")["values"]}
        zero = values["floats[1]"]
        self.assertEqual((zero["type"], repr(zero["value"])), ("float", "-0.0"))  # not 0, nor an integer

    def test_values_of_numpy(self):
        file = GOLDEN / "numpy" / "torch-2.15.0" / "training.pt"
        report = self.check("list", 0, file)
        self.assertEqual([t["name"] for t in report["tensors"]], ["state_dict.weight", "state_dict.bias", "rng.torch"])
        values = {v["name"]: v for v in report["values"]}
        best = values["best_acc"]
        self.assertEqual((best["type"], best["value"], best["class"], best["numpy"]),
                         ("float", 0.875, "numpy.float64", "<f8"))
        self.assertEqual(values["confusion"]["type"], "ndarray")
        self.assertEqual(values["confusion"]["value"], {"dtype": "<i8", "shape": [3, 3], "order": "C", "item_bytes": 8})
        self.assertNotIn("numpy", values["epoch"])
        shown = self.check("show", 0, file, "confusion")
        self.assertEqual((shown["values"], shown["numpy"]), (list(range(9)), "<i8"))
        arrays = {a["name"]: a for a in self.check("hash", 0, file)["arrays"]}
        self.assertEqual(arrays["confusion"]["shape"], [3, 3])
        texts = self.check("show", 0, GOLDEN / "numpy" / "torch-1.13.0a0" / "values.protocol2.pt", "bytes")
        self.assertEqual(texts["data"], "YWJjAA==")

    def test_list_of_a_module(self):
        report = self.check("list", 0, FASHION / "fashion_module.pt")
        self.assertEqual([o["class"] for o in report["opaque"] if not o["path"]], ["__main__.Net"])
        self.assertEqual([t["name"] for t in report["tensors"]][:2], ["conv1.weight", "conv1.bias"])
        self.assertEqual(report["tensors"][0]["class"], "parameter")

    def test_verify(self):
        report = self.check("verify", 0, CNN)
        self.assertEqual(report["structure"], "ok")
        self.assertEqual(report["explained_bytes"], CNN.stat().st_size)
        self.assertTrue(all(t["state"] == "intact" for t in report["tensors"]))
        self.assertTrue(all(r["crc"] == "verified" and r["method"] == "stored" for r in report["records"]))
        self.assertTrue(all(r["xxh3"] is None for r in report["records"]))
        self.assertEqual((report["manifest"], report["signature"]), (None, None))
        self.check("verify", 1, CNN, "--require-manifest")

    def test_manifest(self):
        with tempfile.TemporaryDirectory() as folder:
            file, sidecar = pathlib.Path(folder) / "a.pt", pathlib.Path(folder) / "a.json"
            report = self.check("manifest", 0, CNN, "-o", file)
            self.assertEqual(report, report | {"output": str(file), "sidecar": False, "level": "xxh3", "records": 20,
                                               "tensors": 18})
            self.check("manifest", 3, CNN, "-o", file)  # it is there already
            self.check("manifest", 0, CNN, "-o", file, "--force")
            checked = self.check("verify", 0, file, "--require-manifest")
            self.assertEqual(checked["manifest"], {"state": "verified", "sidecar": False, "level": "xxh3",
                                                   "records": 20, "tensors": 18, "digest": report["digest"],
                                                   "file_xxh3": None, "file_sha256": None})
            self.assertTrue(all(r["xxh3"] == "verified" for r in checked["records"]))
            self.assertIsNone(checked["records"][0]["sha256"])
            # Whoever changes data and CRC is found all the same.
            at = next(r for r in checked["records"] if r["name"] == "data/14")["offset"]
            data = bytearray(file.read_bytes())
            data[at] ^= 1
            file.write_bytes(data)
            damaged = self.check("verify", 1, file)
            self.assertEqual({r["name"] for r in damaged["records"] if r["xxh3"] != "verified"}, {"data/14"})
            self.assertIn(("mani", "data/14", ["fc1.weight"]),
                          [(f["category"], f["record"], f["tensors"]) for f in damaged["findings"]])
            self.check("manifest", 1, file, "--in-place")  # of a damaged file there is none
            self.check("manifest", 0, CNN, "--sidecar", sidecar)
            self.assertTrue(self.check("verify", 0, CNN, "--manifest", sidecar)["manifest"]["sidecar"])
            # Beside a file that is no archive.
            self.check("manifest", 1, LEGACY, "-o", file, "--force")
            report = self.check("manifest", 0, LEGACY, "--sidecar", sidecar, "--force")
            self.assertEqual(len(report["file_xxh3"]), 32)
            self.assertIsNone(report["file_sha256"])
            checked = self.check("verify", 0, LEGACY, "--manifest", sidecar, "--require-manifest")
            self.assertEqual((checked["manifest"]["file_xxh3"], checked["manifest"]["file_sha256"]), ("verified", None))
            self.assertEqual({r["xxh3"] for r in checked["records"]}, {"verified"})
            self.assertEqual({r["crc"] for r in checked["records"]}, {"not-computed"})
            self.assertEqual({t["state"] for t in checked["tensors"]}, {"intact"})
            self.assertEqual({t["state"] for t in self.check("verify", 0, LEGACY)["tensors"]}, {"unverified"})
        self.check("manifest", 2, CNN)
        self.check("manifest", 2, CNN, "--in-place", "-o", "x.pt")

    def test_sign(self):
        self.check("sign", 3, CNN, "--key", "/nonexistent/private.pem")
        self.check("verify", 2, CNN, "--require-signature")
        with tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            file, key, public, signature = (folder / n for n in ("a.pt", "private.pem", "public.pem", "a.sig"))
            try:
                for words in (["genpkey", "-algorithm", "ed25519", "-out", key],
                              ["pkey", "-in", key, "-pubout", "-out", public]):
                    subprocess.run(["openssl", *words], check=True, capture_output=True)
            except (OSError, subprocess.CalledProcessError):
                self.skipTest("openssl makes no keys here")
            if self.run_unchecked("hash", CNN, "--algo", "sha256") != 0:
                self.skipTest("built without OpenSSL")
            self.check("sign", 1, CNN, "--key", key)  # no manifest
            one = folder / "one.pt"
            one.write_bytes(pathlib.Path(LEGACY).read_bytes())
            report = self.check("sign", 0, one, "--key", key, "--sidecar", signature)
            self.assertEqual((report["manifest"], report["manifest_written"]), (f"{one}.manifest.json", True))
            demand = ["--require-signature", "--pub", public, "--signature", signature]
            checked = self.check("verify", 0, one, *demand, "--manifest", report["manifest"])
            self.assertEqual(checked["manifest"]["file_sha256"], "verified")
            self.check("verify", 1, one, *demand)
            signature.unlink()
            self.check("manifest", 0, CNN, "--sha256", "-o", file)
            report = self.check("sign", 0, file, "--key", key, "--sidecar", signature)
            self.assertEqual((report["sidecar"], signature.stat().st_size), (True, 64))
            self.assertEqual((report["manifest"], report["manifest_written"]), (None, False))
            beside = ["--require-signature", "--pub", public]
            self.check("verify", 1, file, *beside)  # unsigned
            checked = self.check("verify", 0, file, *beside, "--signature", signature)
            self.assertEqual(checked["signature"], {"state": "verified", "sidecar": True, "key": report["key"]})
            self.check("sign", 0, file, "--key", key)
            checked = self.check("verify", 0, file, *beside)
            self.assertEqual(checked["signature"], {"state": "verified", "sidecar": False, "key": report["key"]})
            self.assertEqual(self.check("verify", 0, file)["signature"]["state"], "not-checked")
            self.assertTrue(all(r["sha256"] == "verified" for r in checked["records"]
                                if r["name"] != ".rushlight/signature"))
            key.chmod(0o644)
            warned = self.check("sign", 0, file, "--key", key)
            self.assertEqual([(f["severity"], f["code"]) for f in warned["findings"]], [("warning", "SIG-KEY-MODE")])
            self.check("verify", 1, file, "--pub", key)  # no public key

    @staticmethod
    def run_unchecked(*words):
        return rushlight(*words)[0]

    def test_verify_of_a_flipped_bit(self):
        record = next(r for r in rushlight("verify", CNN)[1]["records"] if r["name"] == "data/14")
        with tempfile.TemporaryDirectory() as folder:
            broken = pathlib.Path(folder) / "broken.pt"
            data = bytearray(CNN.read_bytes())
            at = record["offset"] + 999 * 4 + 3
            data[at] ^= 64
            broken.write_bytes(data)
            report = self.check("verify", 1, broken)
            self.assertEqual(report["flipped_bits"], [{"offset": at, "record_offset": 999 * 4 + 3, "bit": 6,
                                                       "found": data[at], "expected": data[at] ^ 64}])
            damaged = [t for t in report["tensors"] if t["state"] != "intact"]
            self.assertEqual([t["name"] for t in damaged], ["fc1.weight"])
            self.assertEqual(damaged[0]["element"], 999)
            errors = [f for f in report["findings"] if f["severity"] == "error"]
            self.assertEqual([(f["category"], f["tensors"]) for f in errors], [("crc", ["fc1.weight"])])

    def test_hash(self):
        report = self.check("hash", 0, CNN)
        self.assertEqual(len(report["content_digest"]), 32)
        self.assertEqual(len(report["tensors"]), 18)
        module = self.check("hash", 0, FASHION / "fashion_module.pt")
        self.assertEqual(report["content_digest"], module["content_digest"])

    def test_diff(self):
        report = self.check("diff", 0, CNN, CNN)
        self.assertEqual((report["equal"], report["changed"], report["added"], report["removed"]), (18, [], [], []))
        self.assertEqual(report["compared"], {"values": True, "strides": True, "tying": True})
        report = self.check("diff", 0, CNN, FASHION / "fashion_module.pt", "--tensors-only")
        self.assertEqual((report["other"], report["equal"]), (str(FASHION / "fashion_module.pt"), 18))
        self.check("diff", 1, CNN, FASHION / "fashion_module.pt")  # training flags, _metadata
        with tempfile.TemporaryDirectory() as folder:
            files = [pathlib.Path(folder) / name for name in ("a.npy", "b.npy")]
            files[0].write_bytes(npy([1, 2, 4]))
            files[1].write_bytes(npy([1, 2.5, float("inf")]))
            report = self.check("diff", 1, *files)
            [change] = report["changed"]
            self.assertEqual(change, change | {"kind": "values", "different": 2, "elements": 3, "nan": 0,
                                               "max_abs": "Infinity", "max_rel": "Infinity", "max_abs_index": [2],
                                               "rel_l2": None, "cosine": None})
            self.assertGreater(change["max_ulp"], 2**22)
            files[1].write_bytes(npy([1, 2.5, 4]))
            report = self.check("diff", 0, *files, "--rtol", "0.25")
            self.assertEqual((report["equal"], report["close"]), (0, 1))
            self.check("diff", 2, *files, "--rtol", "-1")
        report = self.check("diff", 1, CNN, FASHION / "fashion_ckpt.pt", "--tensors-only")
        self.assertIn({"from": "conv1.weight", "to": "model_state_dict.conv1.weight"}, report["renamed"])
        self.assertEqual(len(report["renamed"]), 18)
        self.assertIn("optimizer_state_dict.state[0].step", report["added"])
        self.check("diff", 3, CNN, "/nonexistent/model.pt")

    def test_diff_of_the_same_in_two_containers(self):
        count = 0
        for legacy in sorted((GOLDEN / "format").rglob("*.legacy.pt")):
            other = legacy.with_name(legacy.name.replace(".legacy.pt", ".pt"))
            # The legacy one of all dtypes has fewer: torch cannot write the others so.
            if other.is_file() and other.name != "all.pt":
                count += 1
                self.check("diff", 0, other, legacy)
        self.assertGreater(count, 100)
        for file in (GOLDEN / "torch-releases").glob("*/state_dict.pt"):
            self.check("diff", 0, GOLDEN / "torch-releases" / "2.15.0" / "state_dict.pt", file)

    def test_convert(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder)
            report = self.check("convert", 0, CNN, out / "a.safetensors", "--verify")
            self.assertEqual((report["kind"], report["tensors"], report["verified"], report["left_behind"], report["casts"]),
                             ("safetensors", 18, True, [], []))
            self.assertEqual(report["size_bytes"], (out / "a.safetensors").stat().st_size)
            self.check("convert", 3, CNN, out / "a.safetensors")  # it is there already
            self.check("convert", 0, out / "a.safetensors", out / "b.pt", "--verify")
            self.check("diff", 0, CNN, out / "b.pt", "--tensors-only", "--match", "*")
            self.check("convert", 0, CNN, out / "same.pt")
            first, second = CNN.read_bytes(), (out / "same.pt").read_bytes()
            self.assertEqual(len(first), len(second))
            self.assertLessEqual(sum(a != b for a, b in zip(first, second)), 48)  # the serialization id and its CRC
            report = self.check("convert", 0, CNN, out / "half.pt", "--dtype", "bf16", "fc*")
            self.assertEqual([cast["name"] for cast in report["casts"]], ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"])
            self.assertTrue(all(0 < cast["rel_l2"] < 2 ** -8 and cast["overflowed"] == 0 for cast in report["casts"]))
            report = self.check("convert", 0, CKPT, out / "weights.npz", "--deflate")
            self.assertIn("epoch", report["left_behind"])
            self.check("convert", 2, CNN, out / "x.pt", "--dtype", "float99")
            self.check("convert", 2, CNN, out / "model.what")
            self.check("convert", 3, out / "none.pt", out / "x.pt")
            self.assertEqual(sorted(path.name for path in out.iterdir()),
                             ["a.safetensors", "b.pt", "half.pt", "same.pt", "weights.npz"])

    def test_extract(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder)
            report = self.check("extract", 0, CKPT, "model_state_dict", "-o", out / "w.pt")
            self.assertEqual((report["kind"], report["tensors"]), ("torch-zip", 18))
            report = self.check("extract", 0, CNN, "fc1.weight", "-o", out / "fc1.npy", "--verify")
            self.assertEqual((report["tensors"], report["verified"]), (1, True))
            self.check("extract", 0, CNN, "conv*", "-o", out / "c.safetensors", "--verify")
            self.check("extract", 3, CNN, "fc9*", "-o", out / "d.pt")

    def test_edit(self):
        with tempfile.TemporaryDirectory() as folder:
            out = pathlib.Path(folder)
            report = self.check("edit", 0, CKPT, "--drop", "optimizer_state_dict", "--set", "epoch=9", "--dry-run")
            self.assertEqual((report["output"], report["dropped"], report["set"]), (None, ["optimizer_state_dict"], ["epoch"]))
            report = self.check("edit", 0, CKPT, "-o", out / "slim.pt", "--drop", "optimizer_state_dict", "--set", "epoch=9",
                                "--rename", "s/^(conv|fc)/net.\\1/", "--cast", "f32=bf16", "--verify")
            self.assertIn({"from": "conv1.weight", "to": "net.conv1.weight"}, report["renamed"])
            self.assertEqual((report["tensors"], report["verified"]), (18, True))
            listing = self.check("list", 0, out / "slim.pt")
            names = [tensor["name"] for tensor in listing["tensors"]]
            self.assertIn("model_state_dict.net.fc1.weight", names)
            self.assertFalse([name for name in names if name.startswith("optimizer")])
            self.assertEqual({value["name"]: value["value"] for value in listing["values"]}["epoch"], 9)
            self.check("edit", 0, out / "slim.pt", "--in-place", "--set", "epoch=10")
            self.check("edit", 2, out / "slim.pt", "--set", "epoch=10")  # where to?
            self.check("edit", 3, out / "slim.pt", "--in-place", "--drop", "nothing.like.it")
            self.check("edit", 2, out / "slim.pt", "--in-place", "--rename", "s/(/x/")
            self.assertEqual([path.name for path in out.iterdir()], ["slim.pt"])

    def test_scan(self):
        report = self.check("scan", 1, FASHION / "fashion_module.pt", CNN)
        verdicts = {pathlib.Path(f["file"]).name: f["ok"] for f in report["files"]}
        self.assertEqual(verdicts, {"fashion_cnn.pt": True, "fashion_module.pt": False})

    def test_show(self):
        report = self.check("show", 0, CNN, "fc2.bias", "--head", "0")
        self.assertEqual(len(report["values"]), 10)

    def test_steps_of_paths_that_json_has_no_form_for(self):
        report = self.check("list", 0, GOLDEN / "format" / "pickle" / "protocol5.pt")
        self.assertIn({"key": "None"}, [step for value in report["values"] for step in value["path"]])

    def test_list_of_quantised_and_sparse_tensors(self):
        for entry in self.check("list", 0, GOLDEN / QUANTISED)["tensors"]:
            self.assertIn("qscheme", entry["quantizer"])
        [entry] = self.check("list", 0, GOLDEN / SPARSE)["composites"]
        self.assertEqual(entry["layout"], "sparse_coo")

    def test_list_sorts(self):
        sizes = [t["size_bytes"] for t in self.check("list", 0, CNN, "--sort", "size")["tensors"]]
        self.assertEqual(sizes, sorted(sizes, reverse=True))
        names = [t["name"] for t in self.check("list", 0, CNN, "--sort", "name")["tensors"]]
        self.assertEqual(names, sorted(names))
        offsets = {r["name"]: r["offset"] for r in self.check("verify", 0, CNN)["records"]}
        found = [offsets[t["storage"]] for t in self.check("list", 0, CNN, "--sort", "offset")["tensors"]]
        self.assertEqual(found, sorted(found))
        self.check("list", 2, CNN, "--sort", "colour")

    def test_list_sorts_by_offset_in_every_container(self):
        def storages(*arguments):
            return [tensor["storage"] for tensor in self.check("list", 0, *arguments)["tensors"]]
        # torch writes the storages of a legacy stream sorted by their keys.
        legacy = GOLDEN / "torch-releases" / "1.0.1" / "state_dict.pt"
        self.assertNotEqual(storages(legacy), sorted(storages(legacy)))
        self.assertEqual(storages(legacy, "--sort", "offset"), sorted(storages(legacy)))
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "two.safetensors"
            header = json.dumps({"a": {"dtype": "U8", "shape": [2], "data_offsets": [3, 5]},
                                 "b": {"dtype": "U8", "shape": [3], "data_offsets": [0, 3]}}).encode()
            path.write_bytes(struct.pack("<Q", len(header)) + header + b"bbbaa")
            for order, names in (("name", ["a", "b"]), ("offset", ["b", "a"])):
                report = self.check("list", 0, path, "--sort", order)
                self.assertEqual([tensor["name"] for tensor in report["tensors"]], names)

    def test_several_files_are_one_object(self):
        for verb in ("list", "verify", "hash", "stats"):
            report = self.check(verb, 0, CNN, FASHION / "fashion_ckpt.pt")
            self.assertIsNone(report["file"])
            self.assertEqual([f["command"] for f in report["files"]], [verb] * 2)
            self.assertEqual([pathlib.Path(f["file"]).name for f in report["files"]],
                             ["fashion_cnn.pt", "fashion_ckpt.pt"])
            report = self.check(verb, 3, "/nonexistent/model.pt", CNN)
            self.assertEqual([f["ok"] for f in report["files"]], [False, True])

    def test_stats(self):
        report = self.check("stats", 0, CNN, "--fail-on", "nan,inf")
        self.assertEqual(len(report["tensors"]), 18)
        first = report["tensors"][0]
        self.assertEqual((first["name"], first["dtype"], first["shape"]), ("conv1.weight", "float32", [32, 1, 3, 3]))
        self.assertEqual(first["statistics"]["count"], 288)
        self.assertEqual(sum(first["statistics"]["histogram"]), 288)
        self.assertEqual(first["sparsity"], 0)
        self.check("stats", 2, CNN, "--fail-on", "zero")
        self.check("stats", 3, CNN, "--match", "nothing.*")

    def test_stats_finds_nan_and_inf(self):
        with tempfile.TemporaryDirectory() as folder:
            numbers = pathlib.Path(folder) / "numbers.npy"
            numbers.write_bytes(npy([1, float("nan"), float("inf"), 0]))
            self.check("stats", 0, numbers)
            report = self.check("stats", 1, numbers, "--fail-on", "nan")
            self.assertEqual([(f["code"], f["category"]) for f in report["findings"]], [("STATS-NAN", "tensor")])
            report = self.check("stats", 1, numbers, "--fail-on", "nan,inf")
            self.assertEqual([f["code"] for f in report["findings"]], ["STATS-NAN", "STATS-INF"])
            self.assertEqual(report["tensors"][0]["sparsity"], 0.25)

    def test_stats_of_quantised_tensors_are_of_their_values(self):
        for tensor in self.check("stats", 0, GOLDEN / QUANTISED)["tensors"]:
            self.assertIsNotNone(tensor["statistics"], tensor)

    def test_du(self):
        report = self.check("du", 0, FASHION / "fashion_ckpt.pt")
        self.assertEqual(report["storage_bytes"] + report["container_bytes"], report["size_bytes"])
        top = [p for p in report["parts"] if p["depth"] == 1]
        self.assertEqual([p["name"] for p in top], ["optimizer_state_dict", "model_state_dict"])
        self.assertEqual(sum(p["size_bytes"] for p in top), report["storage_bytes"])
        self.assertEqual({p["depth"] for p in self.check("du", 0, CNN, "--depth", "1")["parts"]}, {1})
        self.check("du", 2, CNN, "--depth", "-1")

    def test_doctor(self):
        report = self.check("doctor", 0, CNN)
        self.assertEqual((report["kind"], report["condition"], report["rescue"]), ("torch-zip", "healthy", None))
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "model.pt"

            def condition(data):
                file.write_bytes(data)
                return self.check("doctor", 1, file)
            whole = CNN.read_bytes()
            cut = condition(whole[:900_000])
            self.assertEqual(cut["condition"], "incomplete")
            self.assertTrue(cut["rescue"]["has_values"])
            self.assertEqual((cut["rescue"]["tensors"], cut["rescue"]["named_tensors"]), (6, 18))
            # Whatever is cut off, what is counted was there.
            for size in (1, 100, 2000, 100_000, len(whole) - 1):
                self.assertIn(condition(whole[:size])["condition"], ("incomplete", "foreign", "damaged"))
            self.assertEqual(condition(b"version https://git-lfs.github.com/spec/v1\nsize 5\n")["condition"], "foreign")
            self.assertEqual(condition(b"")["condition"], "foreign")
            flipped = bytearray(whole)
            flipped[1_000_000] ^= 1
            damaged = condition(flipped)
            self.assertEqual((damaged["condition"], damaged["rescue"]["tensors"]), ("damaged", 17))

    def test_doctor_salvage(self):
        with tempfile.TemporaryDirectory() as folder:
            file, out = pathlib.Path(folder) / "model.pt", pathlib.Path(folder) / "out.pt"
            file.write_bytes(CNN.read_bytes()[:900_000])
            report = self.check("doctor", 1, file, "--salvage", out)["salvage"]
            self.assertEqual((len(report["rescued"]), len(report["lost"]), report["left_out"]), (6, 12, []))
            self.assertEqual((report["written"], report["complete"], report["output"]), (True, False, str(out)))
            self.assertEqual(report["output_bytes"], out.stat().st_size)
            self.assertEqual({lost["reason"] for lost in report["lost"]}, {"beyond-end"})
            self.assertEqual([record["state"] for record in report["records"]], 7 * ["whole"] + ["cut"])
            self.check("doctor", 2, file, "--salvage", out)
            file.write_bytes(CNN.read_bytes()[:-1])
            whole = self.check("doctor", 0, file, "--salvage", out, "--force")
            self.assertTrue(whole["ok"] and whole["salvage"]["complete"])

    def test_help(self):
        for words in ((), ("run",), ("help",), ("limits",), ("--man",), ("--man", "run")):
            told = subprocess.run([PROGRAM, "help", *words], capture_output=True, text=True, timeout=60, check=True).stdout
            self.assertEqual(self.check("help", 0, *words)["text"], told)
        self.assertEqual(rushlight("run", "--help")[1], self.check("help", 0, "run"))
        self.check("help", 2, "no-such-verb")

    def test_completion(self):
        for shell in ("bash", "zsh", "fish"):
            report = self.check("completion", 0, shell)
            self.assertEqual(report["shell"], shell)
            for verb in VERBS:
                self.assertIn(verb, report["script"])
        self.check("completion", 2, "tcsh")

    def test_scan_as_sarif(self):
        done = subprocess.run([PROGRAM, "scan", FASHION / "fashion_module.pt", CNN, "--format", "sarif"],
                              capture_output=True, timeout=60)
        self.assertEqual(done.returncode, 1)
        log = json.loads(done.stdout)
        self.assertEqual(log["version"], "2.1.0")
        [run] = log["runs"]
        rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
        self.assertEqual(len(run["artifacts"]), 2)
        self.assertTrue(run["results"])
        for result in run["results"]:
            self.assertEqual(rules[result["ruleIndex"]], result["ruleId"])
            self.assertIn(result["level"], ("none", "note", "warning", "error"))
            self.assertTrue(result["message"]["text"])
            place = result["locations"][0]["physicalLocation"]["artifactLocation"]
            self.assertEqual(run["artifacts"][place["index"]]["location"]["uri"], place["uri"])

    def test_run(self):
        report = self.check("run", 0, CNN, "--spec", SPEC, "--idx", FASHION / "images-1000.idx3-ubyte", "--idx-labels",
                            FASHION / "labels-1000.idx1-ubyte")
        self.assertEqual(report["device"], "cpu")
        self.assertEqual(len(report["outputs"]), 1000)
        self.assertEqual(len(report["outputs"][0]["top"]), 5)
        self.assertGreater(report["accuracy"], 0.88)

    def test_run_of_what_is_no_number(self):
        with tempfile.TemporaryDirectory() as folder:
            item = pathlib.Path(folder) / "nan.npy"
            item.write_bytes(npy([math.nan] + [0.5] * 783, (1, 1, 28, 28)))
            done = subprocess.run([PROGRAM, "run", CNN, "--spec", SPEC, "--input", item], capture_output=True, text=True,
                                  timeout=30, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""))
            self.assertRegex(done.stdout, r"(?m)^ *\d+ +\S+ +nan *$")

    def test_run_takes_the_dtype_that_the_network_wants(self):
        with tempfile.TemporaryDirectory() as folder:
            spec, weights, words, out = (pathlib.Path(folder) / name for name in
                                         ("words.json", "words.safetensors", "words.npy", "out.npy"))
            spec.write_text(json.dumps({"schema": 1, "input": {"shape": [2], "dtype": "int64"},
                                        "layers": [{"embedding": "table"}, "flatten"]}))
            weights.write_bytes(zeros_as_safetensors({"table.weight": [4, 3]}))
            for dtype, fits in (("<i8", True), ("|u1", True), ("<f4", False)):
                words.write_bytes(npy([0, 1, 2, 3, 3, 0], (3, 2), dtype))
                done, document = rushlight("run", spec, "--weights", weights, "--input", words, "--output", out)
                self.assertEqual(done, 0 if fits else 2, document)
                if not fits:
                    self.assertIn("the network's input is int64, this array float32", document["findings"][0]["message"])
            words.write_bytes(npy([0, 1], (1, 2), "<i8"))
            done, document = rushlight("run", spec, "--weights", weights, "--input", words, "--scale", "255")
            self.assertEqual((done, document["file"], document["findings"][0]["code"]), (2, str(words), "ARG-IMAGE"))
            # Nothing is lost without a word.
            words.write_bytes(npy([0] * 784, (1, 1, 28, 28), "<c8"))
            done, document = rushlight("run", CNN, "--spec", SPEC, "--input", words)
            self.assertEqual(done, 2)
            self.assertIn("the network's input is float32, this array complex64", document["findings"][0]["message"])

    def test_run_of_a_spec_without_weights(self):
        with tempfile.TemporaryDirectory() as folder:
            spec, numbers, out = (pathlib.Path(folder) / name for name in ("net.json", "numbers.npy", "out.npy"))
            numbers.write_bytes(npy([-1, 2, 3], (1, 3)))
            spec.write_text(json.dumps({"schema": 1, "layers": [{"clamp": 0, "max": 2.5}]}))
            self.assertEqual(rushlight("run", spec, "--input", numbers, "--output", out)[0], 0)
            self.assertEqual(struct.unpack("<3f", out.read_bytes()[-12:]), (0, 2, 2.5))
            spec.write_text(json.dumps({"schema": 1, "layers": [{"linear": "fc"}]}))
            done, document = rushlight("run", spec, "--input", numbers)
            self.assertEqual(done, 2)
            broken = spec.with_name("broken.json")
            broken.write_text(json.dumps({"schema": 1, "layers": ["rleu"]}))
            self.assertEqual(rushlight("run", broken, "--input", numbers)[1]["file"], str(broken))
            self.assertEqual(document["findings"][0]["message"], "a spec describes a network without weights")

    def test_threads_of_a_run(self):
        item = pathlib.Path(GOLDEN / "fashion" / "images-1000.idx3-ubyte")
        told = subprocess.run([PROGRAM, "run", CNN, "--spec", SPEC, "--idx", item, "--threads", "0"], capture_output=True,
                              text=True, check=False).stdout
        processors = len(os.sched_getaffinity(0))
        self.assertIn(f"{processors} thread", told)

    def test_an_output_that_takes_nothing(self):
        with open("/dev/full", "w") as full:
            for words in (["list", CNN], ["list", "--json", CNN], ["devices"], ["help", "run"], ["verify", CNN]):
                done = subprocess.run([PROGRAM, *words], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
                self.assertEqual(done.returncode, 3, words)
                self.assertIn("rushlight: cannot write to the standard output: No space left on device\n", done.stderr)

    def test_each_stream_has_its_own_colours(self):
        environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"} | {"TERM": "xterm"}
        with tempfile.TemporaryDirectory() as folder:
            words = [PROGRAM, "list", FASHION / "fashion_module.pt"]  # with warnings, which go to standard error

            def streams(to_terminal, *more):
                main, terminal = os.openpty()
                with open(pathlib.Path(folder) / "file", "w+b") as file:
                    streams = (terminal, file) if to_terminal == "stdout" else (file, terminal)
                    child = subprocess.Popen([*words, *more], stdout=streams[0], stderr=streams[1], env=environment)
                    os.close(terminal)
                    shown = b""
                    try:
                        while part := os.read(main, 65536):
                            shown += part
                    except OSError:  # the other end is closed
                        pass
                    child.wait(30)
                    os.close(main)
                    file.seek(0)
                    return b"\x1b[" in shown, b"\x1b[" in file.read()
            for stream in ("stdout", "stderr"):
                self.assertEqual(streams(stream), (True, False))
                self.assertEqual(streams(stream, "--color", "always"), (True, True))
                self.assertEqual(streams(stream, "--color", "never"), (False, False))

    def test_tuning(self):
        with tempfile.TemporaryDirectory() as folder:
            kept = pathlib.Path(folder) / "kept"
            words = (CNN, "--spec", SPEC, "--tune", kept)
            run = ("--idx", FASHION / "images-1000.idx3-ubyte")
            first = self.check("bench", 0, *words, "--seconds", "0", "--batch", "4")["tuning"]
            self.assertEqual(first["file"], str(kept))
            self.assertGreater(first["entries"], 0)
            self.assertEqual(first["measured"], first["entries"])
            text = kept.read_text()
            self.assertEqual(text.splitlines()[0], "rushlight tuning 1")
            again = self.check("bench", 0, *words, "--seconds", "0", "--batch", "4")["tuning"]
            self.assertEqual((again["measured"], again["entries"]), (0, first["entries"]))
            self.assertEqual(kept.read_text(), text)
            report = self.check("run", 0, *words, *run)
            self.assertGreaterEqual(report["tuning"]["entries"], first["entries"])
            self.assertEqual(report["outputs"], self.check("run", 0, *words, *run)["outputs"])
            self.assertNotIn("tuning", self.check("run", 0, CNN, "--spec", SPEC, *run))
            kept.write_text("no tuning")
            for verb, rest in (("run", run), ("bench", ("--seconds", "0"))):
                report = self.check(verb, 1, *words, *rest)
                self.assertEqual((report["findings"][0]["code"], report["file"]), ("TUNING-FORMAT", str(kept)))
            self.assertEqual(kept.read_text(), "no tuning")
            self.check("bench", 3, CNN, "--spec", SPEC, "--tune", kept / "below", "--seconds", "0", "--batch", "4")

    def test_low_memory(self):
        words = ("run", 0, CNN, "--spec", SPEC, "--idx", FASHION / "images-1000.idx3-ubyte")
        usual = self.check(*words)["outputs"]
        for precision in ("strict", "fast"):
            low = self.check(*words, "--low-memory", "--precision", precision)["outputs"]
            self.assertEqual([item["top"][0]["index"] for item in usual], [item["top"][0]["index"] for item in low])
            row = self.check("bench", 0, CNN, "--spec", SPEC, "--seconds", "0", "--low-memory", "--layers",
                             "--precision", precision)["results"][0]
            self.assertTrue(all("winograd" not in (step["algorithm"] or "") for step in row["layers"]))

    def test_run_in_the_fast_precision(self):
        words = ("run", 0, CNN, "--spec", SPEC, "--idx", FASHION / "images-1000.idx3-ubyte", "--precision")
        strict = self.check(*words, "strict")["outputs"]
        fast = self.check(*words, "fast")["outputs"]
        worst = 0
        for one, other in zip(strict, fast):
            self.assertEqual(one["top"][0]["index"], other["top"][0]["index"])
            worst = max(worst, abs(one["top"][0]["probability"] - other["top"][0]["probability"]))
        self.assertLess(worst, 1e-4)
        self.assertGreater(worst, 0)  # it is another way to compute

    def test_calibrate_and_int8(self):
        idx = ("--idx", FASHION / "images-1000.idx3-ubyte")
        with tempfile.TemporaryDirectory() as folder:
            ranges = pathlib.Path(folder) / "ranges.json"
            report = self.check("calibrate", 0, CNN, "--spec", SPEC, *idx, "--items", "64", "-o", ranges)
            self.assertEqual((report["output"], report["items"], report["range"]), (str(ranges), 64, "least_error"))
            self.assertEqual([layer["name"] for layer in report["layers"]], ["conv1", "conv2", "fc1", "fc2"])
            written = json.loads(ranges.read_text())
            self.assertEqual((written["rushlight_calibration"], written["items"]), (1, 64))
            for layer in report["layers"]:
                self.assertLessEqual(layer["low"], 0)
                self.assertLessEqual(layer["high"], layer["most"])
                self.assertAlmostEqual(written["layers"][layer["name"]]["high"], layer["high"], places=5)
            before = ranges.read_bytes()
            self.assertEqual(self.check("calibrate", 3, CNN, "--spec", SPEC, *idx, "-o", ranges)["findings"][0]["code"],
                             "IO-EXISTS")
            self.assertEqual(ranges.read_bytes(), before)
            words = ("run", 0, CNN, "--spec", SPEC, *idx, "--idx-labels", FASHION / "labels-1000.idx1-ubyte")
            strict = self.check(*words)
            coded = self.check(*words, "--precision", "int8", "--calibration", ranges)
            self.assertAlmostEqual(strict["accuracy"], coded["accuracy"], delta=0.01)
            self.assertNotEqual(strict["outputs"], coded["outputs"])
            one = self.check(*words, "--precision", "int8", "--calibration", ranges, "--threads", "2", "--batch", "7")
            self.assertEqual(coded["outputs"], one["outputs"])
            row = self.check("bench", 0, CNN, "--spec", SPEC, "--seconds", "0", "--precision", "int8", "--calibration",
                             ranges, "--layers")["results"][0]
            self.assertEqual(row["precision"], "int8")
            chosen = {step["algorithm"] for step in row["layers"] if step["kind"] in ("conv", "linear")}
            self.assertLessEqual(chosen, {"int8", "int8, amx", "int8, amx, in place"})
            bad = pathlib.Path(folder) / "bad.json"
            bad.write_text("{}")
            finding = self.check("run", 1, CNN, "--spec", SPEC, *idx, "--precision", "int8", "--calibration",
                                 bad)["findings"][0]
            self.assertEqual((finding["category"], finding["code"]), ("model", "CALIBRATION-KEY"))
        finding = self.check("run", 2, CNN, "--spec", SPEC, *idx, "--precision", "int8")["findings"][0]
        self.assertEqual(finding["code"], "CALIBRATION-MISSING")

    def test_run_of_pictures(self):
        version = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True).stdout
        for library in ("png", "jpeg"):
            if [library, "not", "built", "in"] in [line.split() for line in version.splitlines()]:
                self.skipTest(f"SKIPPED: built without {library}")
        with tempfile.TemporaryDirectory() as folder:
            shots = pathlib.Path(folder)
            for name in ("gray.png", "cmyk.jpg"):
                shutil.copy(IMAGES / name, shots / name)
            scores = shots / "scores.bin"
            size = ["--spec", SPEC, "--resize", "28", "--crop", "28", "--top", "3", "--output", scores]
            report = self.check("run", 0, CNN, *size, "--images", shots)
            self.assertEqual(report["items"], 2)
            self.assertEqual([one["image"] for one in report["outputs"]],
                             [str(shots / name) for name in ("cmyk.jpg", "gray.png")])
            for one in report["outputs"]:
                self.assertEqual(one["shape"], [1, 10])
                self.assertEqual(len(one["top"]), 3)
            # A broken one is a finding; the others keep their places.
            (shots / "broken.png").write_bytes((IMAGES / "gray.png").read_bytes()[:500])
            report = self.check("run", 1, CNN, *size, "--images", shots)
            self.assertEqual([len(one["top"]) for one in report["outputs"]], [0, 3, 3])
            self.assertEqual(report["findings"][0]["category"], "trunc")
            self.assertEqual(report["findings"][0]["offset"], 33)
            rows = struct.unpack("<30f", scores.read_bytes()[-120:])
            self.assertEqual([math.isnan(row) for row in rows], [True] * 10 + [False] * 20)
            report = self.check("run", 1, CNN, *size, "--image", shots / "broken.png")
            self.assertEqual(report["findings"][0]["category"], "trunc")
            for name in ("gray.png", "cmyk.jpg"):
                (shots / name).unlink()
            (shots / "another.png").write_bytes(b"no picture")
            report = self.check("run", 1, CNN, *size, "--images", shots)
            self.assertEqual(report["outputs"], [])
            self.assertEqual(len(report["findings"]), 2)

    def test_bench(self):
        quick = ["--spec", SPEC, "--seconds", "0"]
        report = self.check("bench", 0, CNN, *quick, "--batch", "1,4", "--threads", "1,2", "--layers")
        self.assertEqual([(row["threads"], row["batch"]) for row in report["results"]],
                         [(1, 1), (1, 4), (2, 1), (2, 4)])
        for row in report["results"]:
            self.assertEqual((row["precision"], row["device"], row["runs"]), ("strict", "cpu", 3))
            self.assertIn(row["isa"], ("avx512", "avx2", "baseline"))
            self.assertEqual(row["macs"], 4241152 * row["batch"])
            for name in ("median_ms", "min_ms", "p10_ms", "p95_ms", "p99_ms", "images_per_second", "gflops",
                         "percent_of_peak", "load_ms", "first_result_ms"):
                self.assertGreater(row[name], 0, name)
            self.assertGreater(row["machine"]["gflops"], 0)
            self.assertGreater(row["machine"]["read_gb_per_second"], 0)
            self.assertEqual((row["host_layers"], row["launching"]), ([], None))  # of GPUs: tests/cuda/on_a_gpu.txt
            self.assertEqual(sum(step["macs"] for step in row["layers"]), row["macs"])
            fc2 = next(step for step in row["layers"] if step["name"] == "fc2")
            self.assertEqual((fc2["kind"], fc2["bytes"]), ("linear", 4 * (1280 + 10 + 138 * row["batch"])))
            self.assertAlmostEqual(fc2["gb_per_second"], fc2["bytes"] / fc2["median_ms"] / 1e6)
            self.assertAlmostEqual(fc2["percent_of_memory"] / 100,
                                   fc2["gb_per_second"] / row["machine"]["read_gb_per_second"])
            pool = next(step for step in row["layers"] if step["kind"] == "maxpool")
            self.assertEqual((pool["macs"], pool["gflops"], pool["percent_of_peak"]), (0, None, None))
        with tempfile.TemporaryDirectory() as folder:
            rows = pathlib.Path(folder) / "x.npy"
            rows.write_bytes(npy([0.5] * 784))
            self.assertEqual(self.check("bench", 2, CNN, *quick, "--input", rows)["findings"][0]["code"],
                             "RUN-INPUT-SHAPE")
        row = self.check("bench", 0, CNN, *quick, "--input", "3,1,28,28")["results"][0]
        self.assertEqual(row["batch"], 3)
        self.assertGreaterEqual(self.check("bench", 0, CNN, *quick, "--threads", "0")["results"][0]["threads"], 1)
        self.assertNotIn("layers", row)
        rows = self.check("bench", 0, CNN, *quick, "--precision", "strict,fast,bf16", "--layers")["results"]
        self.assertEqual([row["precision"] for row in rows], ["strict", "fast", "bf16"])
        for row in rows:
            chosen = {step["algorithm"] for step in row["layers"] if step["kind"] == "conv"}
            bf16 = {"bf16, widened", "bf16, dot", "bf16, amx", "bf16, amx, in place"} if row["precision"] == "bf16" else set()
            self.assertLessEqual(chosen, {None, "winograd 1x2", "winograd 1x4", "winograd 2x2", "winograd 2x4", "winograd 4x4", "winograd 2x2, stride 2", "winograd 4x4, stride 2"} | bf16)
        self.assertIsNone(rows[0]["error"])
        self.assertLess(rows[1]["error"], 1e-4)
        self.assertLess(rows[2]["error"], 2e-2)
        self.assertEqual(self.check("bench", 2, CNN, *quick, "--precision", "strict,fp8")["findings"][0]["code"],
                         "USAGE")
        # Of GPUs: the CPU computes strictly.
        rows = self.check("bench", 0, CNN, *quick, "--precision", "tf32,fp16")["results"]
        self.assertEqual([row["error"] for row in rows], [0, 0])
        for shape in ("1,,28", "1,1,x,28", "0,1,28,28", "-1,1,28,28", "1,1,28,0", "1,1,28,1000000000", ",", "1, 1,28,28"):
            self.assertEqual(self.check("bench", 2, CNN, *quick, "--input", shape)["findings"][0]["code"], "ARG-SHAPE")
        # Threads beyond the processors make nothing faster, nor the measuring of the machine slower.
        self.check("bench", 0, CNN, *quick, "--threads", "1024")
        self.check("bench", 2, CNN, "--spec", SPEC, "--seconds", "-1")
        self.assertIn("--batch: expected at least 1, found 0",
                      self.check("bench", 2, CNN, *quick, "--batch", "0")["findings"][0]["message"])

    def test_summary(self):
        report = self.check("summary", 0, CNN, "--spec", SPEC)
        self.assertEqual(report["parameters"], 421834)

    def test_summary_of_an_architecture_needs_no_input(self):
        described = json.loads((GOLDEN / "architectures" / "squeezenet1_1.json").read_text())
        with tempfile.TemporaryDirectory() as folder:
            weights = pathlib.Path(folder) / "squeezenet.safetensors"
            weights.write_bytes(zeros_as_safetensors({row[0]: row[2] for row in described["state_dict"]}))
            report = self.check("summary", 0, weights, "--arch", "squeezenet1_1")
            self.assertEqual(report["inputs"], [[1, 3, 224, 224]])
            self.assertEqual(report["parameters"], described["parameters"])
            self.assertEqual(report["macs"], described["multiply_adds_batch1"])
            note = "for an input of [1, 3, 224, 224], the size of squeezenet1_1; --input gives another"
            self.assertEqual(report["notes"], [note])
            text = subprocess.run([PROGRAM, "summary", weights, "--arch", "squeezenet1_1"], capture_output=True, text=True,
                                  timeout=60).stdout
            self.assertTrue(text.endswith(f"note: {note}\n"), text[-200:])
            report = self.check("summary", 0, weights, "--arch", "squeezenet1_1", "--input", "2,3,96,64")
            self.assertEqual(report["inputs"], [[2, 3, 96, 64]])
            self.assertEqual(report["notes"], [])

    def test_devices(self):
        report = self.check("devices", 0)
        self.assertEqual(report["devices"][0]["name"], "cpu")
        self.assertTrue(report["devices"][0]["usable"])

    def test_a_missing_file_is_not_looked_at(self):
        for verb, more in (("list", []), ("verify", []), ("hash", []), ("scan", []), ("show", ["x"]), ("stats", []),
                           ("du", []), ("doctor", []), ("diff", [CNN]), ("manifest", ["--in-place"]),
                           ("summary", []), ("bench", []), ("run", ["--input", "x.npy"])):
            self.check(verb, 3, "/nonexistent/model.pt", *more)

    def test_what_ends_for_want_of_memory_is_an_object_too(self):
        if any(word in pathlib.Path(PROGRAM).read_bytes() for word in (b"__asan_init", b"__tsan_init")):
            self.skipTest("sanitizers reserve address space")
        codes = set()
        for mebibytes in range(24, 160, 4):
            limit = mebibytes << 20
            done = subprocess.run([PROGRAM, "show", CNN, "fc1.weight", "--head", "0", "--json"], capture_output=True,
                                  timeout=60, check=False,
                                  preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)))
            if done.returncode == 127 or not done.stdout:  # the libraries could not be loaded
                self.assertNotEqual(done.returncode, 0)
                self.assertEqual(codes, set(), done.stderr)
                continue
            report = json.loads(done.stdout)
            self.assertEqual((report["command"], report["ok"]), ("show", done.returncode == 0))
            codes.add(done.returncode)
        self.assertEqual(codes, {0, 3})

    def test_the_file_is_named_as_it_is(self):
        with tempfile.TemporaryDirectory() as folder:
            for name in ("it's.pt", 'a "b" \\ c.pt', "line\nbreak.pt", "\u00fcml\u00e4ut.pt", "x" * 210 + ".pt"):
                path = pathlib.Path(folder) / name
                self.assertEqual(self.check("list", 3, path)["file"], str(path))
                path.write_bytes(b"text")
                self.assertEqual(self.check("list", 1, path)["file"], str(path))
                shutil.copy(CNN, path)
                self.assertEqual(self.check("list", 0, path)["file"], str(path))

    def test_a_file_of_another_kind_is_a_finding(self):
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "model.pt"
            page.write_text("<!DOCTYPE html><html><body>404</body></html>")
            for verb in ("list", "verify", "hash", "stats", "du", "doctor"):
                report = self.check(verb, 1, page)
                self.assertEqual(report["findings"][0]["category"], "kind")

    def test_every_verb_is_tested_here(self):
        tested = {name for test in dir(self) if test.startswith("test_") for name in test.split("_")}
        self.assertLessEqual(set(VERBS), tested)

    def test_every_verb_has_a_man_page(self):
        for verb in VERBS:
            page = subprocess.run([PROGRAM, "help", "--man", verb], capture_output=True, text=True, timeout=60)
            self.assertTrue(page.stdout.startswith(".TH RUSHLIGHT\\-"), page.stdout[:80])
            self.assertIn(".SH EXAMPLES", page.stdout)
            self.assertTrue((PAGES / ("rushlight-%s.1" % verb)).is_file(), verb)

    def test_usage_errors_are_objects_too(self):
        for verb in VERBS:
            if verb != "devices":
                self.check(verb, 2)
            self.check(verb, 2, "--no-such-option")
        self.check("list", 2)
        self.check("list", 2, CNN, "--no-such-option")
        self.check("run", 2, CNN)

    def test_no_option_takes_an_empty_value(self):
        count = 0
        for verb in VERBS:
            text = subprocess.run([PROGRAM, "help", verb], capture_output=True, text=True, check=True).stdout
            for name in re.findall(r"^  (?:-\w,)?(--[\w-]+) [A-Z]", text, re.M):
                count += 1
                for words in ([name, ""], [name + "="]):
                    finding = self.check(verb, 2, *words)["findings"][0]
                    self.assertEqual((finding["code"], finding["message"]),
                                     ("USAGE", f"{name}: expected a value, found nothing"))
                finding = self.check(verb, 2, name)["findings"][0]  # --json is behind it
                self.assertEqual(finding["message"], f"{name}: expected a value, found the option --json")
        self.assertGreater(count, 100)

    def test_options_that_do_nothing(self):
        network, one = (CNN, "--spec", SPEC), ("--input", "x.npy")
        for words, message in (
                (("run", *network, *one, "--calibration", "r.json"), "--calibration does nothing without --precision int8"),
                (("run", *network, *one, "--tune", "t", "--low-memory"), "--tune does nothing with --low-memory"),
                (("run", *network, *one, "--tune", "t", "--reference"), "--tune does nothing with --reference"),
                (("run", *network, *one, "--tune", "t", "--precision", "int8", "--calibration", "r.json"),
                 "--tune does nothing with --precision int8"),
                (("run", *network, *one, "--reference", "--precision", "bf16"),
                 "--precision does nothing with --reference"),
                (("run", *network, *one, "--low-memory", "--device", "cuda:0"), "--low-memory does nothing on a GPU"),
                (("run", *network, *one, "--interpolation", "nearest"), "--interpolation does nothing without --resize"),
                (("run", SPEC, "--weights", CNN, "--spec", SPEC, *one), "--spec does nothing where MODEL is a spec itself"),
                (("calibrate", *network, *one, "-o", "r.json", "--interpolation", "nearest"),
                 "--interpolation does nothing without --resize"),
                (("bench", *network, "--calibration", "r.json", "--precision", "strict,bf16"),
                 "--calibration does nothing without --precision int8"),
                (("bench", *network, "--tune", "t", "--precision", "int8", "--calibration", "r.json"),
                 "--tune does nothing with --precision int8 alone"),
                (("bench", *network, "--tune", "t", "--low-memory"), "--tune does nothing with --low-memory"),
                (("bench", *network, "--low-memory", "--device", "cuda:1"), "--low-memory does nothing on a GPU"),
                (("bench", *network, *one, "--batch", "8"), "--batch does nothing with an array, which has its own"),
                (("summary", CNN, "--guess", "--spec", SPEC), "--spec does nothing with --guess"),
                (("summary", CNN, "--guess", "--arch", "resnet18"), "--arch does nothing with --guess"),
                (("summary", CNN, "--guess", "--weights", CNN), "--weights does nothing with --guess"),
                (("summary", CNN, "--guess", "--no-strict"), "--no-strict does nothing with --guess"),
                (("scan", CNN, "--format", "sarif"), "--format does nothing with --json"),
                (("doctor", CNN, "--force"), "--force does nothing without --salvage"),
                (("convert", CNN, "x.pt", "fc*"), "GLOB does nothing without --dtype"),
                (("convert", CNN, "x.safetensors", "--align", "128"),
                 "--align does nothing for safetensors, .npz and .npy"),
                (("convert", CNN, "x.pt", "--to", "npz", "--protocol", "2"),
                 "--protocol does nothing for safetensors, .npz and .npy"),
                (("extract", CNN, "fc1.bias", "-o", "x.npy", "--safe"),
                 "--safe does nothing for safetensors, .npz and .npy"),
                (("edit", CNN, "-o", "x.npz", "--torch", "2.0"), "--torch does nothing for safetensors, .npz and .npy"),
                (("edit", CNN, "-o", "x.safetensors", "--deflate"), "--deflate does nothing for safetensors and .npy")):
            with self.subTest(words=words):
                finding = self.check(words[0], 2, *words[1:])["findings"][0]
                self.assertEqual((finding["code"], finding["message"]), ("USAGE", message))

    def test_shapes_of_arrays_are_their_own(self):
        with tempfile.TemporaryDirectory() as folder:
            array = pathlib.Path(folder) / "x.npy"
            for shape, why in (((100, 3, 28, 28), "3 channels instead of 1"),
                               ((1, 1, 27, 28), "a height of 27 instead of 28"),
                               ((784,), "1 dimension instead of 4"),
                               ((), "0 dimensions instead of 4"),
                               ((28, 28, 1), "28 channels instead of 1, a width of 1 instead of 28")):
                array.write_bytes(npy([0.5] * math.prod(shape), shape))
                expected = "[N, 1, 28, 28]" + (" or [1, 28, 28]" if len(shape) == 3 else "")
                for verb, more in (("run", ()), ("bench", ()), ("calibrate", ("-o", array.with_suffix(".json")))):
                    report = self.check(verb, 2, CNN, "--spec", SPEC, "--input", array, *more)
                    finding = report["findings"][0]
                    self.assertEqual((report["file"], finding["code"], finding["expected"]),
                                     (str(array), "RUN-INPUT-SHAPE", expected))
                    self.assertEqual(finding["message"],
                                     f"the array is {list(shape)}, expected {expected}: {why}")
                    self.assertEqual(finding.get("hint"), "channels stand before height and width, as in torch"
                                     if shape == (28, 28, 1) else None)
            # Scaled as they are, though they are no pictures.
            spec = pathlib.Path(folder) / "net.json"
            spec.write_text('{"schema": 1, "input": [2], "layers": [{"linear": "fc"}]}')
            same = pathlib.Path(folder) / "same.safetensors"
            same.write_bytes(zeros_as_safetensors({"fc.weight": [2, 2], "fc.bias": [2]})[:-24] +
                             struct.pack("<6f", 1, 0, 0, 1, 0, 0))
            array.write_bytes(npy([51, 255], (1, 2)))
            words = (same, "--spec", spec, "--input", array)
            top = self.check("run", 0, *words, "--scale", "255")["outputs"][0]["top"]
            self.assertEqual([round(one["score"], 6) for one in top], [1, 0.2])
            self.assertEqual(self.check("run", 2, *words, "--resize", "2")["findings"][0]["code"], "ARG-IMAGE")

    def test_run_takes_floats_of_any_width_as_they_are(self):
        with tempfile.TemporaryDirectory() as folder:
            array = pathlib.Path(folder) / "x.npy"
            tops = []
            for dtype in ("<f4", "<f8", "<f2"):  # the spec divides pixels by 255
                array.write_bytes(npy([k % 8 / 8 for k in range(784)], (1, 1, 28, 28), dtype))
                tops.append(self.check("run", 0, CNN, "--spec", SPEC, "--input", array)["outputs"][0]["top"])
            self.assertEqual(tops[1:], 2 * tops[:1])
            array.write_bytes(npy([k % 8 * 32 for k in range(784)], (1, 1, 28, 28), "<f8"))
            scaled = self.check("run", 0, CNN, "--spec", SPEC, "--input", array, "--scale", "256")["outputs"][0]["top"]
            self.assertEqual(scaled, tops[0])

    def test_bench_takes_the_arrays_that_run_takes(self):
        with tempfile.TemporaryDirectory() as folder:
            array, spec = pathlib.Path(folder) / "x.npy", pathlib.Path(folder) / "net.json"
            verbs = (("run",), ("bench", "--seconds", "0"))
            for dtype, fits in (("<f2", True), ("<f8", True), ("|u1", True), ("<i4", True), ("<i8", True), ("<c8", False)):
                array.write_bytes(npy([1, 0] * 392 if fits else [0] * 784, (1, 28, 28), dtype))
                reports = [self.check(verb, 0 if fits else 2, CNN, "--spec", SPEC, "--input", array, *more)
                           for verb, *more in verbs]
                if fits:
                    self.assertEqual([report["notes"] for report in reports], 2 * [["added a batch dimension of 1"]])
                else:
                    self.assertEqual(reports[0]["findings"], reports[1]["findings"])
                    self.assertEqual(reports[0]["findings"][0]["code"], "ARG-INPUT")
            # Of a network that takes indices; rows of an image for one that takes numbers.
            weights = pathlib.Path(folder) / "w.safetensors"
            weights.write_bytes(zeros_as_safetensors({"table.weight": [4, 3], "fc.weight": [2, 4]}))
            for layers, wanted, dtypes in (([{"embedding": "table"}], {"shape": [4], "dtype": "int64"}, ("|u1", "<i4")),
                                           ([{"linear": "fc", "bias": False}], {"shape": [4]}, ("<f8", "<i8"))):
                spec.write_text(json.dumps({"schema": 1, "input": wanted, "layers": layers}))
                for dtype in dtypes:
                    array.write_bytes(npy([0, 1, 2, 3], (1, 4) if dtype != "<i8" else (1, 2, 2), dtype))
                    for verb, *more in verbs:
                        words = (spec, "--weights", weights, "--no-strict", "--input", array, *more)
                        done, report = rushlight(verb, *words)
                        self.assertEqual((done, report["notes"]), (0, ["flattened to [1, 4]"] if dtype == "<i8" else []),
                                         report)

    def test_a_bench_of_what_is_no_number(self):
        with tempfile.TemporaryDirectory() as folder:
            array = pathlib.Path(folder) / "nan.npy"
            array.write_bytes(npy([math.nan] * 784, (1, 1, 28, 28)))
            words = ("--spec", SPEC, "--seconds", "0", "--input", array)
            rows = self.check("bench", 0, CNN, *words, "--precision", "strict,fast")["results"]
            self.assertEqual([row["error"] for row in rows], [None, "NaN"])
            array.write_bytes(npy([], (0, 1, 28, 28)))
            self.assertEqual(self.check("bench", 2, CNN, *words)["findings"][0]["code"], "BENCH-INPUT")

    def test_a_gpu_that_is_not_there(self):
        found, report = rushlight("devices")
        if any(d["name"].startswith("cuda") and d["usable"] for d in report["devices"]):
            self.skipTest("a GPU is there")
        report = self.check("run", 3, CNN, "--spec", SPEC, "--device", "cuda:0", "--idx",
                            FASHION / "images-1000.idx3-ubyte")
        self.assertEqual(report["findings"][0]["category"], "device")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
