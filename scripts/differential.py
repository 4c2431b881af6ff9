#!/usr/bin/env python3
"""Compares `airferry verify` with scripts/verify_bundle.py on mutated bundles, and on the test vectors.

    differential.py --airferry PATH [--count N] [--seed S] [--bundle DIR --key KEY.pem]...
                    [--keep DIR] [--only MUTATION] [--vectors]

Without --bundle it mutates tests/vectors/bundle/whole, whose key is known. `differential_bundles.py
--airferry PATH OUT` makes more bundles. Mutations change files as they lie on a medium, or change documents,
chunks and statements and seal and sign the bundle again, so that the rules behind the signature are
reached. The same seed makes the same mutations.

Every input on which the exit codes differ, or what both say of authentication and bytes, is kept with a
note below --keep. The exit code is 1 if there is any. Needs what verify_bundle.py needs.
"""

import argparse
import base64
import concurrent.futures
import copy
import glob
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import differential_fast  # noqa: E402
import verify_bundle as v  # noqa: E402

ZSTD = differential_fast.install(v)

VECTORS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "vectors", "bundle")


# ---------------------------------------------------------------------------------------------
# Keys

class Signer:
    """Ed25519 signatures with a private key (RFC 8032, 5.1.6)."""

    def __init__(self, seed):
        h = hashlib.sha512(seed).digest()
        self.scalar = int.from_bytes(h[:32], "little") & (1 << 254) - 8 | 1 << 254
        self.prefix = h[32:]
        self.raw = v.point_encode(v.point_multiply(self.scalar, v.BASE_POINT))
        der = v.SPKI_PREFIX + self.raw
        self.pem = "-----BEGIN PUBLIC KEY-----\n%s\n-----END PUBLIC KEY-----\n" % base64.b64encode(der).decode()
        self.fingerprint = v.sha256_hex(der)

    def sign(self, message):
        r = int.from_bytes(hashlib.sha512(self.prefix + message).digest(), "little") % v.L
        point = v.point_encode(v.point_multiply(r, v.BASE_POINT))
        k = int.from_bytes(hashlib.sha512(point + self.raw + message).digest(), "little") % v.L
        return point + ((r + k * self.scalar) % v.L).to_bytes(32, "little")


def signer_of(path):
    """The seed is the end of a plain PKCS#8 structure."""
    with open(path, encoding="ascii") as file:
        body = re.search(r"BEGIN PRIVATE KEY-----(.*?)-----END", file.read(), re.S).group(1)
    return Signer(base64.b64decode("".join(body.split()))[-32:])


# ---------------------------------------------------------------------------------------------
# A bundle in memory

class Bundle:
    def __init__(self, path, signer):
        self.signer, self.files = signer, {}
        for top, _, names in os.walk(path):
            for name in names:
                full = os.path.join(top, name)
                with open(full, "rb") as file:
                    self.files[os.path.relpath(full, path)] = file.read()
        self.manifest = v.Decoder(self.files["manifest.cbor"]).document()
        self.inventory = v.Decoder(self.files["inventory.cbor"]).document()
        self.metadata = -1
        self.special = {}

    def copy(self):
        other = copy.copy(self)
        other.files = dict(self.files)
        other.manifest, other.inventory = copy.deepcopy(self.manifest), copy.deepcopy(self.inventory)
        other.special = {}
        return other

    def write(self, path):
        for name, data in self.files.items():
            full = os.path.join(path, name)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            with open(full, "wb") as file:
                file.write(data)
        for name, kind in self.special.items():
            full = os.path.join(path, name)
            os.makedirs(os.path.dirname(full), exist_ok=True)
            if kind == "directory":
                os.makedirs(full, exist_ok=True)
            elif kind == "link":
                os.symlink("elsewhere", full)
            else:
                os.mkfifo(full)

    def path_of(self, row):
        return "chunks/" + v.chunk_name(row)

    # -- Sealing and signing again

    def seal_chunks(self):
        """Lengths and hashes in the chunk table, from the files."""
        for row in self.manifest["chunks"]:
            data = self.files.get(self.path_of(row))
            if data is not None:
                row["length"] = len(data)
                row["sha256"], row["blake3"] = "sha256:" + v.sha256_hex(data), "blake3:" + v.blake3_hex(data)
                row["blocks"] = b"".join(bytes.fromhex(v.blake3_hex(data[i:i + v.BLOCK]))
                                         for i in range(0, len(data), v.BLOCK))

    def seal(self, manifest=None, inventory=None):
        """Writes both documents (or these bytes for them) and all that follows from them, and signs."""
        raw = self.files["inventory.cbor"] = inventory or v.encode(self.inventory)
        if manifest is None:
            if isinstance(self.manifest.get("inventory"), dict):
                self.manifest["inventory"].update(
                    length=len(raw), sha256="sha256:" + v.sha256_hex(raw), blake3="blake3:" + v.blake3_hex(raw))
            manifest = v.encode(self.manifest)
        self.files["manifest.cbor"] = manifest
        bundle_id = v.sha256_hex(manifest)
        try:
            document = v.Decoder(manifest).document()
            label = v.build_label(document, bundle_id)
            self.files["LABEL.txt"], self.files["SHA256SUMS"] = label, v.build_sums(document, bundle_id, label)
        except Exception:  # A document that breaks the tables has no texts.
            pass
        self.sign()

    def lines(self):
        manifest = self.files["manifest.cbor"]
        generation, complete = self.manifest.get("generation", 1), self.manifest.get("complete", True)
        return [v.BUNDLE, "algorithm: ed25519", "key: " + self.signer.fingerprint, "format: 1",
                "manifest-length: %d" % len(manifest), "manifest-sha256: " + v.sha256_hex(manifest),
                "manifest-blake3: " + v.blake3_hex(manifest),
                "sums-sha256: " + v.sha256_hex(self.files["SHA256SUMS"]), "generation: %s" % generation,
                "complete: %s" % ("yes" if complete is True else "no"), "role: exporter", "verdict: approve",
                "time: 2026-11-22T17:00:00Z"]

    def sign(self, raw=None, number=1, keep=False):
        if not keep:
            self.files = {k: d for k, d in self.files.items() if not k.startswith("signatures/")}
        raw = raw if raw is not None else ("\n".join(self.lines()) + "\n").encode()
        name = "signatures/%s-%s-%02d" % (v.sha256_hex(self.files["manifest.cbor"])[:16],
                                          self.signer.fingerprint[:16], number)
        self.files[name + ".statement"], self.files[name + ".sig"] = raw, self.signer.sign(raw)

    # -- The newest metadata chunk

    def newest(self):
        """The metadata chunk that is changed: the newest, or the one that a mutation chose."""
        return [row for row in self.manifest["chunks"] if row["kind"] == "metadata"][self.metadata]

    def tar(self, row=None):
        row = row or self.newest()
        decoded = next((o["decoded"] for o in self.inventory["chunks"] if o["number"] == row["number"]), 0)
        return v.decompress(self.files[self.path_of(row)], decoded)

    def set_tar(self, tar, *flags):
        """Stores a tar as the newest metadata chunk."""
        row = self.newest()
        self.files[self.path_of(row)] = ZSTD.compress(tar, flags)
        for origin in self.inventory["chunks"]:
            if origin["number"] == row["number"]:
                origin["decoded"] = len(tar)
        self.seal_chunks()

    def documents(self):
        """The bytes of all OCI manifests by digest."""
        tars = {row["number"]: self.tar(row) for row in self.manifest["chunks"] if row["kind"] == "metadata"}
        found = {}
        for row in self.inventory["manifests"]:
            chunk, offset, stored, _ = row["extent"]
            found[row["digest"]] = tars[chunk][offset:offset + stored]
        return found

    def remake(self, documents, names_of=v.Names):
        """Writes the newest metadata chunk anew from the inventory."""
        number = self.newest()["number"]
        self.inventory["manifests"].sort(key=lambda r: r["digest"])
        at = 1536
        for row in self.inventory["manifests"]:
            if row["extent"][0] == number:
                length = len(documents[row["digest"]])
                row["extent"] = [number, at, length, length]
                at += v.padded(length) + 512
        inventory = v.Inventory(self.inventory, self.manifest, v.Findings())
        parts = [v.marker(inventory.origins[number])]
        parts += [v.tar_file(v.blob_path(name), documents[name]) for _, _, name, _, _ in inventory.layout[number]]
        parts.append(v.join_file(inventory, number))
        names = names_of(inventory).all
        parts += [v.tar_head(path, 0, kind, link) for path, (kind, link) in sorted(names.items())]
        self.set_tar(b"".join(parts) + v.END)


# ---------------------------------------------------------------------------------------------
# Mutations of trees: CBOR documents and JSON documents

def nodes(value, path=()):
    """All places in a tree."""
    yield path
    if isinstance(value, dict):
        for key in value:
            yield from nodes(value[key], path + (key,))
    elif isinstance(value, list):
        for i, element in enumerate(value):
            yield from nodes(element, path + (i,))


def some_place(rng, tree, spare):
    """A place that is found by walking down, so that rare branches are found as often as long arrays."""
    path, value = (), tree
    while isinstance(value, (dict, list)) and value and (not path or rng.random() < 0.8):
        keys = [k for k in (value if isinstance(value, dict) else range(len(value))) if path or k not in spare]
        path += (rng.choice(keys),)
        value = value[path[-1]]
    return path


def at(tree, path):
    for step in path:
        tree = tree[step]
    return tree


HEX = "0123456789abcdef"
ODD_TEXTS = ["", " ", "x", "latest", "sha256:" + "0" * 64, "SHA256:" + "0" * 64, "a\n", "\u202e", "\u00a0x", "x\u2028",
             "docker.io/busybox", "docker.io/library/busybox:1", "index.docker.io/library/x:1", "localhost/x:1",
             "foo/bar:1", "Foo/bar:1", "[::1]:5000/x:1", "a.b/c__d:1", "a.b/c___d:1", "a.b/c--d:1", "a.b/-c:1",
             "a.b/c:1@sha256:" + "1" * 64, "a.b/c@sha256:" + "1" * 64, "a.b/" + "c" * 256 + ":1", "a_b.c/d:1",
             "a.b:/c:1", "a.b:99999/c:1", "a.b:080/c:1", "a.b:0/c:1", "[::ffff:1.2.3.4]:1/c:1", "[1:2]/c:1",
             "registry-1.docker.io/x:1", "[0001::]/c:1", "a" * 256 + ".b:1/c:1", "a-.b/c:1", "linux/amd64", "linux/arm/v7", "linux", "linux//x", "a/b/c/d",
             "carried", "absent", "unknown", "not-asked", "cosign-tag", "referrers", "raw", "zstd", "data",
             "metadata", "file-based", "sqlite", "catalogs", "releases", "x" * 1024, "x" * 1025, "y" * 200, "y" * 201, "y" * 4096, "y" * 4097,
             "application/vnd.oci.image.index.v1+json", "application/vnd.oci.image.manifest.v1+json",
             "application/vnd.docker.distribution.manifest.v2+json",
             "application/vnd.docker.distribution.manifest.list.v2+json",
             "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", "https://example.com/x"]
ODD_NUMBERS = [0, 1, 2, 3, 100, 101, 511, 512, 1023, 1024, 1536, 2048, 4096, 999999, 1000000, v.BLOCK, 8 * v.GIB,
               v.GIB, v.GIB + 512, (1 << 32) - 1, 1 << 32, (1 << 63), (1 << 64) - 512, (1 << 64) - 1]
OPTIONAL = {"problem": "it could not be had", "tag": "x", "subject": "sha256:" + "2" * 64, "standalone": True,
            "ext": {"a": [1, b"", "", True, {}]}, "platform": "linux/s390x", "title": "T", "owner": "O",
            "marking": "M", "catalogs": [], "releases": [], "malformed": [], "left_out": [], "needed_by": [], "filter": "x",
            "original": "sha256:" + "3" * 64, "package": "p", "mediaType": "x", "urls": ["https://a/"],
            "config": {}, "layers": [], "manifests": [], "annotations": {}, "artifactType": "a/b"}


def other_text(rng, text):
    choice = rng.randrange(6)
    if choice == 0 or not text:
        return rng.choice(ODD_TEXTS)
    place = rng.randrange(len(text))
    if choice == 1:
        return text[:place] + rng.choice(HEX) + text[place + 1:]
    if choice == 2:
        return text[:place] + text[place + 1:]
    if choice == 3:
        return text + rng.choice(["x", " ", "/", ":", "0", "\u00e9"])
    if choice == 4:
        return text.upper()
    return text[:place] + rng.choice("._-/:@ \x7fAZaz09\u200b") + text[place:]


def mutate_tree(rng, tree, spare=(), extra=None):
    """One random change; returns what was changed. `extra` are values of the tree's kind to put in."""
    path = some_place(rng, tree, spare)
    parent, key = at(tree, path[:-1]), path[-1]
    value = parent[key]
    # A value from elsewhere in the tree, of the same kind and mostly under the same key.
    if rng.random() < 0.35:
        same = [p for p in nodes(tree) if p and p != path and type(at(tree, p)) is type(value)]
        near = [p for p in same if p[-1] == key]
        if near and rng.random() < 0.7:
            same = near
        if same:
            donor = rng.choice(same)
            parent[key] = copy.deepcopy(at(tree, donor))
            return "%s from %s" % (path, donor)
    choices = ["delete", "kind"]
    if isinstance(parent, list):
        choices += ["twice", "swap"]
    if isinstance(value, dict):
        choices += ["optional"] * 3 + ["unknown"]
    if isinstance(value, list):
        choices += ["append", "clear", "reverse"]
    if isinstance(value, (int, str, bytes)):
        choices += ["change"] * 6
    choice = rng.choice(choices)
    if choice == "delete":
        del parent[key]
    elif choice == "kind":
        parent[key] = rng.choice([0, "", b"", [], {}, True, False, [value], {"x": value}] + list(extra or []))
    elif choice == "twice":
        parent.insert(key, copy.deepcopy(value))
    elif choice == "swap":
        other = rng.randrange(len(parent))
        parent[key], parent[other] = parent[other], parent[key]
    elif choice == "optional":
        name = rng.choice(sorted(OPTIONAL))
        value[name] = copy.deepcopy(OPTIONAL[name])
        choice += " " + name
    elif choice == "unknown":
        value["zzz"] = 1
    elif choice == "append":
        value.append(copy.deepcopy(rng.choice(value)) if value else rng.choice([0, "", "x", {}]))
    elif choice == "clear":
        value.clear()
    elif choice == "reverse":
        value.reverse()
    elif isinstance(value, bool):
        parent[key] = not value
    elif isinstance(value, int):
        parent[key] = rng.choice([value + 1, max(0, value - 1), value + 512, max(0, value - 512), value * 2]
                                 + ODD_NUMBERS)
        parent[key] = min(parent[key], (1 << 64) - 1)
    elif isinstance(value, str):
        parent[key] = other_text(rng, value)
    else:
        parent[key] = rng.choice([value + b"\0", value[:-1], value[32:], b"\0" * len(value), value + b"\0" * 32])
    return "%s %s" % (choice, path)


SORTED = {"bases": "id", "blobs": "digest", "chunks": "number", "images": "requested", "manifests": "digest",
          "catalogs": "image", "releases": "image"}


def sort_again(inventory):
    """Puts rows back in order, so that their order is not all that is found."""
    for key, by in SORTED.items():
        try:
            inventory[key].sort(key=lambda row: row[by])
        except (KeyError, TypeError, AttributeError):
            pass


# ---------------------------------------------------------------------------------------------
# Mutations of bundles: each changes `b` and returns a line that says what it did, or None

def file_flip(rng, b):
    name = rng.choice(sorted(n for n in b.files if b.files[n]))
    data = bytearray(b.files[name])
    for _ in range(rng.choice([1, 1, 1, 3])):
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    b.files[name] = bytes(data)
    return "flip in " + name


def file_cut(rng, b):
    name = rng.choice(sorted(b.files))
    length = len(b.files[name])
    keep = rng.choice([0, length // 2, max(0, length - 1), max(0, length - 512)])
    b.files[name] = b.files[name][:keep]
    return "cut %s to %d" % (name, keep)


def file_append(rng, b):
    name = rng.choice(sorted(b.files))
    b.files[name] += rng.choice([b"\0", b"x", b"\n", b"\0" * 512, b"\0" * 1024])
    return "append to " + name


def file_remove(rng, b):
    name = rng.choice(sorted(b.files))
    del b.files[name]
    return "remove " + name


def file_swap(rng, b):
    one, other = rng.sample(sorted(b.files), 2)
    b.files[one], b.files[other] = b.files[other], b.files[one]
    return "swap %s and %s" % (one, other)


def file_rename(rng, b):
    name = rng.choice(sorted(b.files))
    new = rng.choice([name.upper(), name + ".tmp", name + "x", "chunks/" + os.path.basename(name),
                      "signatures/" + os.path.basename(name), "../" * name.count("/") and os.path.basename(name)
                      or name + ".bak"])
    if new in b.files or any(n.startswith(new + "/") for n in b.files):
        return None
    b.files[new] = b.files.pop(name)
    return "rename %s to %s" % (name, new)


def file_foreign(rng, b):
    names = ["VOLUME.txt", "volume.txt", "chunks/VOLUME.txt", "x", ".DS_Store", ".ds_store", "chunks/._000001.tar",
             "signatures/Thumbs.db", "DESKTOP.INI", "System Volume Information/a/b", "$Recycle.Bin/x", ".Trash-1000/x",
             ".Trash-/x", ".Trash-x/y", "lost+found/x", "chunks/lost+found/x", "chunks/x/y", "signatures/x/.DS_Store",
             "._", ".fseventsd/._x", "export.journal", "export.made/sha256-" + "0" * 64, "manifest.cbor.tmp",
             "chunks/000009.tar", "Manifest.cbor", "chunks/000001.TAR", ".Spotlight-V100/x", "caf\u00e9", "a\nb",
             "signatures/%s-%s-01.statement" % ("0" * 16, "1" * 16), "signatures/%s-%s-01.sig" % ("0" * 16, "1" * 16)]
    done = []
    for name in rng.sample(names, rng.choice([1, 2, 5])):
        if name not in b.files:
            b.files[name] = b"x" * rng.choice([0, 1, 64, 65536, 65537, v.MIB, v.MIB + 1, v.MIB + 1])
            done.append("%r %d" % (name, len(b.files[name])))
    if rng.random() < 0.2:
        name = rng.choice(["empty", "System Volume Information", "chunks/sub", "Chunks", "lost+found", ".Trashes/a",
                           "export.made"])
        b.special[name] = "directory"
        done.append(name + "/")
    return "foreign " + ", ".join(done)


def file_special(rng, b):
    """A link, a directory or a pipe in the place of a file."""
    name = rng.choice(sorted(b.files) + ["signatures", "chunks", "x", ".DS_Store", "VOLUME.txt", "lost+found/x",
                                         "export.plan"])
    b.files = {n: data for n, data in b.files.items() if n != name and not n.startswith(name + "/")}
    b.special[name] = rng.choice(["link", "directory", "pipe"])
    return "%s is a %s" % (name, b.special[name])


def claimed_pairs(rng, b):
    for i in range(rng.choice([1, 70, 80, 100, 150])):
        bundle_id = rng.choice([v.sha256_hex(b.files["manifest.cbor"])[:16], "%016x" % rng.randrange(1 << 64)])
        name = "signatures/%s-%016x-%02d" % (bundle_id, rng.randrange(1 << 64), rng.choice([1, 16, 5, 6, 7, 8, 17, 0]))
        b.files[name + ".statement"] = b"x" * rng.choice([1, 100, 0, 16384, 16385] if rng.random() < .3 else [5])
        b.files[name + ".sig"] = b"x" * rng.choice([64, 63, 65] if rng.random() < .3 else [64])
    return "claimed pairs"


def unfinished(rng, b):
    b.files["export.plan"] = b"x" * 10
    for name in rng.sample(["export.journal", "export.plan.sig", "export.plan.statement", "export.plan.tmp",
                            "export.made/sha256-" + "a" * 64, "export.made/x"], rng.randrange(4)):
        b.files[name] = b"y" * 64
    return "unfinished"


def cbor_bytes(rng, b):
    """A change of a document's bytes, signed again."""
    which = rng.choice(["manifest", "inventory"])
    raw = bytearray(v.encode(b.manifest if which == "manifest" else b.inventory))
    for _ in range(rng.choice([1, 1, 2])):
        place = rng.randrange(len(raw))
        choice = rng.randrange(4)
        if choice == 0:
            raw[place] ^= 1 << rng.randrange(8)
        elif choice == 1:
            raw[place] = rng.choice([0x00, 0x18, 0x1f, 0x3a, 0x5f, 0x7f, 0x9f, 0xbf, 0xc0, 0xf4, 0xf6, 0xf7, 0xfb, 0xff])
        elif choice == 2:
            raw.insert(place, rng.choice([0, 0x60, 0x80, 0xa0, 0xf4]))
        else:
            del raw[place]
    b.seal(**{which: bytes(raw)}) if which == "manifest" else b.seal(inventory=bytes(raw))
    return "bytes of " + which


def manifest_tree(rng, b):
    done = mutate_tree(rng, b.manifest, spare=("inventory",) if rng.random() < 0.8 else ())
    b.seal()
    return "manifest: " + done


def inventory_tree(rng, b):
    done = [mutate_tree(rng, b.inventory) for _ in range(rng.choice([1, 1, 1, 2]))]
    if rng.random() < 0.7:
        sort_again(b.inventory)
    b.seal()
    return "inventory: " + "; ".join(done)


def inventory_remade(rng, b):
    """As before, and the metadata chunk follows the inventory where it can."""
    documents = b.documents()
    done = mutate_tree(rng, b.inventory, spare=("type", "format", "request"))
    sort_again(b.inventory)
    b.remake(documents)
    b.seal()
    return "inventory and names: " + done


def rename_digest(value, old, new):
    """The tree with one digest for another, in tags as well."""
    if isinstance(value, str):
        return value.replace(old, new).replace(old.replace(":", "-"), new.replace(":", "-"))
    if isinstance(value, list):
        return [rename_digest(e, old, new) for e in value]
    if isinstance(value, dict):
        return {k: rename_digest(e, old, new) for k, e in value.items()}
    return value


def replace_document(b, documents, name, raw):
    """Another document for an OCI manifest, also in all indexes above it and in what refers to it."""
    new = "sha256:" + v.sha256_hex(raw)
    if new == name or new in documents:
        return new
    size = len(documents.pop(name))
    documents[new] = raw
    b.inventory = rename_digest(b.inventory, name, new)
    for other, data in sorted(documents.items()):
        if name.encode() in data:
            changed = data.replace(name.encode(), new.encode())
            changed = re.sub(rb'("digest": ?"%s", ?"size": ?)%d\b' % (new.encode(), size), rb"\g<1>%d" % len(raw), changed)
            changed = re.sub(rb'("size": ?)%d(, ?"digest": ?"%s")' % (size, new.encode()), rb"\g<1>%d\g<2>" % len(raw),
                             changed)
            if other in documents:
                replace_document(b, documents, other, changed)
    return new


def oci_document(rng, b):
    """A change of an OCI manifest; all that names it follows, its row may."""
    documents = b.documents()
    name = rng.choice(sorted(n for n in documents))
    document = json.loads(documents[name])
    if rng.random() < 0.75:
        done = mutate_tree(rng, document, extra=[None, -1, 1.5, 1 << 64, "sha512:" + "0" * 128])
        raw = json.dumps(document, separators=(",", ":"), ensure_ascii=rng.random() < 0.5).encode("utf-8", "surrogatepass")
    else:
        text = documents[name].decode()
        done, text = rng.choice([
            ("spaces", json.dumps(document, indent=1)), ("space behind", text + " \n"), ("BOM", "\ufeff" + text),
            ("nul behind", text + "\0"), ("twice", text[:-1] + ',"layers":[]}'), ("case", text[:-1] + ',"Layers":[]}'),
            ("NaN", text[:-1] + ',"x":NaN}'), ("deep", text[:-1] + ',"x":' + "[" * 200 + "]" * 200 + "}"),
            ("escape", text.replace("sha256", "sh\\u0061256")),
            ("surrogate", text[:-1] + ',"x":"\\ud800"}'), ("control", text[:-1] + ',"x":"\x01"}'),
            ("float", re.sub(r'"size": ?(\d+)', r'"size":\1.0', text)), ("exponent", re.sub(r'"size": ?(\d+)', r'"size":\1e0', text)),
            ("big", text[:-1] + ',"x":1' + "0" * 400 + "}"), ("huge", text[:-1] + ',"x":1e999}'),
            ("comma", text[:-1] + ",}"), ("array", "[" + text + "]"), ("both", text[:-1] + ',"manifests":[],"layers":[]}'),
            ("type", text.replace("+json", "+xml", 1)), ("schema", text.replace('"schemaVersion":2', '"schemaVersion":1')),
            ("no schema", text.replace('"schemaVersion":2,', "")),
            ("no type", re.sub(r'"schemaVersion": ?2,("mediaType": ?"[^"]*",)?', rng.choice(
                ["", '"schemaVersion":3,', '"schemaVersion":2,', '"mediaType":null,', '"mediaType":"","schemaVersion":2,']), text)),
            ("folded", text[:-1] + rng.choice([',"layer\u017f":[]}', ',"manife\ufb06":[]}', ',"\u017fubject":null}'])),
            ("null", text[:-1] + rng.choice([',"config":null}', ',"layers":null}', ',"manifests":null}', ',"subject":null}'])),
            ("urls", text.replace('"size":', '"urls":%s,"size":' % rng.choice(
                ["null", "[]", '["\u202e"]', '["https://a/"]', '[""]', "[null]"]), 1)),
            ("platform", text.replace('"size":', '"platform":%s,"size":' % rng.choice(
                ["null", "{}", '{"os":1}', '{"os":"a","os":"b"}', '{"OS":"a"}', "[]", '{"variant":null}']), 1)),
            ("annotations", text.replace('"size":', '"annotations":%s,"size":' % rng.choice(
                ["null", "{}", "[]", '{"a":1}', '{"vnd.docker.reference.digest":1}', '"x"']), 1)),
        ])
        raw = text.encode("utf-8")
    new = replace_document(b, documents, name, raw)
    if rng.random() < 0.6:
        follow(b, new, document)
    sort_again(b.inventory)
    b.remake(documents)
    b.seal()
    return "document %s (%s): %s" % (name[:15], "index" if "manifests" in document else "image", done)


def follow(b, name, document):
    """The row says what the document says, as far as that can be."""
    row = next(r for r in b.inventory["manifests"] if r["digest"] == name)
    try:
        config = [document["config"]["digest"]] if document.get("config") else []
        row["blobs"] = v.each_once(config + [d["digest"] for d in document.get("layers") or []])
        named = v.each_once(d["digest"] for d in document.get("manifests") or [])
        row["children"] = [d for d in named if d in row["children"]]
        row["omitted"] = [d for d in named if d not in row["children"]]
        row.pop("subject", None)
        if document.get("subject"):
            row["subject"] = document["subject"]["digest"]
    except (TypeError, KeyError, AttributeError):
        pass


def invented(rng, index, number):
    """A descriptor of a child that no bundle has."""
    words = {"os": rng.choice(["linux", "windows", "unknown"]), "architecture": rng.choice(["amd64", "arm64", "arm", "unknown"])}
    if rng.random() < 0.4:
        words["variant"] = rng.choice(["v7", "v8", "", "V8"])
    if rng.random() < 0.1:
        words = rng.choice([{}, {"os": "linux"}, {"os": "", "architecture": ""}, {"os": "Linux", "architecture": "amd64"}])
    described = {"mediaType": v.IMAGE_TYPES[0], "digest": "sha256:%064x" % number, "size": 1, "platform": words}
    if rng.random() < 0.15:
        del described["platform"]
    if rng.random() < 0.3:
        others = [d["digest"] for d in index["manifests"]] + [described["digest"], "sha256:" + "f" * 64]
        described["annotations"] = {v.DOCKER_REFERENCE: rng.choice(others)}
    return described


def left_out(rng, b):
    """Children that are left out, and the filters of images (R-26)."""
    documents = b.documents()
    indexes = sorted(n for n, raw in documents.items() if b"manifests" in raw and "manifests" in json.loads(raw))
    name = rng.choice(indexes)
    document = json.loads(documents[name])
    for number in range(1, rng.choice([2, 3, 4])):
        document["manifests"].insert(rng.randrange(1 + len(document["manifests"])), invented(rng, document, number))
    if rng.random() < 0.2:
        rng.choice(document["manifests"])["annotations"] = {v.DOCKER_REFERENCE: "sha256:%064x" % 1}
    new = replace_document(b, documents, name, json.dumps(document, separators=(",", ":")).encode())
    follow(b, new, document)
    lists = [[], ["linux/amd64"], ["linux/amd64", "linux/arm64"], ["linux/arm64/v8"], ["windows/amd64"], ["linux/arm/v7"],
             ["linux/s390x"], ["unknown/unknown"]]
    one = rng.choice(lists[1:])
    for image in b.inventory["images"]:
        image["platforms"] = list(rng.choice(lists) if rng.random() < 0.1 else one)
    sort_again(b.inventory)
    b.remake(documents)
    b.seal()
    return "left out of %s: %s, %s" % (new[:15], document["manifests"], one)


def filters(rng, b):
    """As many different filters as images, around the cap of 16."""
    while len(b.inventory["images"]) < rng.choice([16, 17, 18]):
        image = copy.deepcopy(rng.choice(b.inventory["images"]))
        if "@" in image["requested"]:
            continue
        image["tag"] = "t%d" % len(b.inventory["images"])
        image["requested"] = image["source"] + ":" + image["tag"]
        b.inventory["images"].append(image)
    for number, image in enumerate(b.inventory["images"]):
        image["platforms"] = ["linux/x%d" % number] if number or rng.random() < 0.5 else []
    sort_again(b.inventory)
    b.remake(b.documents())
    b.seal()
    return "%d filters" % len(b.inventory["images"])


def made_image(rng, b):
    """An image that was made of another, and may be something else as well (R-31)."""
    if not b.inventory.get("catalogs"):
        return None
    catalog = rng.choice(b.inventory["catalogs"])
    image = next(i for i in b.inventory["images"] if i["requested"] == catalog["image"])
    choice = rng.randrange(5)
    if choice == 0:
        catalog["original"] = rng.choice(["sha256:" + "3" * 64, image["root"]])
    elif choice == 1:
        catalog.pop("original", None)
    if rng.random() < 0.3:
        image["standalone"] = True
    if rng.random() < 0.3:
        catalog["members"].append({"image": catalog["image"], "written": "x"})
    if rng.random() < 0.2 and catalog["members"]:
        rng.choice(catalog["members"])["image"] = rng.choice(b.inventory["images"])["requested"]
    catalog["members"].sort(key=lambda m: (m["image"], m["written"]))
    b.seal()
    return "made image: %d" % choice


class AllTags(v.Names):
    """With the tags that R-48 leaves out."""

    def leave_out_directories(self, sources):
        pass


def directory_tag(rng, b):
    """A repository below another one's `manifests` (R-48)."""
    images = b.inventory["images"]
    upper, lower = rng.choice(images), rng.choice(images)
    if upper["source"] == lower["source"] or "tag" not in upper or not rng.random() < 0.9:
        return None
    old = upper["requested"]
    upper["tag"] = rng.choice([upper["tag"], "blobs", "manifests", "x", "manifests"])
    if not re.fullmatch("[a-z0-9]+", upper["tag"]):
        return None
    upper["requested"] = upper["source"] + ":" + upper["tag"]
    below = "%s/manifests%s" % (upper["source"], rng.choice(["", "/" + upper["tag"], "/x", "/%s/y" % upper["tag"]]))
    for image in images:
        if image["source"] == lower["source"] and image is not lower:
            return None
    before = lower["requested"]
    lower["requested"] = lower["requested"].replace(lower["source"], below)
    lower["source"] = below
    b.inventory = rename_digest(rename_digest(b.inventory, before, lower["requested"]), old, upper["requested"])
    sort_again(b.inventory)
    everything = rng.random() < 0.3
    b.remake(b.documents(), AllTags if everything else v.Names)
    b.seal()
    return "tag %s, repository %s%s" % (upper["requested"], below, ", all tags" if everything else "")


REGISTRIES = ["[::ffff:1.2.3.4]:5000", "[::1]", "[0001::]", "[1:2]", "[::1%eth0]", "a.b:080", "a.b:0", "a.b:00001", "a.b:65535",
              "a.b:65536", "a.b:", "LOCALHOST", "localhost", "local", "a--b.c", "a-.b", "a.b.", "1.2.3.4", "docker.io",
              "index.docker.io", "registry-1.docker.io", "a." + "b" * 254 + ":123", "a." + "b" * 254 + ":1234"]


def registry_name(rng, b):
    """The registry of all images has another name (6, R-12)."""
    documents = b.documents()
    name = rng.choice(REGISTRIES)
    b.inventory = rename_digest(b.inventory, rng.choice(b.inventory["images"])["source"].split("/")[0], name)
    sort_again(b.inventory)
    b.remake(documents)
    b.seal()
    return "registry " + name


def tar_edit(rng, b):
    """A change of a metadata chunk's tar, with right hashes."""
    b.metadata = -rng.randrange(1, 1 + sum(row["kind"] == "metadata" for row in b.manifest["chunks"]))
    tar = b.tar()
    number = b.newest()["number"]
    begin = max((r["extent"][1] + v.padded(r["extent"][2]) for r in b.inventory["manifests"]
                 if r["extent"][0] == number), default=1024)
    choice = rng.randrange(8)
    entries = split_entries(tar, begin)
    if choice == 0:
        data = bytearray(tar)
        data[rng.randrange(rng.choice([begin, len(data)]))] ^= 1 << rng.randrange(8)
        tar, done = bytes(data), "flip"
    elif choice == 1:
        tar, done = tar + b"\0" * rng.choice([512, 1024, 8192]), "longer"
    elif choice == 2:
        tar, done = tar[:-512], "shorter"
    elif not entries:
        return None
    else:
        i = rng.randrange(len(entries))
        if choice == 3:
            del entries[i]
            done = "entry %d away" % i
        elif choice == 4:
            entries.insert(i, entries[i])
            done = "entry %d twice" % i
        elif choice == 5:
            j = rng.randrange(len(entries))
            entries[i], entries[j] = entries[j], entries[i]
            done = "entries %d and %d" % (i, j)
        else:
            done, entry = other_entry(rng, b)
            entries.append(entry)
            entries.sort(key=entry_path)
        tar = tar[:begin] + b"".join(entries) + v.END
    b.set_tar(tar)
    b.seal()
    return "tar: " + done


def split_entries(tar, begin):
    entries, place = [], begin
    while place + 1024 < len(tar):
        end = place
        while True:
            header = tar[end:end + 512]
            size = int(header[124:135] or b"0", 8)
            end += 512 + v.padded(size)
            if header[156:157] != b"x":
                break
        entries.append(tar[place:end])
        place = end
    return entries


def entry_path(entry):
    match = re.search(rb" path=([^\n]*)\n", entry[512:1536]) if entry[156:157] == b"x" else None
    return match.group(1) if match else entry[:100].rstrip(b"\0")


def other_entry(rng, b):
    """A name that may or may not be true."""
    sources = sorted({i["source"] for i in b.inventory["images"]}) + ["a.b/c"]
    digests = [r["digest"] for r in b.inventory["manifests"] + b.inventory["blobs"]] + ["sha256:" + "0" * 64]
    base, name = b"v2/" + rng.choice(sources).encode(), rng.choice(digests)
    choice = rng.randrange(4)
    if choice == 0:
        path, kind, link = base + b"/blobs/" + name.encode(), b"1", v.blob_path(name)
    elif choice == 1:
        path, kind, link = base + b"/manifests/" + name.encode(), b"1", v.blob_path(name)
    elif choice == 2:
        path, kind, link = base + b"/manifests/" + rng.choice([b"x", b"latest", b"1"]), b"2", name.encode()
    else:
        path, kind, link = rng.choice([b"etc/passwd", b"v2/blobs/x", b"airferry/x", b"../x"]), b"0", b""
    return "name %s" % path.decode()[-60:], v.tar_head(path, 0, kind, link)


def zstd_edit(rng, b):
    """The same tar in another zstd frame."""
    tar, row = b.tar(), b.newest()
    choice = rng.randrange(7)
    flags = [["-1"], ["-19"], ["--no-check"], ["--ultra", "-22"], ["--long=24"], ["--no-content-size"],
             ["--format=gzip"]][choice]
    try:
        b.set_tar(tar, *flags)
    except subprocess.CalledProcessError:
        return None
    data = b.files[b.path_of(row)]
    more = rng.randrange(6)
    if more == 0:
        data += bytes.fromhex("502a4d18") + b"\4\0\0\0abcd"
    elif more == 1:
        data = bytes.fromhex("502a4d18") + b"\4\0\0\0abcd" + data
    elif more == 2:
        data += subprocess.run(["zstd", "-qc"], input=b"", stdout=subprocess.PIPE, check=True).stdout
    elif more == 3:
        flip = bytearray(data)
        flip[rng.randrange(min(20, len(flip)))] ^= 1 << rng.randrange(8)
        data = bytes(flip)
    elif more == 4:
        data = raw_frame(rng, tar)
    b.files[b.path_of(row)] = data
    b.seal_chunks()
    b.seal()
    return "zstd %s %d" % (flags, more)


def raw_frame(rng, tar):
    """A frame without compression, with a header that may be odd (RFC 8878, 3.1.1)."""
    single, checksum, odd, size_flag = rng.random() < 0.3, 0, rng.choice([0, 0, 0, 8, 16]), rng.choice([1, 2, 3, 3])
    id_flag = rng.choice([0, 0, 0, 1, 2, 3])
    length = len(tar) + rng.choice([0, 0, 0, 512])
    content = (length - 256 if size_flag == 1 else length) & (1 << 8 * (1 << size_flag)) - 1
    head = bytes([size_flag << 6 | single << 5 | odd | checksum | id_flag])
    head += b"" if single else bytes([rng.choice([0, 1, 56, 80, 104, 105, 112, 255])])
    head += bytes((0, 1, 2, 4)[id_flag]) + content.to_bytes(1 << size_flag, "little")
    pieces = [tar[i:i + 65536] for i in range(0, len(tar), 65536)] + rng.choice([[], [b""]])
    body = b"".join((len(x) << 3 | (i == len(pieces) - 1)).to_bytes(3, "little") + x for i, x in enumerate(pieces))
    return b"\x28\xb5\x2f\xfd" + head + body


def data_chunk_edit(rng, b):
    """A change of a data chunk, with right hashes."""
    rows = [r for r in b.manifest["chunks"] if r["kind"] == "data"]
    if not rows:
        return None
    row = rng.choice(rows)
    data = bytearray(b.files[b.path_of(row)])
    choice = rng.randrange(3)
    if choice == 0:
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    elif choice == 1:
        data += b"\0" * 512
    else:
        place = rng.choice([p for p in (100, 156, 265, 329, 345, 511, 600, 1023, 1100, len(data) - 1) if p < len(data)])
        data[place] ^= 0x20
    b.files[b.path_of(row)] = bytes(data)
    b.seal_chunks()
    b.seal()
    return "data chunk %d: %d" % (row["number"], choice)


def renumber(rng, b):
    """Gaps between chunk numbers are allowed; the marker names the number."""
    rows = b.manifest["chunks"]
    row = rng.choice(rows)
    new = rng.choice([row["number"] + 1, 0, 999999, 1000000, row["number"] + 100])
    old_name, old = b.path_of(row), row["number"]
    data = b.files.pop(old_name)
    row["number"] = new
    b.files[b.path_of(row)] = data
    for origin in b.inventory["chunks"]:
        if origin["number"] == old:
            origin["number"] = new
    for extents in [bl["place"].get("carried", {}).get("extents", []) for bl in b.inventory["blobs"]]:
        for extent in extents:
            if extent[0] == old:
                extent[0] = new
    for manifest in b.inventory["manifests"]:
        if manifest["extent"][0] == old:
            manifest["extent"][0] = new
    rows.sort(key=lambda r: r["number"])
    b.inventory["chunks"].sort(key=lambda r: r["number"])
    if row["kind"] == "data":
        origin = next(o for o in b.inventory["chunks"] if o["number"] == new)
        marker = v.marker(origin)
        b.files[b.path_of(row)] = marker + data[1024:]
    b.seal_chunks()
    b.seal()
    return "chunk %d is %d" % (old, new)


TIMES = ["2026-11-22T17:00:00Z", "0000-02-29T00:00:00Z", "1900-02-29T00:00:00Z", "9999-12-30T22:00:00Z",
         "9999-12-30T22:00:01Z", "2026-13-01T00:00:00Z", "2026-01-01T24:00:00Z", "2026-01-01T00:00:60Z",
         "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z", "2026-1-01T00:00:00Z"]


def statement_edit(rng, b):
    """A change of the statement's text, signed."""
    lines = b.lines()
    choice = rng.randrange(10)
    place = rng.randrange(len(lines))
    if choice == 0:
        lines[place] = other_text(rng, lines[place])
    elif choice == 1:
        del lines[place]
    elif choice == 2:
        lines.insert(place, lines[place])
    elif choice == 3:
        lines.append("expires: " + rng.choice(TIMES))
    elif choice == 4:
        lines[12] = "time: " + rng.choice(TIMES)
    elif choice == 5:
        lines[10] = "role: " + rng.choice(["reviewer", "exporter", "a", "a" * 32, "a" * 33, "x-1", "X", "-", "1a"])
    elif choice == 6:
        lines[11] = "verdict: " + rng.choice(["reject", "approve", "maybe"])
    elif choice == 7:
        lines[8:8] = rng.choice([["lineage: x", "sequence: 0"], ["lineage: x"], ["sequence: 1"],
                                 ["lineage: x", "sequence: 18446744073709551615"],
                                 ["lineage: x", "sequence: 18446744073709551616"], ["lineage:  x"]])
    elif choice == 8:
        i, line = rng.choice([(2, "key: " + "0" * 64), (4, "manifest-length: 1"), (5, "manifest-sha256: " + "0" * 64),
                              (6, "manifest-blake3: " + "0" * 64), (7, "sums-sha256: " + "0" * 64), (8, "generation: 7"),
                              (9, "complete: " + ("no" if lines[9].endswith("yes") else "yes"))])
        lines[i] = line
    else:
        lines.append("comment: " + rng.choice(["x", "\u00e9" * 200, "\u00e9" * 201, " x", "a\u00a0", "a\u00a0b", "\u202e", "\ud7ff",
                                               "a\u3000", "\u200a", "\u180ex", "x\u0085", "\u2060", "\U000e0001"]))
    end = rng.choice(["\n", "\n", "\n", "\n", "", "\r\n", "\n\n"])
    raw = ("\n".join(lines) + end).encode("utf-8")
    number = rng.choice([1, 1, 2, 16, 17])
    b.sign(raw, number, keep=rng.random() < 0.4)
    return "statement: %d, line %d, number %d" % (choice, place, number)


def signature_edit(rng, b):
    """Half pairs, other lengths, other types of statement under the key's name."""
    names = sorted(n for n in b.files if n.startswith("signatures/"))
    if not names:
        return None
    name = rng.choice(names)
    choice = rng.randrange(5)
    if choice == 0:
        del b.files[name]
    elif choice == 1:
        b.files[name] = b.files[name][:rng.choice([0, 1, 63])]
    elif choice == 2:
        b.files[name] += rng.choice([b"\n", b"\0" * 16384])
    elif choice == 3:
        b.files[re.sub(r"-\d\d\.", "-%02d." % rng.choice([2, 16, 17, 0]), name)] = b.files[name]
    else:
        manifest = b.files["manifest.cbor"]
        lines = [v.PLAN, "algorithm: ed25519", "key: " + b.signer.fingerprint, "format: 1",
                 "plan-length: %d" % len(manifest), "plan-sha256: " + v.sha256_hex(manifest),
                 "plan-blake3: " + v.blake3_hex(manifest), "role: exporter", "verdict: approve",
                 "time: 2026-11-22T17:00:00Z"]
        b.sign(("\n".join(lines) + "\n").encode(), rng.choice([1, 2]), keep=True)
    return "signature: %d %s" % (choice, name)


MUTATIONS = [(1, file_flip), (1, file_cut), (1, file_append), (1, file_remove), (1, file_swap), (1, file_rename),
             (2, file_foreign), (1, file_special), (1, claimed_pairs), (1, unfinished), (3, cbor_bytes), (3, manifest_tree),
             (8, inventory_tree), (8, inventory_remade), (8, oci_document), (4, tar_edit), (2, zstd_edit),
             (1, data_chunk_edit), (1, renumber), (3, statement_edit), (1, signature_edit), (4, left_out), (1, filters),
             (2, made_image), (2, directory_tag), (2, registry_name)]


# ---------------------------------------------------------------------------------------------
# Comparing

class Options:
    def __init__(self, flags):
        self.allow_unsigned, self.allow_incomplete = "--allow-unsigned" in flags, "--allow-incomplete" in flags
        self.strict, self.statements = "--strict" in flags, []
        self.allow_unverified_releases = "--allow-unsigned-release" in flags


def ours(path, keys, flags):
    verifier = v.Verifier(path, keys, Options(flags))
    verifier.run()
    return verifier.result()


class Theirs:
    """`airferry verify`, which runs while the other verifier does."""

    def __init__(self, airferry, path, key_file, flags):
        command = [airferry, "verify", path, "-q", "-o", "json"] + (["--trust", key_file] if key_file else []) + flags
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def result(self):
        """Exit code, report, standard error."""
        output, error = self.process.communicate()
        try:
            return self.process.returncode, json.loads(output), error.decode("utf-8", "replace")
        except ValueError:
            return self.process.returncode, {}, error.decode("utf-8", "replace")


def about_release_alone(own, other, code, other_code):
    """airferry compares a release with its image and knows when it is unsigned; verify_bundle.py does neither."""
    theirs_about = [f for f in other.get("findings", ()) if f["kind"] != "not-authenticated"]
    return (code != other_code and code in (0, 3, 5, 9) and any(f["rule"] == "6.7" for f in own.get("findings", ()))
            and bool(theirs_about) and all("release" in f["message"] for f in theirs_about))


def compare(airferry, path, signer, key_file, flags, trusted):
    """None, or what differs, as lines."""
    key = v.Key(signer.pem)
    theirs = Theirs(airferry, path, key_file if trusted else None, flags)
    try:
        own = ours(path, [key] if trusted else [], flags)
        code = own["code"]
    except Exception as error:  # Any of these is a mistake in verify_bundle.py, but for the medium's.
        own, code = {}, "crashed: %r" % error
    other_code, other, stderr = theirs.result()
    if about_release_alone(own, other, code, other_code):
        return None
    same = code == other_code
    if same and other and own.get("bundle"):
        same = own["authenticated"] == other["authenticated"] and own["stopped"] == other["stopped"]
        if code in (0, 3, 5, 9) and not own["stopped"]:
            same = same and own["bytes"] == {k: other["bytes"][k] for k in own["bytes"]}
    if same:
        return None
    lines = ["verify_bundle: %s %s" % (code, own.get("verdict")), "airferry: %s" % other_code]
    lines += ["  ours: %s %s: %s" % (f["rule"], f.get("file"), f["message"]) for f in own.get("findings", [])[:8]]
    lines += ["  theirs: %s %s" % (f.get("file"), f["message"]) for f in other.get("findings", [])[:8]]
    if own.get("bytes") != other.get("bytes"):
        lines += ["  our bytes: %s" % own.get("bytes"), "  their bytes: %s" % other.get("bytes")]
    return lines + ([] if other else ["  their stderr: " + stderr[:500]])


def try_case(rng, bundles, mutations, number, scratch, options):
    """One mutation; its name, and what differs as lines. None when it cannot be built upon."""
    b = rng.choice(bundles).copy()
    mutation = rng.choices([m for _, m in mutations], [w for w, _ in mutations])[0]
    flags = rng.choice([[], [], ["--strict"], ["--allow-unsigned"], ["--allow-incomplete"]])
    if isinstance(b.inventory, dict) and b.inventory.get("releases"):
        flags = [f for f in flags if f != "--strict"] + ["--allow-unsigned-release"]
    elif mutation in (file_foreign, file_special, claimed_pairs) and rng.random() < 0.5:
        flags = ["--strict"]
    trusted = rng.random() < 0.85
    try:
        done = mutation(rng, b)
    except (v.Refused, KeyError, IndexError, ValueError, TypeError, AttributeError, StopIteration):
        return None
    if done is None:
        return None
    path, key_file = os.path.join(scratch, "bundle"), os.path.join(scratch, "key.pub")
    shutil.rmtree(path, ignore_errors=True)
    b.write(path)
    with open(key_file, "w", encoding="ascii") as file:
        file.write(b.signer.pem)
    lines = compare(options.airferry, path, b.signer, key_file, flags, trusted)
    if options.verbose:
        print("case %d: %s %s" % (number, done, "DIFFERS" if lines else ""), flush=True)
    if lines:
        lines = ["case %d: %s %s%s" % (number, done, " ".join(flags), "" if trusted else " (no key)")] + lines
    return mutation.__name__, lines


def keep_case(folder, scratch, note):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    # A bundle may have pipes and links in it, which Python does not copy.
    subprocess.run(["cp", "-a", os.path.join(scratch, "bundle"), os.path.join(scratch, "key.pub"), folder], check=True)
    with open(os.path.join(folder, "note.txt"), "w", encoding="utf-8", errors="replace") as file:
        file.write("\n".join(note) + "\n")


def run(options):
    rng = random.Random(options.seed)
    sources = [(path, signer_of(key)) for path, key in zip(options.bundle, options.key)]
    sources = sources or [(os.path.join(VECTORS, "whole"), Signer(bytes([7]) * 32))]
    bundles = [Bundle(path, signer) for path, signer in sources]
    mutations = [(w, m) for w, m in MUTATIONS if not options.only or m.__name__ == options.only]
    disagreements, counts, interrupted = 0, {}, False
    with tempfile.TemporaryDirectory(dir=differential_fast.scratch()) as scratch:
        try:
            for number in range(options.count):
                tried = try_case(rng, bundles, mutations, number, scratch, options)
                if tried is None:
                    continue
                name, note = tried
                counts[name] = counts.get(name, 0) + 1
                if note:
                    disagreements += 1
                    print("\n".join(note), flush=True)
                    if options.keep:
                        keep_case(os.path.join(options.keep, "case-%d-%d" % (options.seed, number)), scratch, note)
        except KeyboardInterrupt:
            interrupted = True
    print("%d inputs, %d disagreements: %s" % (sum(counts.values()), disagreements,
                                               ", ".join("%s %d" % c for c in sorted(counts.items()))))
    return 1 if disagreements else 130 if interrupted else 0


# ---------------------------------------------------------------------------------------------
# The test vectors (section 15)

def read_vector(path):
    with open(path, encoding="utf-8") as file:
        head, _, body = file.read().partition("\n\n")
    fields, sections, name = dict(line.split(": ", 1) for line in head.splitlines()), {}, None
    for line in body.splitlines():
        if line.startswith("["):
            name = line[1:-1]
            sections[name] = ""
        else:
            sections[name] += line.strip()
    return fields, {key: bytes.fromhex(value) for key, value in sections.items()}


def judge_vector(kind, s):
    """The rules that verify_bundle.py finds broken, in its order."""
    findings = v.Findings()
    try:
        if kind == "manifest":
            v.read_manifest(s["manifest"])
        elif kind == "inventory":
            manifest = v.read_manifest(s["manifest"])
            v.Inventory(v.decode_inventory(s["inventory"], manifest), manifest, findings).check()
        elif kind == "row":
            inventory = v.Inventory(v.Decoder(s["inventory"]).document(), {"chunks": []}, findings)
            documents = v.Documents(inventory)
            documents.check(inventory.rows["sha256:" + v.sha256_hex(s["document"])], s["document"])
            documents.finish()
        elif kind == "statement":
            v.parse_statement(s["statement"])
        elif kind == "signature":
            v.check_signature(s["key"], s["message"], s["signature"])
    except v.Refused as refused:
        findings.refused(refused)
    return [f["rule"] for f in findings.list]


def vector_bundle(path, sections, signer):
    """A signed bundle of a vector's documents, whose chunks are not there."""
    files = {name + ".cbor": sections[name] for name in ("manifest", "inventory") if name in sections}
    try:
        document, bundle_id = v.read_manifest(sections["manifest"]), v.sha256_hex(sections["manifest"])
        files["LABEL.txt"] = v.build_label(document, bundle_id)
        files["SHA256SUMS"] = v.build_sums(document, bundle_id, files["LABEL.txt"])
    except v.Refused:
        document, files["SHA256SUMS"] = {}, b""
    bundle = Bundle.__new__(Bundle)
    bundle.signer, bundle.files, bundle.manifest, bundle.special = signer, files, document, {}
    bundle.sign()
    bundle.write(path)


def command_rules(directory, fields, sections):
    """The rules about a vector's document that verify_bundle.py names when it is run as a command."""
    signer, path = Signer(bytes([7]) * 32), os.path.join(directory, "bundle")
    vector_bundle(path, sections, signer)
    key_file = os.path.join(directory, "key.pub")
    with open(key_file, "w", encoding="ascii") as file:
        file.write(signer.pem)
    command = [sys.executable, v.__file__, path, "--trust", key_file, "--output", "json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        findings = json.loads(done.stdout)["findings"]
    except ValueError:
        return ["crashed: " + done.stderr.decode("utf-8", "replace")[-300:]]
    rules = [f["rule"] for f in findings if f.get("file") == fields["kind"] + ".cbor"]
    return rules if done.returncode == v.EXIT_DAMAGED else rules + ["exit code %d" % done.returncode]


def check_vector(path):
    """What is wrong with what a vector gives, as lines."""
    fields, sections = read_vector(path)
    if fields["kind"] == "bundle":
        return check_bundle_vector(path, fields, sections)
    found = [("", judge_vector(fields["kind"], sections))]
    if "manifest" in sections:
        with tempfile.TemporaryDirectory(dir=differential_fast.scratch()) as directory:
            found.append(("the command: ", command_rules(directory, fields, sections)))
    wanted = [] if fields["expect"] == "ok" else [fields["expect"]]
    return ["%s: %sexpected %s, found %s" % (os.path.relpath(path, VECTORS), who, fields["expect"], rules)
            for who, rules in found if rules[:1] != wanted]


def check_bundle_vector(path, fields, sections):
    """The same for a whole bundle: the exit code, and the file that a finding names (section 15)."""
    with tempfile.TemporaryDirectory(dir=differential_fast.scratch()) as directory:
        bundle = os.path.join(directory, "bundle")
        shutil.copytree(os.path.join(VECTORS, "whole"), bundle)
        for name in fields["without"].split():
            if name != "-":
                os.remove(os.path.join(bundle, name))
        for name, data in sections.items():
            with open(os.path.join(bundle, name), "wb") as file:
                file.write(data)
        key = os.path.join(directory, "key.pub")
        with open(key, "w", encoding="ascii") as file:
            file.write(Signer(bytes([7]) * 32).pem)
        command = [sys.executable, v.__file__, bundle, "--trust", key, "--output", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    result = json.loads(done.stdout)
    files = [finding.get("file") for finding in result["findings"]] + result["foreign"]["paths"]
    right = done.returncode == int(fields["code"]) and (fields["blames"] == "-" or fields["blames"] in files)
    return [] if right else ["%s: code %d, files %s" % (os.path.relpath(path, VECTORS), done.returncode, files)]


def run_vectors():
    """Each document is judged, and each that can stand in a bundle by the command as well."""
    paths = [path for path in sorted(glob.glob(os.path.join(VECTORS, "*", "*.txt")))
             if os.path.basename(os.path.dirname(path)) != "whole"]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        lines = [line for found in pool.map(check_vector, paths) for line in found]
    for line in lines:
        print(line)
    print("%d vectors, %d disagreements" % (len(paths), len(lines)))
    return 1 if lines else 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--airferry", default="airferry")
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--bundle", action="append", default=[])
    parser.add_argument("--key", action="append", default=[])
    parser.add_argument("--keep")
    parser.add_argument("--only", choices=[m.__name__ for _, m in MUTATIONS])
    parser.add_argument("--vectors", action="store_true")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    if len(options.bundle) != len(options.key):
        parser.error("every --bundle has a --key")
    return run_vectors() if options.vectors else run(options)


if __name__ == "__main__":
    sys.exit(main())
