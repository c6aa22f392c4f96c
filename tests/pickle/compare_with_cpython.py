#!/usr/bin/env python3
"""Compares src/pickle with CPython on streams made up here and on the pickles of real checkpoints.

    compare_with_cpython.py PICKLE_DUMP_JSON OPCODES_DEF GOLDEN_DIR [--seed N] [--count N]

objects    random Python objects, pickled by both of CPython's picklers at protocols 0 to 5
programs   random legal sequences of all opcodes that stay inside a stream
mutations  the same with one byte changed: whatever we accept, CPython accepts with the same meaning
goldens    every data.pkl under GOLDEN_DIR
writing    what CPython's C pickler wrote, and torch.save with it, is written again byte for byte
opcodes    the facts of opcodes.def are those of pickletools

Objects are compared through tests/pickle/inert.py, the disassembly with pickletools.dis, word by word.
"""
import argparse
import collections
import copyreg
import datetime
import decimal
import fractions
import io
import json
import pathlib
import pickle
import pickletools
import random
import re
import struct
import subprocess
import sys
import zipfile

import inert

TEXTS = ["", "a", "weight", "caf\u00e9", "\u2192", "\U0001f600", "it's", 'say "x"', "back\\slash", "line\nfeed\r\t\0", "\ud800",
         "x" * 255, "y" * 256, "\x7f\x80\xa0\xad\u200b\u202e"]


class Plain:
    pass


class Slotted:
    __slots__ = ("left", "right")


class WithArguments:
    def __new__(cls, *arguments, **keywords):
        return super().__new__(cls)

    def __getnewargs_ex__(self):
        return (1, "two"), {"three": 3}


class ListLike(list):
    pass


class DictLike(dict):
    pass


class SetLike(set):
    pass


class Storage:
    def __init__(self, key):
        self.key = key


class Maker:
    """Random objects. Containers may be shared, and lists, dicts and instances may contain themselves."""

    def __init__(self, rng):
        self.rng = rng
        self.made = []

    def leaf(self):
        rng = self.rng
        return rng.choice([
            lambda: None, lambda: rng.random() < 0.5, lambda: rng.randrange(-300, 70000),
            lambda: rng.randrange(-2**70, 2**70), lambda: rng.choice((-1, 1)) * 2**rng.randrange(0, 140) - rng.randrange(2),
            lambda: rng.getrandbits(2400) - 2**2399, lambda: rng.uniform(-1e3, 1e3), lambda: rng.choice(
                [0.0, -0.0, float("inf"), float("-inf"), 5e-324, 1.7976931348623157e308, 1e16, 1e-5, 0.1, 123456.75]),
            lambda: rng.choice(TEXTS), lambda: "".join(chr(rng.choice([65, 0x3b1, 0x1f4a9, 10, 92])) for _ in range(rng.randrange(9))),
            lambda: bytes(rng.randrange(256) for _ in range(rng.randrange(12))), lambda: bytes(300),
            lambda: bytearray(rng.randrange(40, 256) for _ in range(rng.randrange(5))),
            lambda: rng.choice([int, dict, Plain, collections.OrderedDict, len, Ellipsis, NotImplemented]),
            lambda: complex(rng.random(), -1), lambda: decimal.Decimal("1.50"), lambda: fractions.Fraction(3, 7),
            lambda: datetime.datetime(2024, 2, 29, 12, 30, tzinfo=datetime.timezone.utc), lambda: range(rng.randrange(9)),
            lambda: Storage(str(rng.randrange(5))), lambda: slice(1, None, 2)])()

    def key(self):
        rng = self.rng
        return rng.choice([lambda: rng.choice(TEXTS), lambda: rng.randrange(5), lambda: (1, rng.choice(TEXTS)),
                           lambda: None, lambda: 1.5, lambda: b"k", lambda: frozenset([1, 2])])()

    def value(self, depth):
        rng = self.rng
        if self.made and rng.random() < 0.12:
            return rng.choice(self.made)
        if depth == 0 or rng.random() < 0.3:
            return self.leaf()
        values = [self.value(depth - 1) for _ in range(rng.choice([0, 1, 1, 2, 3, 4, 6]))]
        kind = rng.randrange(12)
        if kind == 0:
            made = values
        elif kind == 1:
            made = tuple(values)
        elif kind == 2:
            made = {self.key(): value for value in values}
        elif kind == 3:
            made = {self.key() for _ in values}
        elif kind == 4:
            made = frozenset(self.key() for _ in values)
        elif kind == 5:
            made = collections.OrderedDict((self.key(), value) for value in values)
        elif kind == 6:
            made = collections.defaultdict(list, ((self.key(), value) for value in values))
        elif kind == 7:
            made = Plain()
            made.__dict__.update(("field%d" % i, value) for i, value in enumerate(values))
        elif kind == 8:
            made = Slotted()
            made.left = values
        elif kind == 9:
            made = rng.choice([ListLike(values), DictLike((self.key(), value) for value in values), SetLike(range(len(values)))])
        elif kind == 10:
            made = WithArguments()
            made.extra = values
        else:
            made = collections.deque(values, maxlen=9)
        self.made.append(made)
        if rng.random() < 0.1:  # a cycle
            if isinstance(made, list):
                made.append(rng.choice(self.made))
            elif isinstance(made, (dict, collections.OrderedDict)):
                made["self"] = rng.choice(self.made)
            elif isinstance(made, Plain):
                made.self = rng.choice(self.made)
        return made


def written_by_c(rng, count):
    """What torch.save uses: the pickler in C, protocols 2 to 5, with persistent ids of its form."""
    streams = []
    while len(streams) < count:
        value = Maker(rng).value(rng.randrange(1, 6))
        for protocol in range(2, 6):
            try:
                streams.append(pickle_object(value, protocol, pickle.Pickler, False))
            except (pickle.PicklingError, TypeError, RecursionError, KeyError):
                continue
    loop = []
    loop.append((loop, (loop,), (1, 2, 3, loop)))
    texts = [chr(256 + i) * (1 + i % 7) for i in range(40000)]  # several frames
    for value in [loop, texts, ["z" * 70000, b"y" * 70000, bytearray(70000)], "z" * 65535, ["a", ("z" * 65535,)],
                  {frozenset([("a", 1)]): loop}, "", (), [[]], b"", bytearray()]:
        streams += [pickle.dumps(value, protocol) for protocol in range(2, 6)]
    for size in (999, 1000, 1001, 1999, 2000, 2001):  # around the batches
        for value in [list(range(size)), dict.fromkeys(range(size)), set(range(size)), frozenset(range(size)),
                      collections.OrderedDict.fromkeys(range(size)), ListLike(range(size)), DictLike.fromkeys(range(size)),
                      collections.deque(range(size))]:
            streams += [pickle.dumps(value, protocol) for protocol in range(2, 6)]
    return streams


def pickle_object(value, protocol, pickler_class, ids_are_text):
    class Pickler(pickler_class):
        def persistent_id(self, candidate):
            if not isinstance(candidate, Storage):
                return None
            return candidate.key if ids_are_text else ("storage", float, candidate.key, "cpu", 4)

    out = io.BytesIO()
    Pickler(out, protocol).dump(value)
    return out.getvalue()


def random_objects(rng, count):
    streams = []
    while len(streams) < count:
        value = Maker(rng).value(rng.randrange(1, 6))
        for protocol in range(6):
            pickler = rng.choice([pickle.Pickler, pickle._Pickler])
            try:
                streams.append(pickle_object(value, protocol, pickler, protocol == 0))
            except (pickle.PicklingError, TypeError, RecursionError, KeyError):
                continue  # Slotted at protocols 0 and 1, and unhashable keys behind a cycle
    batch = {i: [i] for i in range(2500)}  # more than two batches of 1000
    streams += [pickle.dumps(batch, protocol) for protocol in range(6)]
    streams += [pickle.dumps(["z" * 70000, b"y" * 70000], protocol) for protocol in range(6)]  # outside of frames
    return streams


class Programmer:
    """Random legal programs. Each emit_* leaves one value of its kind on the stack."""

    def __init__(self, rng):
        self.rng = rng
        self.out = bytearray()
        self.memo = {}  # index: kind

    def op(self, code, argument=b""):
        self.out += code + argument

    def counted(self, code, width, data):
        self.op(code, len(data).to_bytes(width, "little") + data)

    def emit_int(self):
        rng = self.rng
        kind = rng.randrange(8)
        if kind == 0:
            self.op(b"K", bytes([rng.randrange(256)]))
        elif kind == 1:
            self.op(b"M", rng.randbytes(2))
        elif kind == 2:
            self.op(b"J", rng.randbytes(4))
        elif kind == 3:
            self.op(b"I", b"%d\n" % rng.randrange(-2**66, 2**66))
        elif kind == 4:
            self.op(b"L", b"%d%s\n" % (rng.randrange(-2**200, 2**200), rng.choice([b"", b"L"])))
        elif kind == 5:
            self.counted(b"\x8a", 1, rng.randbytes(rng.choice([0, 1, 2, 7, 8, 9, 20, 255])))
        elif kind == 6:
            self.counted(b"\x8b", 4, rng.randbytes(rng.choice([0, 1, 8, 9, 300])))
        else:
            self.counted(b"\x8a", 1, rng.choice([b"\0\0\0", b"\xff" * 9, b"\x7f" + b"\0" * 9, b"\x80" + b"\xff" * 9]))
        return "int"

    def emit_leaf(self):
        rng = self.rng
        kind = rng.randrange(12)
        if kind < 3:
            return self.emit_int()
        if kind == 3:
            self.op(rng.choice([b"N", b"\x88", b"\x89", b"I00\n", b"I01\n"]))
        elif kind == 4:
            self.op(b"G", struct.pack(">d", rng.uniform(-9, 9)))
        elif kind == 5:
            self.op(b"F", rng.choice([b"1.5", b"-0.0", b"1e300", b"inf", b"-inf", b"nan", b"3", b"2.5e-07"]) + b"\n")
        elif kind == 6:
            data = rng.choice([b"\\u0041", b"\xe9", b"a\\b", b"\\\\u0041", b"\\ud800", b"\\U0001f600", b"plain", b"", b"end\\"])
            self.op(b"V", data + b"\n")
        elif kind == 7:
            data = rng.choice([b"'a'", b'"it\'s"', b"'\\x41\\n\\101\\q\\\\'", b"''", b"'\\0'", b"'\xff'"])
            self.op(b"S", data + b"\n")
        elif kind == 8:
            data = rng.randbytes(rng.choice([0, 1, 5]))
            self.counted(*rng.choice([(b"U", 1), (b"T", 4), (b"C", 1), (b"B", 4), (b"\x8e", 8), (b"\x96", 8)]), data)
        else:
            return self.emit_str()
        return "leaf"

    def emit_str(self):
        data = self.rng.choice(TEXTS[:13]).encode("utf-8", "surrogatepass")
        forms = [(b"X", 4), (b"\x8d", 8)] + ([(b"\x8c", 1)] if len(data) < 256 else [])
        self.counted(*self.rng.choice(forms), data)
        return "str"

    def emit_global(self):
        if self.rng.random() < 0.6:
            self.op(b"c", self.rng.choice([b"torch\nFloatStorage\n", b"os\nsystem\n", b"\n\n", b"m\xc3\xa9\nx y\n"]))
        else:
            self.emit_str()
            if self.rng.random() < 0.3:
                self.op(b"S", b"'name'\n")
            else:
                self.emit_str()
            self.op(b"\x93")
        return "global"

    def emit_tuple(self, depth):
        count = self.rng.choice([0, 0, 1, 2, 3, 4])
        form = [b")", b"\x85", b"\x86", b"\x87"][count] if count < 4 and self.rng.random() < 0.6 else b"t"
        if form == b"t":
            self.op(b"(")
        for _ in range(count):
            self.emit(depth - 1)
        self.op(form)
        return "tuple"

    def emit_call(self, depth):
        rng = self.rng
        kind = rng.randrange(6)
        if kind == 0:
            self.op(b"(")
            for _ in range(rng.randrange(3)):
                self.emit(depth - 1)
            self.op(b"i", b"module\nName\n")
        elif kind == 1:
            self.op(b"(")
            self.emit_global()
            for _ in range(rng.randrange(3)):
                self.emit(depth - 1)
            self.op(b"o")
        else:
            (self.emit_call if rng.random() < 0.2 and depth > 0 else lambda _: self.emit_global())(depth - 1)
            self.emit_tuple(depth - 1)
            if kind == 2:
                self.emit_dict(depth - 1)
                self.op(b"\x92")
            else:
                self.op(rng.choice([b"R", b"\x81"]))
        for _ in range(rng.choice([0, 0, 1, 2])):
            what = rng.randrange(4)
            if what == 0:
                self.emit(depth - 1)
                self.op(b"b")
            elif what == 1:
                self.fill(depth, rng.choice([b"e", b"\x90"]), 1)
            elif what == 2:
                self.fill(depth, b"u", 2)
            else:
                self.emit(depth - 1)
                self.op(b"a")
        return "call"

    def fill(self, depth, code, width):
        self.op(b"(")
        for _ in range(self.rng.randrange(4) * width):
            self.emit(depth - 1)
        self.op(code)

    def emit_list(self, depth):
        if self.rng.random() < 0.3:
            self.fill(depth, b"l", 1)
        else:
            self.op(b"]")
            if self.rng.random() < 0.5:
                self.remember("list")
        for _ in range(self.rng.randrange(4)):
            if self.rng.random() < 0.5:
                self.emit(depth - 1)
                self.op(b"a")
            else:
                self.fill(depth, b"e", 1)
        return "list"

    def emit_dict(self, depth):
        if self.rng.random() < 0.3:
            self.fill(depth, b"d", 2)
        else:
            self.op(b"}")
            if self.rng.random() < 0.5:
                self.remember("dict")
        for _ in range(self.rng.randrange(3)):
            if self.rng.random() < 0.5:
                self.emit(depth - 1)
                self.emit(depth - 1)
                self.op(b"s")
            else:
                self.fill(depth, b"u", 2)
        return "dict"

    def emit_set(self, depth):
        if self.rng.random() < 0.4:
            self.fill(depth, b"\x91", 1)
        else:
            self.op(b"\x8f")
            self.fill(depth, b"\x90", 1)
        return "set"

    def emit_persistent(self, depth):
        if self.rng.random() < 0.4:
            self.op(b"P", b"key 7\n")
        else:
            self.emit(depth - 1)
            self.op(b"Q")
        return "persistent"

    def remember(self, kind):
        index = self.rng.choice([len(self.memo), self.rng.randrange(300), self.rng.randrange(2**32)])
        form = self.rng.randrange(4)
        if form == 0:
            index = len(self.memo)
            self.op(b"\x94")
        elif form == 1 and index < 256:
            self.op(b"q", bytes([index]))
        elif form == 2:
            self.op(b"p", b"%d\n" % index)
        else:
            self.op(b"r", struct.pack("<I", index))
        self.memo[index] = kind

    def recall(self):
        index = self.rng.choice(list(self.memo))
        if index < 256 and self.rng.random() < 0.6:
            self.op(b"h", bytes([index]))
        elif self.rng.random() < 0.5:
            self.op(b"g", b"%d\n" % index)
        else:
            self.op(b"j", struct.pack("<I", index))
        return self.memo[index]

    def emit(self, depth):
        rng = self.rng
        if rng.random() < 0.05:  # work that leaves nothing behind
            what = rng.randrange(4)
            if what == 0:
                self.emit_leaf()
                self.op(b"0")
            elif what == 1:
                self.op(b"(")
                self.emit_leaf()
                self.emit_leaf()
                self.op(b"1")
            elif what == 2:
                self.op(b"(0")
            else:
                self.op(b"\x80", bytes([rng.randrange(6)]))
        if self.memo and rng.random() < 0.1:
            return self.recall()
        if depth <= 0 or rng.random() < 0.35:
            kind = self.emit_leaf()
        else:
            kind = rng.choice([lambda: self.emit_list(depth), lambda: self.emit_dict(depth), lambda: self.emit_tuple(depth),
                               lambda: self.emit_set(depth), lambda: self.emit_call(depth), self.emit_global,
                               lambda: self.emit_persistent(depth)])()
        if rng.random() < 0.2:
            self.remember(kind)
        if rng.random() < 0.04:
            self.op(b"20")
        return kind

    def program(self):
        self.emit(self.rng.randrange(1, 5))
        self.op(b".")
        body = bytes(self.out)
        choice = self.rng.randrange(3)
        if choice == 0:
            return body
        if choice == 1:
            return b"\x80" + bytes([self.rng.randrange(6)]) + body
        return b"\x80\x04\x95" + struct.pack("<Q", len(body)) + body


def ask(program, mode, streams):
    data = b"".join(struct.pack("<I", len(stream)) + stream for stream in streams)
    lines = subprocess.run([program, mode], input=data, stdout=subprocess.PIPE, check=True).stdout.split(b"\n")
    return [json.loads(line) for line in lines[:len(streams)]]


def oracle(stream):
    try:
        return inert.dump(stream)
    except inert.Refused as error:
        return {"refused": str(error)}
    except Exception as error:  # whatever CPython raises for bytes that are no pickle
        return {"error": "%s: %s" % (type(error).__name__, error)}


def oracle_dis(stream):
    out = io.StringIO()
    try:
        pickletools.dis(stream, out)
    except Exception as error:
        return {"error": str(error)}
    return {"text": out.getvalue()}


def shorten(value):
    text = json.dumps(value)
    return text if len(text) < 600 else text[:600] + "..."


class Report:
    def __init__(self):
        self.problems = 0

    def differs(self, what, stream, ours, theirs):
        self.problems += 1
        if self.problems <= 5:
            print("%s: %r\n  ours:   %s\n  theirs: %s" % (what, stream[:400], shorten(ours), shorten(theirs)))

    def same(self, what, program, streams, damaged=0):
        """Both sides read the same from each stream; `damaged` of them are refused by both."""
        refused = 0
        for stream, ours in zip(streams, ask(program, "json", streams)):
            theirs = oracle(stream)
            if "error" in ours and "error" in theirs:
                refused += 1
            elif ours != theirs:
                self.differs(what, stream, ours, theirs)
        if refused != damaged:
            self.differs(what + ": refused by both", b"", refused, damaged)
        print("%s: %d streams, %d bytes" % (what, len(streams), sum(map(len, streams))))

    def same_text(self, what, program, streams):
        compared = 0
        for stream, ours in zip(streams, ask(program, "dis", streams)):
            theirs = oracle_dis(stream)
            if "text" in theirs:  # what pickletools refuses (a memo entry stored twice) may still be read
                compared += 1
                if ours != theirs:
                    self.differs(what, stream, ours, theirs)
        print("%s: %d of %d disassemblies" % (what, compared, len(streams)))
        if compared * 2 < len(streams):
            self.differs(what + ": too few", b"", compared, len(streams))

    def written(self, what, program, streams, others=()):
        """The same bytes come out, but for the streams numbered in `others`, which no pickler of Python 3 in C wrote."""
        for number, (stream, ours) in enumerate(zip(streams, ask(program, "write", streams))):
            if (ours.get("bytes") == stream.hex()) == (number in others):
                self.differs(what, stream, ours, stream.hex()[:400])
        print("%s: %d streams written again" % (what, len(streams)))

    def mutations(self, program, rng, streams, count):
        mutated = []
        while len(mutated) < count:
            stream = bytearray(rng.choice(streams))
            if len(stream) > 4000:
                continue
            for _ in range(rng.choice([1, 1, 1, 2, 4])):
                stream[rng.randrange(len(stream))] = rng.choice([rng.randrange(256), rng.choice(b"()]}0123aebsu.RQhqj\x85\x93\x94")])
            mutated.append(bytes(stream))
        accepted = both_refused = ours_alone_refused = 0
        for stream, ours in zip(mutated, ask(program, "json", mutated)):
            theirs = oracle(stream)
            if "error" not in ours:
                accepted += 1
                if ours != theirs:
                    self.differs("mutation accepted", stream, ours, theirs)
            elif "root" in theirs:
                ours_alone_refused += 1
                if not any(words in ours["error"] for words in STRICTER):
                    self.differs("mutation refused", stream, ours, theirs)
            else:
                both_refused += 1
        print("mutations: %d accepted by both, %d refused by both, %d refused by us alone" %
              (accepted, both_refused, ours_alone_refused))


# Where src/pickle is stricter than CPython's Python code, by rule (format-spec/03-pickle).
STRICTER = [
    "the text is not an integer",                    # int() takes spaces, underscores, 0x and a plus sign
    "the text is not a float",                       # float() too; and here the range of a double counts
    "the frame reaches beyond the end of the pickle",  # CPython drops what is left of the frame
    "the frame is longer than the pickle",           # CPython reads what is there
    "the opcode crosses the end of its frame",       # CPython lets it, where the frame ends between length and text
    "limits.",
]


def golden_pickles(folder, only_torch_save=False):
    streams = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or not zipfile.is_zipfile(path):
            continue
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                if only_torch_save and any(name.endswith("constants.pkl") for name in names):
                    continue  # TorchScript has a pickler of its own
                for name in names:
                    if name.endswith(("data.pkl", "constants.pkl")):
                        streams.append((str(path.relative_to(folder)), archive.read(name)) if only_torch_save
                                       else archive.read(name))
        except (zipfile.BadZipFile, RuntimeError, NotImplementedError, OSError):
            continue  # the damaged ones
    return streams


# Goldens that come out otherwise: protocol 1 is not written, two are damaged behind the pickle, and Python 2 had a
# pickler of its own.
NOT_BY_C = {"format/pickle/protocol1.pt", "format/quirks/pickle_cut.pt", "format/quirks/pickle_trailing.pt"} | {
    "torch-releases/1.4.0-py27/%s.zip.pt" % name for name in
    ("checkpoint", "dtypes", "module", "quantized", "sgd_checkpoint", "sparse", "state_dict", "values", "views")}


ROW = re.compile(r'^RUSHLIGHT_OPCODE\((\w+),\s*0x([0-9A-F]{2}), (\d), (\w+),\s*(\w+),\s*(\d), (\d), (\w+),\s*"', re.M)
ARGUMENTS = {"none": None, "u1": "uint1", "u2": "uint2", "u4": "uint4", "u8": "uint8", "i4": "int4", "f8_be": "float8",
             "line": "stringnl_noescape", "two_lines": "stringnl_noescape_pair", "integer_line": "decimalnl_short",
             "long_line": "decimalnl_long", "float_line": "floatnl", "quoted_line": "stringnl",
             "unicode_line": "unicodestringnl", "string1": "string1", "string4": "string4", "bytes1": "bytes1",
             "bytes4": "bytes4", "bytes8": "bytes8", "bytearray8": "bytearray8", "unicode1": "unicodestring1",
             "unicode4": "unicodestring4", "unicode8": "unicodestring8", "long1": "long1", "long4": "long4"}


def check_opcodes(report, table):
    rows = {name: rest for name, *rest in ROW.findall(table.read_text(encoding="utf-8"))}
    if len(rows) != len(pickletools.opcodes):
        report.differs("number of opcodes", b"", len(rows), len(pickletools.opcodes))
    for theirs in pickletools.opcodes:
        byte, protocol, argument, mark, operands, results, _ = rows[theirs.name]
        before, after = [kind.name for kind in theirs.stack_before], [kind.name for kind in theirs.stack_after]
        takes = "mark" in before
        counts = (before.index("mark") if takes else len(before), len([kind for kind in after if kind != "mark"]))
        if theirs.name in ("PUT", "BINPUT", "LONG_BINPUT"):
            counts = (1, 1)  # pickletools does not count the value that stays
        ours = (int(byte, 16), int(protocol), ARGUMENTS[argument], mark, (int(operands), int(results)))
        wanted = (ord(theirs.code), theirs.proto, theirs.arg.name if theirs.arg else None,
                  "takes" if takes else "sets" if "mark" in after else "no", counts)
        if ours != wanted:
            report.differs("opcode " + theirs.name, b"", ours, wanted)
    print("opcodes: %d rows" % len(rows))


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("opcodes", type=pathlib.Path)
    arguments.add_argument("goldens", type=pathlib.Path)
    arguments.add_argument("--seed", type=int, default=20_240_229)
    arguments.add_argument("--count", type=int, default=600)
    options = arguments.parse_args()
    rng = random.Random(options.seed)
    if hasattr(sys, "set_int_max_str_digits"):
        sys.set_int_max_str_digits(0)  # the goldens hold long integers, which are compared in decimal
    report = Report()
    check_opcodes(report, options.opcodes)
    objects = random_objects(rng, options.count)
    report.same("objects", options.program, objects)
    report.same_text("objects", options.program, objects)
    programs = [Programmer(rng).program() for _ in range(options.count)]
    report.same("programs", options.program, programs)
    report.mutations(options.program, rng, programs + objects[:options.count], options.count * 10)
    goldens = golden_pickles(options.goldens)
    if len(goldens) < 100:
        report.differs("goldens: too few", b"", len(goldens), 100)
    report.same("goldens", options.program, goldens, damaged=1)  # quirks/: cut inside data.pkl
    report.same_text("goldens", options.program, goldens)
    report.written("written by CPython", options.program, written_by_c(rng, options.count))
    saved = golden_pickles(options.goldens, only_torch_save=True)
    others = {number for number, (name, _) in enumerate(saved) if name in NOT_BY_C}
    report.written("written by torch.save", options.program, [stream for _, stream in saved], others)
    print("seed %d: %s" % (options.seed, "ok" if not report.problems else "%d problems" % report.problems))
    return 1 if report.problems else 0


if __name__ == "__main__":
    sys.exit(main())
