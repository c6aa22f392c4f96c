#!/usr/bin/env python3
"""Writes the small pickles of tests/fuzz/corpus/pickle and what CPython reads in them, tests/pickle/expected.

    make_streams.py [--check]        --check writes nothing and fails when a file would change

NAME.pkl   a stream: from CPython's pickler, or by hand in the opcodes that only Python 2 wrote
NAME.json  its objects, made by tests/pickle/inert.py from CPython's own unpickler
NAME.txt   its disassembly by pickletools
"""
import collections
import io
import json
import pathlib
import pickle
import pickletools
import sys

import inert

HERE = pathlib.Path(__file__).parent
STREAMS = HERE.parent / "fuzz" / "corpus" / "pickle"
EXPECTED = HERE / "expected"


class Storage:
    def __init__(self, key):
        self.key = key


class Pickler(pickle._Pickler):  # the same bytes from every version of Python
    def persistent_id(self, value):
        if not isinstance(value, Storage):
            return None
        return value.key if self.proto == 0 else ("storage", float, value.key, "cpu", 4)


def pickled(value, protocol):
    out = io.BytesIO()
    Pickler(out, protocol).dump(value)
    return out.getvalue()


def nested():
    shared = ["shared", 1]
    value = collections.OrderedDict()
    value["none and booleans"] = [None, True, False]
    value["integers"] = [0, 255, 256, 65535, 65536, -1, -2**31, 2**31, 2**63 - 1, -2**63, 2**63, -2**64, 10**40]
    value["floats"] = [0.0, -0.0, 1.5, 1e300, 5e-324, float("inf"), float("-inf"), float("nan")]
    value["texts"] = ["", "caf\u00e9", "\u2192", "\U0001f600", "it's \"quoted\"\n", "\ud800", "x" * 256]
    value["bytes"] = [b"", b"\0\xff", bytearray(b"ba")]
    value["tuples"] = [(), (1,), (1, 2), (1, 2, 3), (1, 2, 3, 4)]
    value["sets"] = [{7}, frozenset([8])]
    value["dict"] = {"a": 1, 2: "b", (3, 4): None}
    value["shared"] = [shared, shared]
    value["storage"] = Storage("7")
    value["complex"] = complex(1, -2)
    value["counter"] = collections.Counter("aab")
    return value


def cycle():
    items, table = [], {}
    items += [items, table, (items, 1)]
    table["self"] = table
    return items


def recursive_tuple(count):
    inner = []
    outer = tuple(range(count)) + (inner,)
    inner.append(outer)
    return outer


def streams():
    for protocol in range(6):
        yield "nested%d" % protocol, pickled(nested(), protocol)
        yield "cycle%d" % protocol, pickled(cycle(), protocol)
        yield "recursive_tuple%d" % protocol, pickled([recursive_tuple(0), recursive_tuple(4)], protocol)
    # What cPickle of Python 2.7 writes for {'w': u'caf\xe9', 'n': 2L**64, 'i': True, 'o': <old-style instance>}.
    yield "python2_protocol0", (b"(dp1\nS'i'\np2\nI01\nsS'w'\np3\nVcaf\\u00e9\np4\nsS'n'\np5\nL18446744073709551616L\ns"
                                b"S'o'\np6\n(i__main__\nOld\np7\n(dp8\nS'x'\np9\nF1.5\nsbs.")
    yield "python2_protocol1", (b"}q\x01(U\x01iq\x02I01\nU\x01wq\x03X\x05\x00\x00\x00caf\xc3\xa9q\x04U\x01nq\x05"
                                b"L18446744073709551616L\nU\x01oq\x06(c__main__\nOld\nq\x07oq\x08}q\x09U\x01xq\n"
                                b"G?\xf8\x00\x00\x00\x00\x00\x00sbu.")
    yield "python2_protocol2", (b"\x80\x02}q\x01(U\x01wT\x03\x00\x00\x00\xff\x00'q\x02U\x01n\x8a\x09\x00\x00\x00\x00\x00"
                                b"\x00\x00\x00\x01U\x01oc__main__\nNew\nq\x03)\x81q\x04}q\x05U\x01xK\x01sbu.")
    yield "tensor", (b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\nq\x00((X\x07\x00\x00\x00storageq\x01ctorch\nFloatStorage\n"
                     b"q\x02X\x01\x00\x00\x000q\x03X\x03\x00\x00\x00cpuq\x04K\x04tq\x05QK\x00K\x02K\x02\x86q\x06K\x02K\x01"
                     b"\x86q\x07\x89ccollections\nOrderedDict\nq\x08)Rq\ttq\nRq\x0b.")
    yield "stack_work", b"(0N2K\x010(K\x01K\x021(0\x86."
    yield "sparse_memo", b"]r\xff\xff\xff\xffp999999\nj\xff\xff\xff\xffg999999\n\x87."
    body = b"\x8c\x01m\x8c\x01C\x93K\x01K\x02\x86}\x8c\x04nameK\x03s\x92."
    yield "keywords", b"\x80\x04\x95" + len(body).to_bytes(8, "little") + body


def main():
    check = "--check" in sys.argv[1:]
    files = {}
    for name, stream in streams():
        files[STREAMS / (name + ".pkl")] = stream
        files[EXPECTED / (name + ".json")] = (json.dumps(inert.dump(stream), separators=(",", ":")) + "\n").encode()
        out = io.StringIO()
        pickletools.dis(stream, out)
        files[EXPECTED / (name + ".txt")] = out.getvalue().encode("utf-8", "surrogatepass")
    stale = [path for path, data in files.items() if not path.exists() or path.read_bytes() != data]
    extra = [path for folder in (STREAMS, EXPECTED) if folder.exists() for path in folder.iterdir() if path not in files]
    if not check:
        for path in stale:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(files[path])
    for path in stale + extra:
        print("%s: %s" % (path.name, "extra" if path in extra else "differs" if check else "written"))
    print("%d streams, %d bytes in all" % (len(files) // 3, sum(map(len, files.values()))))
    return 1 if check and (stale or extra) else 0


if __name__ == "__main__":
    sys.exit(main())
