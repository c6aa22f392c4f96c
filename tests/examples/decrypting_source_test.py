#!/usr/bin/env python3
"""Encrypts a checkpoint with the openssl command and reads it through the example decrypting_source.

    decrypting_source_test.py EXAMPLE RUSHLIGHT CHECKPOINT
"""
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import unittest

EXAMPLE, RUSHLIGHT, CHECKPOINT = sys.argv[1:4]
KEY = "00112233445566778899aabbccddeeff" * 2
IV = "0001020304050607fffffffffffffff0"  # the low half of the counter overflows inside the file


class DecryptingSource(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.encrypted = pathlib.Path(folder.name) / "model.pt.enc"
        self.secret = pathlib.Path(folder.name) / "model.key"
        self.secret.write_text(f"{KEY}\n{IV}\n")
        subprocess.run(["openssl", "enc", "-aes-256-ctr", "-K", KEY, "-iv", IV, "-in", CHECKPOINT, "-out",
                        str(self.encrypted)], check=True)

    def run_example(self):
        return subprocess.run([EXAMPLE, self.encrypted, self.secret], capture_output=True, text=True, check=False)

    def test_every_tensor_has_the_digest_that_it_has_in_the_plain_file(self):
        plain = subprocess.run([RUSHLIGHT, "hash", "--json", CHECKPOINT], capture_output=True, check=True).stdout
        expected = [f"{tensor['digest']}  {tensor['name']}" for tensor in json.loads(plain)["tensors"]]
        self.assertEqual(len(expected), 54)
        done = self.run_example()
        self.assertEqual(done.stdout.splitlines(), expected, done.stderr)

    def test_another_key_makes_no_checkpoint_of_it(self):
        self.secret.write_text(f"{KEY[::-1]}\n{IV}\n")
        done = self.run_example()
        self.assertEqual((done.returncode, done.stdout), (1, ""))
        self.assertIn("error: ", done.stderr)

    def test_a_key_that_is_none(self):
        for text in ("", KEY, f"{KEY}\n{IV[1:]}\n", f"{KEY[:-1]}g\n{IV}\n"):
            self.secret.write_text(text)
            self.assertEqual(self.run_example().returncode, 2)


if __name__ == "__main__":
    if shutil.which("openssl") is None:
        print("SKIPPED: there is no openssl command to encrypt with")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1])
