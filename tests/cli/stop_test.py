#!/usr/bin/env python3
"""SIGINT, SIGTERM and SIGHUP while a file is written: the old file stays whole, nothing is left beside it, and the exit
code says which signal it was.

    stop_test.py PROGRAM GOLDEN_DIR
"""
import pathlib
import signal
import struct
import subprocess
import sys
import tempfile
import unittest

PROGRAM = pathlib.Path(sys.argv[1]).resolve()
CHECKPOINT = pathlib.Path(sys.argv[2]).resolve() / "fashion" / "fashion_cnn.pt"
ROWS, COLUMNS = 2048, 4096
BYTES = 128 + ROWS * COLUMNS * 4


class Stop(unittest.TestCase):
    def setUp(self):
        self.scratch = tempfile.TemporaryDirectory()
        self.addCleanup(self.scratch.cleanup)
        folder = pathlib.Path(self.scratch.name)
        (folder / "relu.json").write_text('{"schema": 1, "input": [%d], "layers": ["relu"]}' % COLUMNS)
        head = ("{'descr': '<f4', 'fortran_order': False, 'shape': (%d, %d), }" % (ROWS, COLUMNS)).ljust(117) + "\n"
        with open(folder / "x.npy", "wb") as file:
            file.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head.encode())
            file.truncate(BYTES)
        self.inputs, self.out = folder, folder / "out"
        self.out.mkdir()
        self.target = self.out / "y.npy"

    def start(self, **options):
        self.target.write_text("the old bytes")
        return subprocess.Popen([PROGRAM, "run", CHECKPOINT, "--spec", "relu.json", "--no-strict", "--input", "x.npy",
                                 "--output", self.target, "-q"], cwd=self.inputs, stderr=subprocess.PIPE,
                                text=True, **options)

    def names(self):
        return sorted(path.name for path in self.out.iterdir())

    def stop_while_it_writes(self, number):
        """Sends the signal when the temporary is there. False when the program was quicker."""
        program = self.start()
        while program.poll() is None and len(self.names()) < 2:
            pass
        program.send_signal(number)
        said = program.communicate(timeout=60)[1]
        self.assertEqual(self.names(), ["y.npy"])
        if program.returncode == 0:
            self.assertEqual(self.target.stat().st_size, BYTES)
            return False
        self.assertEqual(program.returncode, 128 + number, said)
        self.assertEqual(self.target.read_text(), "the old bytes")
        self.assertIn("the writing was cancelled", said)
        return True

    def test_the_temporary_goes_and_the_old_file_stays(self):
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # It takes a machine that is very busy elsewhere to miss ten times.
            self.assertTrue(any(self.stop_while_it_writes(number) for _ in range(10)), number)

    def test_a_program_that_is_left_alone_writes(self):
        program = self.start()
        self.assertEqual(program.communicate(timeout=60)[1], "")
        self.assertEqual(program.returncode, 0)
        self.assertEqual(self.target.stat().st_size, BYTES)

    def test_signals_that_are_ignored_stay_ignored(self):
        program = self.start(preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN))  # as nohup does
        while program.poll() is None and len(self.names()) < 2:
            pass
        program.send_signal(signal.SIGHUP)
        program.communicate(timeout=60)
        self.assertEqual(program.returncode, 0)
        self.assertEqual(self.target.stat().st_size, BYTES)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
