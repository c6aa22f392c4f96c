#!/usr/bin/env python3
"""Every verb prints exactly one JSON object under --json, also when it fails, with the fields of the contract.

    json_contract_test.py PROGRAM GOLDEN_DIR EXAMPLES_DIR
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unittest

PROGRAM, GOLDEN, EXAMPLES = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
FASHION = GOLDEN / "fashion"
CNN = FASHION / "fashion_cnn.pt"
SPEC = EXAMPLES / "fashion_cnn.json"
CATEGORIES = set("kind trunc zip ambig unsup limit pkl global type tensor store crc mani sig changed io".split()) | {
    "model", "device", "argument"}


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

    def test_scan(self):
        report = self.check("scan", 1, FASHION / "fashion_module.pt", CNN)
        verdicts = {pathlib.Path(f["file"]).name: f["ok"] for f in report["files"]}
        self.assertEqual(verdicts, {"fashion_cnn.pt": True, "fashion_module.pt": False})

    def test_show(self):
        report = self.check("show", 0, CNN, "fc2.bias", "--head", "0")
        self.assertEqual(len(report["values"]), 10)

    def test_run(self):
        report = self.check("run", 0, CNN, "--spec", SPEC, "--idx", FASHION / "images-1000.idx3-ubyte", "--idx-labels",
                            FASHION / "labels-1000.idx1-ubyte")
        self.assertEqual(report["device"], "cpu")
        self.assertEqual(len(report["outputs"]), 1000)
        self.assertEqual(len(report["outputs"][0]["top"]), 5)
        self.assertGreater(report["accuracy"], 0.88)

    def test_summary(self):
        report = self.check("summary", 0, CNN, "--spec", SPEC)
        self.assertEqual(report["parameters"], 421834)

    def test_devices(self):
        report = self.check("devices", 0)
        self.assertEqual(report["devices"][0]["name"], "cpu")
        self.assertTrue(report["devices"][0]["usable"])

    def test_a_missing_file_is_not_looked_at(self):
        for verb, more in (("list", []), ("verify", []), ("hash", []), ("scan", []), ("show", ["x"]),
                           ("summary", []), ("run", ["--input", "x.npy"])):
            self.check(verb, 3, "/nonexistent/model.pt", *more)

    def test_a_file_of_another_kind_is_a_finding(self):
        with tempfile.TemporaryDirectory() as folder:
            page = pathlib.Path(folder) / "model.pt"
            page.write_text("<!DOCTYPE html><html><body>404</body></html>")
            for verb in ("list", "verify", "hash"):
                report = self.check(verb, 1, page)
                self.assertEqual(report["findings"][0]["category"], "kind")

    def test_usage_errors_are_objects_too(self):
        self.check("list", 2)
        self.check("list", 2, CNN, "--no-such-option")
        self.check("run", 2, CNN)

    def test_a_gpu_that_is_not_there(self):
        found, report = rushlight("devices")
        if any(d["name"].startswith("cuda") and d["usable"] for d in report["devices"]):
            self.skipTest("a GPU is there")
        report = self.check("run", 3, CNN, "--spec", SPEC, "--device", "cuda:0", "--idx",
                            FASHION / "images-1000.idx3-ubyte")
        self.assertEqual(report["findings"][0]["category"], "device")


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1], verbosity=1)
