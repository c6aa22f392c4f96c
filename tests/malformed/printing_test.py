#!/usr/bin/env python3
"""Legal files that are made to upset whoever prints them: the program's text has no control characters, its JSON is
valid, and what would never end is refused.

    printing_test.py PROGRAM WRITER
"""
import json
import pathlib
import subprocess
import sys
import tempfile
import unicodedata
import unittest

PROGRAM, WRITER = sys.argv[1:3]
# File, verb, exit code, what the text says.
CASES = [
    ("a11.pt", "list", 0, r"\udc80        str  'half a character: \ud800'"),
    ("a11.pt", "verify", 0, "structure ok"),
    ("a11.pt", "scan", 0, "all on the allow-list"),
    ("p25.pt", "list", 1, "the values unfold to more than 625000 nodes, the limit visited_nodes"),
    ("p25.pt", "verify", 1, "the values unfold to more than 625000 nodes, the limit visited_nodes"),
    ("p25.pt", "scan", 1, "the values unfold to more than 625000 nodes, the limit visited_nodes"),
    ("p26.pt", "list", 0, "[0][0][0][0][0][0][0][0][0][9]  str  'ha'"),
    ("p26.pt", "verify", 0, "structure ok"),
    ("p28.pt", "list", 0, "my.Class"),
    ("p28.pt", "scan", 1, "1 beyond the allow-list"),
    ("p42.pt", "list", 0, r"\x1b[31mred\x1b[0m"),
    ("p42.pt", "verify", 0, r"global 'my\x1b[31m.Cla\rss' is not on the allow-list"),
    ("p42.pt", "scan", 1, r"my\x1b[31m.Cla\rss"),
    ("t11.pt", "list", 0, "4.00 TiB"),
    ("t11.pt", "verify", 0, "1 tensor intact"),
]


def unfit(text):
    """Characters that a terminal would act on or show in another order."""
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


class Printing(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        subprocess.run([WRITER, cls.folder.name], check=True)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def run_program(self, *words):
        done = subprocess.run([PROGRAM, *words, "--limits", "strict"], capture_output=True, timeout=120)
        return done.returncode, done.stdout.decode("utf-8"), done.stderr.decode("utf-8")  # strictly

    def test_text(self):
        for name, verb, code, said in CASES:
            with self.subTest(f"{verb} {name}"):
                path = str(pathlib.Path(self.folder.name) / name)
                found, out, errors = self.run_program(verb, path)
                self.assertEqual(found, code, out + errors)
                self.assertEqual(unfit(out + errors), [])
                self.assertIn(said, out + errors)

    def test_json(self):
        for name, verb, code, _ in CASES:
            with self.subTest(f"{verb} {name} --json"):
                path = str(pathlib.Path(self.folder.name) / name)
                found, out, _ = self.run_program(verb, path, "--json")
                self.assertEqual(found, code, out)
                report = json.loads(out)
                self.assertEqual(report["ok"], code == 0)

    def test_a_table_of_terabytes_is_not_shown(self):
        path = str(pathlib.Path(self.folder.name) / "t11.pt")
        found, out, errors = self.run_program("show", path, "w")
        self.assertEqual(found, 1, out + errors)
        self.assertIn("4398046511104", out + errors)

    def test_texts_come_back_from_json_as_they_were(self):
        _, out, _ = self.run_program("list", str(pathlib.Path(self.folder.name) / "p42.pt"), "--json")
        values = [value["value"] for value in json.loads(out)["values"]]
        self.assertEqual(values, ["\x1b[31mred\x1b[0m", "over\rwritten", "\u202esdrawkcab", "__proto__",
                                  "=cmd|' /C calc'!A0", "line\nbreak", "\x07bell", '"quoted\\"', "a\x7f", "\x9b31m"])
        _, out, _ = self.run_program("list", str(pathlib.Path(self.folder.name) / "a11.pt"), "--json")
        values = json.loads(out)["values"]
        self.assertEqual(values[3]["name"], "\udc80")  # JSON writes half a character as \\udc80, which is its right
        self.assertEqual(values[3]["value"], "half a character: \ud800")


unittest.main(argv=sys.argv[:1])
