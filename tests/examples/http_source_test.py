#!/usr/bin/env python3
"""Runs the example http_source against servers on this machine: a good one, and those that go wrong.

    http_source_test.py EXAMPLE CHECKPOINT
"""
import http.server
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import unittest
import zipfile

EXAMPLE, CHECKPOINT = sys.argv[1:3]
CONTENT = pathlib.Path(CHECKPOINT).read_bytes()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves CONTENT by ranges. The path says how it misbehaves; http.server itself knows no ranges."""
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body, fields, sent=None):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:sent])

    def do_GET(self):
        server = self.server
        server.ranges.append(self.headers["Range"])
        server.connections.add(self.client_address)
        mode = self.path.strip("/")
        content, tag = CONTENT, '"one"'
        if len(server.ranges) > 1:  # what happens midway
            if mode == "replaced":
                tag = '"two"'
            elif mode == "shortened":
                content = CONTENT[:1000]
            elif mode == "grown":
                content = CONTENT + b"more"
        if mode == "missing":
            return self.answer(404, b"no such file", {})
        if mode == "moved":
            return self.answer(302, b"", {"Location": "https://elsewhere/file.pt"})
        if mode == "no-ranges":
            return self.answer(200, content, {"ETag": tag})
        first, last = map(int, re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"]).groups())
        last = min(last, len(content) - 1)
        if first >= len(content):
            return self.answer(416, b"", {"Content-Range": f"bytes */{len(content)}"})
        if mode == "shifted":
            first, last = (first, last) if first == 0 else (first - 1, last - 1)
        body = content[first:last + 1]
        sent = len(body) // 2 if mode == "truncated" else None
        self.answer(206, body, {"ETag": tag, "Content-Range": f"bytes {first}-{last}/{len(content)}"}, sent)
        if mode in ("truncated", "impatient"):  # closes without a word
            self.close_connection = True
        return None


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.ranges, self.connections = [], set()


class HttpSource(unittest.TestCase):
    def setUp(self):
        self.server = Server()
        thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(self.server.server_close)
        self.addCleanup(self.server.shutdown)

    def run_example(self, mode, *arguments):
        url = f"http://127.0.0.1:{self.server.server_address[1]}/{mode}"
        return subprocess.run([EXAMPLE, url, *arguments], capture_output=True, text=True, check=False)

    def fetch(self, mode, name):
        """The bytes of one tensor, as the example wrote them."""
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder) / "out.npy"
            done = self.run_example(mode, name, str(path))
            self.assertEqual(done.returncode, 0, done.stderr)
            data = path.read_bytes()
        return data[10 + int.from_bytes(data[8:10], "little"):], done.stdout

    def record(self, name):
        """What Python's own zip reader finds in the local file."""
        with zipfile.ZipFile(CHECKPOINT) as archive:
            return next(archive.read(entry) for entry in archive.namelist() if entry.endswith("/" + name))

    def refused(self, mode):
        done = self.run_example(mode)
        self.assertEqual(done.returncode, 1, done.stdout)
        return done.stderr

    def bytes_asked(self):
        ranges = [range(int(first), int(last) + 1) for first, last in (r[6:].split("-") for r in self.server.ranges)]
        return sum(map(len, ranges))

    def test_a_small_tensor_costs_a_few_requests_and_a_small_part_of_the_file(self):
        data, said = self.fetch("good", "conv1.weight")
        self.assertEqual(data, self.record("data/0"))
        self.assertLessEqual(len(self.server.ranges), 5)
        self.assertLess(self.bytes_asked(), len(CONTENT) // 10)
        self.assertEqual(len(self.server.connections), 1)
        self.assertRegex(said, f"^{len(self.server.ranges)} requests, [0-9]+ of {len(CONTENT)} bytes\n$")

    def test_a_large_tensor_is_one_request_for_its_bytes_alone(self):
        data, _ = self.fetch("good", "fc1.weight")
        self.assertEqual(data, self.record("data/14"))
        first, last = map(int, self.server.ranges[-1][6:].split("-"))
        self.assertEqual(last - first + 1, len(data))
        self.assertLessEqual(len(self.server.ranges), 6)

    def test_a_listing_reads_no_tensor(self):
        done = self.run_example("good")
        self.assertIn("fc1.weight  float32  401408 elements\n", done.stdout)
        self.assertLess(self.bytes_asked(), len(CONTENT) // 10)

    def test_a_connection_that_the_server_closed_is_opened_again(self):
        data, _ = self.fetch("impatient", "conv1.weight")
        self.assertEqual(data, self.record("data/0"))
        self.assertGreater(len(self.server.connections), 1)

    def test_a_server_without_ranges(self):
        self.assertIn("the server ignores ranges and sends the whole file, expected status 206, found 200",
                      self.refused("no-ranges"))

    def test_a_response_that_ends_early(self):
        self.assertIn("a response ends early: the server closed the connection, expected 65536 bytes, found 32768",
                      self.refused("truncated"))

    def test_another_range_than_was_asked_for(self):
        self.assertIn("the response is not the range that was asked for", self.refused("shifted"))

    def test_a_file_that_is_replaced_midway(self):
        self.assertRegex(self.refused("replaced"), "the file changed while it was read: it was .*one.* now it is .*two")

    def test_a_file_that_grows_midway(self):
        self.assertIn("the file changed while it was read", self.refused("grown"))

    def test_a_file_that_becomes_shorter_midway(self):
        self.assertIn("the file is empty, or became shorter", self.refused("shortened"))

    def test_errors_of_the_server(self):
        self.assertIn("expected status 206, found 404", self.refused("missing"))
        self.assertIn("found 302, moved to 'https://elsewhere/file.pt'", self.refused("moved"))

    def test_nobody_there_and_no_such_scheme(self):
        for url, said in (("http://127.0.0.1:1/", "the server cannot be reached: Connection refused"),
                          ("https://127.0.0.1/", "not of the form http://HOST[:PORT]/PATH"),
                          ("http://127.0.0.1/a b", "not of the form http://HOST[:PORT]/PATH")):
            done = subprocess.run([EXAMPLE, url], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 1)
            self.assertIn(said, done.stderr)


if __name__ == "__main__":
    unittest.main(argv=sys.argv[:1])
