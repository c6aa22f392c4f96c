#!/usr/bin/env python3
"""A manifest and a signature by programs that are not ours: page 07 in Python with hashlib, and `openssl pkeyutl`.

    manifest_check.py PROGRAM FOLDER

FOLDER holds the vectors of the specification. Without openssl it prints "SKIPPED: " and the reason, and ends with 77.
"""
import hashlib
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile
import zipfile

PROGRAM, VECTORS = sys.argv[1], pathlib.Path(sys.argv[2])
CHUNK = 4 << 20


def record_sha256(data):
    leaves = [hashlib.sha256(b"\0" + data[at:at + CHUNK]).digest() for at in range(0, len(data), CHUNK)]
    return hashlib.sha256(b"\1" + struct.pack("<Q", len(data)) + b"".join(leaves)).hexdigest()


def self_sha256(path, manifest, own):
    """`own`: name in full of the record that holds the manifest; None for a sidecar, whose text is `manifest`."""
    data = path.read_bytes()
    blanked = bytearray(data)
    skipped = []
    with zipfile.ZipFile(path) as archive:
        for info in archive.infolist():
            name, extra = struct.unpack_from("<HH", data, info.header_offset + 26)
            begin = info.header_offset + 30 + name + extra
            end = begin + info.compress_size
            if info.filename == own:
                at = begin + data[begin:end].index(b'"self_xxh3":"') + 13
                blanked[at:at + 32] = b"0" * 32
                at = begin + data[begin:end].index(b'"self_sha256":"') + 15
                blanked[at:at + 64] = b"0" * 64
            else:
                skipped.append((begin, end))
            if own and info.filename.split("/", 1)[1] in (".rushlight/manifest.json", ".rushlight/signature"):
                blanked[end + 4:end + 8] = bytes(4)
        directory = archive.start_dir
    while blanked[directory:directory + 4] == b"PK\1\2":
        name, extra, comment = struct.unpack_from("<HHH", blanked, directory + 28)
        full_name = bytes(blanked[directory + 46:directory + 46 + name]).decode()
        if own and full_name.split("/", 1)[1] in (".rushlight/manifest.json", ".rushlight/signature"):
            blanked[directory + 16:directory + 20] = bytes(4)
        directory += 46 + name + extra + comment
    total, at = hashlib.sha256(b"rushlight structure 1\n"), 0
    for begin, end in sorted(skipped):
        total.update(blanked[at:begin])
        at = end
    total.update(blanked[at:])
    if own is None:
        text = bytearray(manifest)
        at = text.index(b'"self_xxh3":"') + 13
        text[at:at + 32] = b"0" * 32
        at = text.index(b'"self_sha256":"') + 15
        text[at:at + 64] = b"0" * 64
        total.update(text)
    return total.hexdigest()


def check_records(data, manifest):
    for record in manifest["records"]:
        stored = data[record["data_offset"]:record["data_offset"] + record["stored_bytes"]]
        assert record_sha256(stored) == record["sha256"], record["name"]


def sha256_of(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_file(path, text):
    """A file that is no archive, and the manifest beside it: the records, what lies between them, the whole."""
    data, manifest = path.read_bytes(), json.loads(text)
    assert manifest["container"] == "file" and manifest["size_bytes"] == len(data), path
    total, at = hashlib.sha256(b"rushlight structure 1\n"), 0
    for record in manifest["records"]:
        begin, end = record["data_offset"], record["data_offset"] + record["size_bytes"]
        assert at <= begin < end <= len(data), (path, record)
        assert record_sha256(data[begin:end]) == record["sha256"], (path, record)
        total.update(data[at:begin])
        at = end
    total.update(data[at:])
    blanked = bytearray(text)
    for field, digits in ((b'"self_xxh3":"', 32), (b'"self_sha256":"', 64)):
        begin = text.index(field) + len(field)
        blanked[begin:begin + digits] = b"0" * digits
    total.update(blanked)
    assert total.hexdigest() == manifest["self_sha256"], path
    assert manifest["file_sha256"] == sha256_of(path), path


def check_archive(path):
    data = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        [own] = [n for n in archive.namelist() if n.endswith("/.rushlight/manifest.json")]
        text = archive.read(own)
        signature = [json.loads(archive.read(n)) for n in archive.namelist() if n.endswith("/.rushlight/signature")]
    manifest = json.loads(text)
    check_records(data, manifest)
    assert self_sha256(path, text, own) == manifest["self_sha256"], path
    return text, signature


def pae(text):
    kind = b"application/vnd.rushlight.manifest+json"
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(text), text)


def openssl_accepts(folder, public, message, signature):
    (folder / "message").write_bytes(message)
    (folder / "sig").write_bytes(signature)
    return subprocess.run(["openssl", "pkeyutl", "-verify", "-rawin", "-pubin", "-inkey", public, "-sigfile",
                           folder / "sig", "-in", folder / "message"], capture_output=True).returncode == 0


def rushlight(*words):
    subprocess.run([PROGRAM, *map(str, words), "-q"], check=True, timeout=60)


def refuses(*words):
    """Exit 1: findings, and no accident."""
    return subprocess.run([PROGRAM, *map(str, words), "-q"], capture_output=True, timeout=60).returncode == 1


def main():
    text, [signature] = check_archive(VECTORS / "manifest.pt")
    check_file(VECTORS / "digest.legacy.pt", (VECTORS / "digest.legacy.json").read_bytes())
    if shutil.which("openssl") is None:
        print("SKIPPED: openssl is not installed; the digests were compared")
        return 77
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        public = VECTORS / "manifest.pub.pem"
        assert openssl_accepts(folder, public, pae(text), bytes.fromhex(signature["ed25519"]))
        assert not openssl_accepts(folder, public, text, bytes.fromhex(signature["ed25519"]))
        # A key, a manifest and a signature beside a file that stays as it is.
        key, public = folder / "private.pem", folder / "public.pem"
        subprocess.run(["openssl", "genpkey", "-algorithm", "ed25519", "-out", key], check=True)
        subprocess.run(["openssl", "pkey", "-in", key, "-pubout", "-out", public], check=True)
        file, sidecar, detached = folder / "a.pt", folder / "a.json", folder / "a.sig"
        file.write_bytes((VECTORS / "digest.pt").read_bytes())
        rushlight("manifest", file, "--sha256", "--sidecar", sidecar)
        rushlight("sign", file, "--manifest", sidecar, "--key", key, "--sidecar", detached)
        text = sidecar.read_bytes()
        check_records(file.read_bytes(), json.loads(text))
        assert self_sha256(file, text, None) == json.loads(text)["self_sha256"]
        assert openssl_accepts(folder, public, pae(text), detached.read_bytes())
        assert not openssl_accepts(folder, public, pae(text + b" "), detached.read_bytes())
        rushlight("verify", file, "--manifest", sidecar, "--signature", detached, "--require-signature", "--pub", public)
        assert json.loads(text)["file_sha256"] == sha256_of(file)
        # Files that have no manifest yet, in one step, of any kind.
        for name in ("digest.legacy.pt", "digest.safetensors", "digest.npz", "digest.pt"):
            one, signed = folder / name, folder / (name + ".sig")
            one.write_bytes((VECTORS / name).read_bytes())
            rushlight("sign", one, "--key", key, "--sidecar", signed)
            beside = folder / (name + ".manifest.json")
            if name in ("digest.legacy.pt", "digest.safetensors"):
                check_file(one, beside.read_bytes())
            assert openssl_accepts(folder, public, pae(beside.read_bytes()), signed.read_bytes()), name
            assert json.loads(beside.read_bytes())["file_sha256"] == sha256_of(one)
            demand = ("--require-signature", "--pub", public)
            rushlight("verify", one, "--manifest", beside, "--signature", signed, *demand)
            for less in ((), ("--manifest", beside), ("--signature", signed)):
                assert refuses("verify", one, *less, *demand), (name, less)
            one.write_bytes(one.read_bytes()[:-1] + b"?")
            assert refuses("verify", one, "--manifest", beside, "--signature", signed, *demand), name
        # A signature that openssl makes is one for us.
        (folder / "message").write_bytes(pae(text))
        subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", key, "-in", folder / "message", "-out",
                        detached], check=True)
        rushlight("verify", file, "--manifest", sidecar, "--signature", detached, "--require-signature", "--pub", public)
        # In the file itself.
        rushlight("manifest", file, "--sha256", "--in-place")
        rushlight("sign", file, "--key", key)
        check_archive(file)
    print("digests as hashlib computes them; signatures as openssl makes and checks them")
    return 0


sys.exit(main())
