#!/usr/bin/env python3
"""Writes tests/vectors/bundle: documents of the bundle format, good ones and bad ones with one
fault each, and one whole small bundle.

This is a second writer of the format, made from bundle-format.md alone. It shares no code with
airferry: its own CBOR, tar and Ed25519, hashlib, and the programs b3sum and zstd.

A vector is a text file: lines `kind:`, `expect:` (`ok`, or the requirement that is broken) and
`comment:`, then sections, each a line `[name]` and hexadecimal digits.
"""

import copy
import hashlib
import pathlib
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent / "tests" / "vectors" / "bundle"


# --- hashes ------------------------------------------------------------------------------------


def sha256(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


def b3(data):
    out = subprocess.run(["b3sum", "--no-names"], input=data, stdout=subprocess.PIPE, check=True)
    return out.stdout.decode().strip()


BLOCK = 4 << 20


def entry(data):
    return {"blake3": "blake3:" + b3(data), "length": len(data), "sha256": sha256(data)}


def chunk_row(number, kind, data):
    blocks = b"".join(bytes.fromhex(b3(data[i : i + BLOCK])) for i in range(0, len(data), BLOCK))
    return {"kind": kind, "blocks": blocks, "number": number, **entry(data)}


# --- CBOR (RFC 8949, core deterministic) -------------------------------------------------------


class Raw(bytes):
    """Bytes that stand in the document as they are."""


def head(major, n):
    if n < 24:
        return bytes([major << 5 | n])
    for info, width in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if n < 1 << 8 * width:
            return bytes([major << 5 | info]) + n.to_bytes(width, "big")
    raise ValueError(n)


def cbor(value):
    if isinstance(value, Raw):
        return bytes(value)
    if value is False or value is True:
        return b"\xf5" if value else b"\xf4"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        data = value.encode()
        return head(3, len(data)) + data
    if isinstance(value, list):
        return head(4, len(value)) + b"".join(map(cbor, value))
    if isinstance(value, dict):
        pairs = sorted((cbor(k), cbor(v)) for k, v in value.items())
        return head(5, len(pairs)) + b"".join(k + v for k, v in pairs)
    raise TypeError(value)


# --- tar (bundle-format.md, 7.1) ---------------------------------------------------------------


def pad(data):
    return data + bytes(-len(data) % 512)


def header(path, kind, size=0, link=""):
    out, records = b"", ""
    for key, value in (("path", path), ("linkpath", link)):
        if len(value) > 100:
            rest = f" {key}={value}\n"
            length = len(rest) + 1
            while length != len(rest) + len(str(length)):
                length = len(rest) + len(str(length))
            records += f"{length}{rest}"
    if records:
        out = header("pax", "x", len(records)) + pad(records.encode())
    mode = "0000777" if kind == "2" else "0000644"
    fields = [
        (path[:100], 100), (mode, 8), ("0000000", 8), ("0000000", 8), (f"{size:011o}", 12),
        ("0" * 11, 12), (" " * 8, 8), (kind, 1), (link[:100], 100), ("ustar\x0000", 8),
        ("", 64), ("0000000", 8), ("0000000", 8), ("", 167),
    ]  # fmt: skip
    block = b"".join(text.encode().ljust(width, b"\0") for text, width in fields)
    return out + block[:148] + f"{sum(block):06o}\0 ".encode() + block[156:]


def file(path, data):
    return header(path, "0", len(data)) + pad(data)


def marker(plan, number):
    text = f"airferry-chunk-v1\nplan: {plan}\nchunk: {number}\n"
    return file(f"airferry/chunk-{number:06}.txt", text.encode())


# --- Ed25519 (RFC 8032) ------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, -1, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P
    y = (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P
    return x, y


def mul(n, point):
    result = (0, 1)
    while n:
        if n & 1:
            result = add(result, point)
        point, n = add(point, point), n >> 1
    return result


def recover(y, sign):
    x2 = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_M1 % P
    if (x * x - x2) % P:
        return None
    return (P - x, y) if x & 1 != sign else (x, y)


def neg(a):
    return -a[0] % P, a[1]


def enc(a):
    return (a[1] | (a[0] & 1) << 255).to_bytes(32, "little")


B = recover(4 * pow(5, -1, P) % P, 0)


def h(*parts):
    return int.from_bytes(hashlib.sha512(b"".join(parts)).digest(), "little")


def secret(seed):
    digest = hashlib.sha512(seed).digest()
    a = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    return a, digest[32:]


def sign(seed, message):
    a, prefix = secret(seed)
    key = enc(mul(a, B))
    r = h(prefix, message) % L
    big_r = enc(mul(r, B))
    s = (r + h(big_r, key, message) * a) % L
    return key, big_r + s.to_bytes(32, "little")


def spki(key):
    return bytes.fromhex("302a300506032b6570032100") + key


# --- writing vectors ---------------------------------------------------------------------------


def vector(path, kind, expect, comment, head=None, **sections):
    lines = [f"kind: {kind}", f"expect: {expect}", f"comment: {comment}"]
    lines += [f"{name}: {value}" for name, value in (head or {}).items()] + [""]
    for name, data in sections.items():
        text = data.hex()
        lines.append(f"[{name}]")
        lines += [text[i : i + 96] for i in range(0, len(text), 96)]
    target = ROOT / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n")


# --- a small bundle ----------------------------------------------------------------------------

OCI = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
PLAN = sha256(b"plan")
BASE = sha256(b"base")
OMITTED, FOREIGN, LEFT_OUT = sha256(b"omitted"), sha256(b"foreign"), sha256(b"left out")
# Longer than 100 bytes in a path, so that extended headers are needed.
SOURCE = "registry.example.com:5000/a-team/with-a-long-name/and-a-longer-path/image"


FOREIGN_LAYER = "application/vnd.oci.image.layer.nondistributable.v1.tar"
URL = "https://example.com/layer"


def descriptor(media_type, digest, size, urls=""):
    return f'{{"mediaType":"{media_type}","digest":"{digest}","size":{size}{urls}}}'


def layer(digest, size):
    if digest == FOREIGN:
        return descriptor(FOREIGN_LAYER, digest, size, f',"urls":["{URL}"]')
    return descriptor(LAYER, digest, size)


def image(config, layers, extra=""):
    config = descriptor("application/vnd.oci.image.config.v1+json", config, 2)
    layers = ",".join(layer(digest, size) for digest, size in layers)
    text = f'{{"schemaVersion":2,"mediaType":"{OCI}","config":{config},"layers":[{layers}]{extra}}}'
    return text.encode()


def index_of(img, platform="arm64"):
    left_out = descriptor(OCI, LEFT_OUT, 1)
    if platform:
        left_out = f'{left_out[:-1]},"platform":{{"architecture":"{platform}","os":"linux"}}}}'
    children = f"{left_out},{descriptor(OCI, sha256(img), len(img))}"
    return f'{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{children}]}}'.encode()


def build():
    config, cut, empty = b"{}", bytes(i % 256 for i in range(1500)), b""
    names = {sha256(data): data for data in (config, cut, empty)}
    layers = [(sha256(cut), 1500), (sha256(empty), 0), (OMITTED, 7), (FOREIGN, 9)]
    img = image(sha256(config), layers)
    idx = index_of(img)
    subject = f',"subject":{descriptor(INDEX, sha256(idx), len(idx))}'
    sig = image(sha256(config), [(sha256(config), 2)], subject)
    documents = {sha256(data): data for data in (img, idx, sig)}

    raw = {"codec": "raw", "needs": [], "memory": 0, "scratch": 0}
    places = {
        sha256(config): (2, {"carried": raw | {"extents": [[1, 1536, 2, 2]]}}),
        sha256(cut): (1500, {"carried": raw | {"extents": [[1, 2560, 1000, 1000], [2, 1536, 500, 500]]}}),
        sha256(empty): (0, {"carried": raw | {"extents": []}}),
        OMITTED: (7, {"omitted": {"origin": BASE}}),
        FOREIGN: (9, {"foreign": {"urls": [URL]}}),
    }
    blobs = [{"digest": d, "size": s, "place": p} for d, (s, p) in sorted(places.items())]

    def path(digest, part=""):
        return "v2/blobs/sha256-" + digest[7:] + part

    end = bytes(1024)
    one = marker(PLAN, 1) + file(path(sha256(config)), config) + file(path(sha256(cut), ".0001"), cut[:1000]) + end
    two = marker(PLAN, 2) + file(path(sha256(cut), ".0002"), cut[1000:]) + end

    tar = marker(PLAN, 3)
    extents = {}
    for digest, data in sorted(documents.items()):
        extents[digest] = [3, len(tar) + 512, len(data), len(data)]
        tar += file(path(digest), data)
    cut_path = path(sha256(cut))
    tar += file("airferry/join-000003.txt", f"cat {cut_path}.0001 {cut_path}.0002 > {cut_path}\n".encode())
    sig_tag = "sha256-" + sha256(idx)[7:] + ".sig"
    links = {f"v2/{SOURCE}/blobs/{sha256(config)}": ("1", path(sha256(config)))}
    for digest in documents:
        links[f"v2/{SOURCE}/manifests/{digest}"] = ("1", path(digest))
    links[f"v2/{SOURCE}/manifests/4.18"] = ("2", sha256(idx))
    links[f"v2/{SOURCE}/manifests/{sig_tag}"] = ("2", sha256(sig))
    for name in sorted(links):
        kind, link = links[name]
        tar += header(name, kind, 0, link)
    tar += end
    three = compress(tar)

    def row(data, media_type, **more):
        base = {"blobs": [], "children": [], "omitted": [], "media_type": media_type}
        return base | {"digest": sha256(data), "extent": extents[sha256(data)]} | more

    manifests = [
        row(img, OCI, blobs=[sha256(config)] + [d for d, _ in layers], platform="linux/amd64"),
        row(idx, INDEX, children=[sha256(img)], omitted=[LEFT_OUT]),
        row(sig, OCI, blobs=[sha256(config)], subject=sha256(idx)),
    ]
    images = [
        {
            "root": sha256(idx),
            "tag": "4.18",
            "cosign": "carried",
            "source": SOURCE,
            "attached": [{"by": "cosign-tag", "tag": sig_tag, "root": sha256(sig), "subject": sha256(idx)}],
            "platforms": ["linux/amd64"],
            "referrers": "absent",
            "requested": SOURCE + ":4.18",
            "fetched_from": SOURCE,
        }
    ]
    inventory = {
        "type": "airferry-inventory",
        "bases": [{"id": BASE, "roots": [{"root": sha256(b"old"), "reference": SOURCE + ":4.17"}], "title": "Base"}],
        "blobs": blobs,
        "chunks": [
            {"plan": PLAN, "decoded": len(one), "number": 1, "generation": 1},
            {"plan": PLAN, "decoded": len(two), "number": 2, "generation": 1},
            {"plan": PLAN, "decoded": len(tar), "number": 3, "generation": 1},
        ],
        "format": 1,
        "images": images,
        "request": sha256(b"request"),
        "manifests": sorted(manifests, key=lambda m: m["digest"]),
    }
    manifest = {
        "type": "airferry-manifest",
        "label": {"title": "A small bundle", "owner": "Test vectors"},
        "chunks": [chunk_row(1, "data", one), chunk_row(2, "data", two), chunk_row(3, "metadata", three)],
        "format": 1,
        "complete": True,
        "requires": [],
        "inventory": entry(cbor(inventory)),
        "block_size": BLOCK,
        "generation": 1,
        "chunk_limit": len(one),
    }
    return manifest, inventory, {"000001.tar": one, "000002.tar": two, "000003.tar.zst": three}


def compress(tar):
    command = ["zstd", "-q", "-9", "--no-check", f"--stream-size={len(tar)}", "-c", "-"]
    return subprocess.run(command, input=tar, stdout=subprocess.PIPE, check=True).stdout


def label(manifest, data):
    """Fills the template that stands in bundle-format.md."""
    text = (ROOT.parents[2] / "bundle-format.md").read_text()
    text = text[text.index("    AIRFERRY BUNDLE") :].rstrip("\n")
    lines = [line[4:] for line in text.split("\n")]
    digits = sha256(data)[7:]
    groups = [digits[i : i + 4] for i in range(0, 64, 4)]
    fields = {
        "{title}": manifest["label"].get("title"),
        "{owner}": manifest["label"].get("owner"),
        "{marking}": manifest["label"].get("marking"),
        "{8 groups of 4 digits of the bundle id}": " ".join(groups[:8]),
        "{the other 8 groups}": " ".join(groups[8:]),
        "{generation}": str(manifest["generation"]),
        "{yes | no: some images are missing, see `airferry inspect`}":
            "yes" if manifest["complete"] else "no: some images are missing, see `airferry inspect`",
        "{number of chunks}": str(len(manifest["chunks"])),
        "{their bytes}": str(sum(row["length"] for row in manifest["chunks"])),
    }
    out = []
    for line in lines:
        absent = False
        for name, value in fields.items():
            if name in line:
                absent |= value is None
                line = line.replace(name, value or "")
        if not absent:
            out.append(line)
    return ("\n".join(out) + "\n").encode()


def whole(manifest, inventory, chunks):
    """Writes the bundle as a directory, with a statement by the key of seed 7, 7, 7..."""
    root = ROOT / "whole"
    (root / "chunks").mkdir(parents=True)
    (root / "signatures").mkdir()
    data = cbor(manifest)
    files = {"LABEL.txt": label(manifest, data), "inventory.cbor": cbor(inventory), "manifest.cbor": data}
    files |= {"chunks/" + name: content for name, content in chunks.items()}
    sums = "".join(f"{sha256(content)[7:]}  {name}\n" for name, content in files.items()).encode()
    files["SHA256SUMS"] = sums
    seed = bytes([7] * 32)
    key = sha256(spki(sign(seed, b"")[0]))[7:]
    statement = statement_text(manifest, sums, key)
    stem = f"signatures/{sha256(data)[7:23]}-{key[:16]}-01"
    files[stem + ".statement"] = statement
    files[stem + ".sig"] = sign(seed, statement)[1]
    for name, content in files.items():
        (root / name).write_bytes(content)


def statement_text(manifest, sums, key):
    data = cbor(manifest)
    lines = [
        "airferry-bundle-v1", "algorithm: ed25519", f"key: {key}", "format: 1",
        f"manifest-length: {len(data)}", f"manifest-sha256: {sha256(data)[7:]}",
        f"manifest-blake3: {b3(data)}", f"sums-sha256: {sha256(sums)[7:]}",
        "generation: 1", "complete: yes", "role: exporter", "verdict: approve",
        "time: 2026-11-22T17:00:00Z", "comment: A test vector",
    ]  # fmt: skip
    return ("\n".join(lines) + "\n").encode()


# --- faults ------------------------------------------------------------------------------------


def manifests(good):
    def put(name, expect, comment, change):
        value = copy.deepcopy(good)
        value = change(value) or value
        vector(f"manifest/{name}.txt", "manifest", expect, comment, manifest=cbor(value))

    def put_bytes(name, expect, comment, data):
        vector(f"manifest/{name}.txt", "manifest", expect, comment, manifest=data)

    data = cbor(good)
    put("good", "ok", "a manifest", lambda m: None)
    put("good-ext", "ok", "additions below ext, of every kind", lambda m: m.update(
        ext={"a": [1, b"x", "y", {"z": [True, False]}], "later": {}}))
    put("good-no-chunks-label", "ok", "an empty label", lambda m: m.update(label={}))
    put_bytes("trailing-byte", "R-10", "a byte behind the document", data + b"\0")
    put_bytes("truncated", "R-10", "the last byte is missing", data[:-1])
    put_bytes("empty", "R-10", "no bytes", b"")
    put("long-head", "R-10", "a number in two bytes that fits one", lambda m: m.update(format=Raw(b"\x18\x01")))
    put("long-text-head", "R-10", "a text's length in two bytes that fits one", lambda m: m.update(
        type=Raw(b"\x79\x00\x11airferry-manifest")))
    put("indefinite-array", "R-10", "an array of indefinite length", lambda m: m.update(requires=Raw(b"\x9f\xff")))
    put("indefinite-map", "R-10", "a map of indefinite length", lambda m: m.update(label=Raw(b"\xbf\xff")))
    put("chunked-text", "R-10", "a text in pieces", lambda m: m.update(type=Raw(b"\x7f\x71airferry-manifest\xff")))
    put("tag", "R-10", "a tag", lambda m: m.update(format=Raw(b"\xc1\x01")))
    put("null", "R-10", "null", lambda m: m.update(ext=Raw(b"\xf6")))
    put("undefined", "R-10", "undefined below ext", lambda m: m.update(ext={"a": Raw(b"\xf7")}))
    put("float", "R-10", "a floating-point number", lambda m: m.update(generation=Raw(b"\xf9\x3c\x00")))
    put("negative", "R-10", "a negative number below ext", lambda m: m.update(ext={"a": Raw(b"\x20")}))
    put("simple-value", "R-10", "a simple value in two bytes", lambda m: m.update(complete=Raw(b"\xf8\xff")))
    put("bad-utf8", "R-10", "a text that is not UTF-8", lambda m: m.update(label={"title": Raw(b"\x62\xc3\x28")}))
    put("surrogate", "R-10", "a text with a surrogate", lambda m: m.update(label={"title": Raw(b"\x63\xed\xa0\x80")}))
    put("duplicate-key", "R-10", "a key twice", lambda m: m.update(
        label=Raw(b"\xa2" + (cbor("title") + cbor("x")) * 2)))
    put("key-order", "R-10", "keys of one length in the wrong order", lambda m: m.update(
        label=Raw(b"\xa2" + cbor("title") + cbor("x") + cbor("owner") + cbor("x"))))
    put("key-length-order", "R-10", "a longer key before a shorter one", lambda m: m.update(
        label=Raw(b"\xa2" + cbor("marking") + cbor("x") + cbor("title") + cbor("x"))))
    put("byte-key", "R-10", "a key that is no text", lambda m: m.update(ext=Raw(b"\xa1\x41a\x00")))
    put("huge-array", "R-10", "an array of 2^64-1 items that are not there", lambda m: m.update(
        requires=Raw(b"\x9b" + b"\xff" * 8)))
    put("huge-text", "R-10", "a text of 2^63 bytes that are not there", lambda m: m.update(
        type=Raw(b"\x7b\x80" + b"\0" * 7)))
    put("depth-16", "ok", "items nested 16 deep", lambda m: m.update(ext={"a": Raw(b"\x81" * 13 + b"\0")}))
    put("depth-17", "R-11", "items nested 17 deep", lambda m: m.update(ext={"a": Raw(b"\x81" * 14 + b"\0")}))
    put("unknown-key", "R-12", "a key that no table has", lambda m: m.update(extra=1))
    put("unknown-label-key", "R-12", "a key that the label does not have", lambda m: m["label"].update(extra="x"))
    put("absent-key", "R-12", "a key that must be there is not", lambda m: m.pop("generation") and None)
    put("wrong-type", "R-12", "a number where a bool should be", lambda m: m.update(complete=1))
    put("bytes-for-text", "R-12", "bytes where a text should be", lambda m: m["chunks"][0].update(kind=b"data"))
    put("upper-case-digest", "R-12", "a digest in upper case", lambda m: m["inventory"].update(
        sha256="sha256:" + "AB" * 32))
    put("sha512", "R-12", "a digest of another algorithm", lambda m: m["inventory"].update(sha256="sha512:" + "0" * 128))
    put("unknown-kind", "R-12", "a chunk of an unknown kind", lambda m: m["chunks"][0].update(kind="parity"))
    put("blocks-remainder", "R-12", "block hashes that are no multiple of 32 bytes", lambda m: m["chunks"][0].update(
        blocks=m["chunks"][0]["blocks"] + b"\0"))
    put("chunk-number-0", "R-04", "a chunk with the number 0", lambda m: m["chunks"][0].update(number=0))
    put("chunk-number-million", "R-04", "a chunk with the number 1000000", lambda m: m["chunks"][2].update(number=10**6))
    put("chunk-number-64-bit", "R-04", "a chunk whose number is 1 in the low 32 bits", lambda m: m["chunks"][0].update(
        number=2**32 + 1))
    put("block-missing", "R-15", "a block without hash", lambda m: m["chunks"][0].update(blocks=b""))
    put("block-too-many", "R-15", "a hash without block", lambda m: m["chunks"][0].update(blocks=bytes(64)))
    put("chunk-empty", "R-15", "a chunk of no bytes", lambda m: m["chunks"][2].update(length=0, blocks=b""))
    put("chunk-not-512", "R-15", "a data chunk whose length is no multiple of 512", lambda m: m["chunks"][1].update(
        length=m["chunks"][1]["length"] + 1))
    put("chunk-above-limit", "R-15", "a data chunk above chunk_limit", lambda m: m.update(chunk_limit=4096))
    put("title-empty", "R-16", "an empty title", lambda m: m.update(label={"title": ""}))
    put("title-200", "ok", "a title of 200 characters", lambda m: m.update(label={"title": "\u00e4" * 200}))
    put("title-201", "R-16", "a title of 201 characters", lambda m: m.update(label={"title": "x" * 201}))
    put("title-control", "R-16", "a line break in the title", lambda m: m.update(label={"title": "a\nb"}))
    put("title-bidi", "R-16", "an override of writing direction", lambda m: m.update(label={"title": "a\u202eb"}))
    put("title-space", "R-16", "a space at the end", lambda m: m.update(label={"title": "a "}))
    put("title-nbsp", "R-16", "a no-break space in front", lambda m: m.update(label={"title": "\u00a0a"}))
    put("type", "R-13", "the type of another document", lambda m: m.update(type="airferry-inventory"))
    put("format-2", "R-13", "a later format, with keys of its own", lambda m: {
        "type": m["type"], "format": 2, "things": []})
    put("ext-array", "R-12", "additions that are no map", lambda m: m.update(ext=[1]))
    put("ext-1000", "ok", "1000 items below ext, keys counted, and ext itself", lambda m: m.update(
        ext={"a": [0] * 997}))
    put("ext-1001", "R-11", "1001 items below ext", lambda m: m.update(ext={"a": [0] * 998}))
    put("ext-64-kib", "R-11", "more than 65536 bytes below ext", lambda m: m.update(ext={
        f"{n:02}": "x" * 4000 for n in range(17)}))
    put("features-65", "R-11", "65 features", lambda m: m.update(requires=[f"f{n:02}" for n in range(65)]))
    put("feature-name-65", "R-11", "a feature whose name has 65 bytes", lambda m: m.update(requires=["f" * 65]))
    put("text-4097", "R-11", "a text of 4097 bytes", lambda m: m.update(label={"title": "x" * 4097}))
    put("generation-101", "R-11", "generation 101", lambda m: m.update(generation=101))
    put("feature", "R-13", "a feature that version 1 does not know", lambda m: m.update(requires=["parity"]))
    put("block-size", "R-14", "another block size", lambda m: m.update(block_size=1 << 20))
    put("generation-0", "R-14", "generation 0", lambda m: m.update(generation=0))
    put("chunks-order", "R-14", "chunks in another order", lambda m: m["chunks"].reverse())
    put("chunk-twice", "R-14", "a chunk twice", lambda m: m["chunks"].insert(0, m["chunks"][0]))


def inventories(good_manifest, good):
    def put(name, expect, comment, change):
        manifest, value = copy.deepcopy(good_manifest), copy.deepcopy(good)
        change(value, manifest)
        data = cbor(value)
        if expect != "R-20":
            manifest["inventory"] = entry(data)
        vector(f"inventory/{name}.txt", "inventory", expect, comment, manifest=cbor(manifest), inventory=data)

    def blob(i, shape, extents=None):
        found = (b for b in i["blobs"] if shape in b["place"])
        if extents is None:
            return next(found)
        return next(b for b in found if len(b["place"]["carried"]["extents"]) == extents)

    def carried(i, extents):
        return blob(i, "carried", extents)["place"]["carried"]

    def index(i):
        return next(m for m in i["manifests"] if m["omitted"])

    def missing(i):
        blob(i, "foreign")["place"] = {"missing": {"reason": "the registry has it no more"}}

    def second(i, m):
        """A second generation with nothing but a metadata chunk."""
        row = m["chunks"][2] | {"number": 9}
        m["chunks"].append(row)
        m["generation"] = 2
        i["chunks"].append({"plan": PLAN, "decoded": 2048, "number": 9, "generation": 2})

    def needs(*names):
        return [{"name": name, "package": "etcd"} for name in names]

    def catalog(i, m, text="quay.io/a/b@", malformed=None, needed_by=None):
        """The first image as a catalog that names itself and a text that is no reference."""
        image = i["images"][0]["requested"]
        row = {"text": text, "reason": "it has no digest", "needed_by": needs("etcd.v1", "etcd.v2")}
        members = [{"image": image, "written": image, "needed_by": needed_by or needs("etcd.v1")}]
        i["catalogs"] = [{"image": image, "format": "file-based", "members": members,
                          "malformed": [row] if malformed is None else malformed(row)}]
        m.update(requires=["catalogs"], complete=False)

    def release(i, m, more=None, component=None):
        """The first image as a release that has itself for a component."""
        image, root = i["images"][0]["requested"], i["images"][0]["root"]
        i["images"].append(i["images"][0] | {"requested": f"{SOURCE}@{root}"})
        i["images"][1].pop("tag")
        part = {"name": "cli", "image": f"{SOURCE}@{root}"} | (component or {})
        row = {"image": image, "version": "4.18.0", "keyrings": [], "unsigned": True, "components": [part],
               "signatures": [], "architecture": "amd64"}
        i["releases"] = [row | (more or {})]
        m["requires"] = ["releases"]

    put("good", "ok", "an inventory", lambda i, m: None)
    put("good-release", "ok", "a release", release)
    put("release-of-no-image", "R-30", "a release that is no image here", lambda i, m: release(
        i, m, {"image": "quay.io/a/b:c"}))
    put("release-twice", "R-14", "a release twice", lambda i, m: (release(i, m), i["releases"].append(i["releases"][0])))
    put("release-signed-without", "R-30", "a release that is said to be signed, without a signature", lambda i, m: release(
        i, m, {"unsigned": False}))
    put("release-unsigned-with", "R-30", "a release that is said to be unsigned, with a signature", lambda i, m: release(
        i, m, {"signatures": [{"over": i["images"][0]["root"], "message": b"x"}]}))
    put("release-architecture", "R-30", "an architecture with a space", lambda i, m: release(i, m, {"architecture": "a b"}))
    put("release-component-by-tag", "R-30", "a component without digest", lambda i, m: release(
        i, m, None, {"image": i["images"][0]["requested"]}))
    put("release-component-unknown", "R-30", "a component that is no image here", lambda i, m: release(
        i, m, None, {"image": "quay.io/a/b@" + BASE}))
    put("release-component-name", "R-30", "a component with a slash in its name", lambda i, m: release(
        i, m, None, {"name": "a/b"}))
    put("release-keyrings-order", "R-14", "keyrings in another order", lambda i, m: release(
        i, m, {"keyrings": [{"data": b"", "name": "b"}, {"data": b"", "name": "a"}]}))
    put("release-version", "R-12", "a version that begins with a letter", lambda i, m: release(i, m, {"version": "v4"}))
    put("requires-less", "R-33", "a release, and no feature for it", lambda i, m: (release(i, m), m.update(requires=[])))
    put("requires-more", "R-33", "a feature without content", lambda i, m: m.update(requires=["catalogs"]))
    put("filters-17", "R-11", "17 different filters", lambda i, m: i.update(images=[
        i["images"][0] | {"requested": f"z.example.com/x{n:02}:1", "source": f"z.example.com/x{n:02}", "tag": "1",
                          "platforms": [f"linux/a{n:02}"]} for n in range(17)]))
    put("made-and-member", "R-31", "an image that was made of another, and is a catalog's member", lambda i, m: (
        catalog(i, m), i["catalogs"][0].update(original=BASE)))
    put("good-malformed", "ok", "a catalog that names a text that is no reference", catalog)
    put("malformed-complete", "R-28", "complete although a catalog names such a text", lambda i, m: (
        catalog(i, m), m.update(complete=True)))
    put("malformed-order", "R-32", "such texts in another order", lambda i, m: catalog(
        i, m, malformed=lambda row: [row | {"text": "b@"}, row | {"text": "a@"}]))
    put("malformed-empty-text", "R-32", "an empty text", lambda i, m: catalog(i, m, text=""))
    put("malformed-bidi", "R-32", "an override of writing direction in such a text", lambda i, m: catalog(
        i, m, text="a\u202eb@"))
    put("malformed-long", "R-32", "such a text of 1025 bytes", lambda i, m: catalog(i, m, text="a" * 1025))
    put("malformed-needed-by-nobody", "R-32", "such a text that nothing needs", lambda i, m: catalog(
        i, m, malformed=lambda row: [row | {"needed_by": []}]))
    put("needed-by-order", "R-32", "bundles that need an image in another order", lambda i, m: catalog(
        i, m, needed_by=needs("etcd.v2", "etcd.v1")))
    put("needed-by-five", "R-32", "five bundles that need an image", lambda i, m: catalog(
        i, m, needed_by=needs("a", "b", "c", "d", "e")))
    def left_out(i, m, *changes):
        row = {"by": "bundle:etcd.v1", "image": "quay.io/a/b:1", "needed_by": needs("etcd.v1")}
        i["left_out"] = [row | change for change in changes or ({},)]

    put("good-left-out", "ok", "an image that was left out on purpose", left_out)
    put("left-out-order", "R-32", "images that were left out in another order", lambda i, m: left_out(
        i, m, {"image": "b"}, {"image": "a"}))
    put("left-out-twice", "R-32", "an image that was left out twice", lambda i, m: left_out(i, m, {}, {}))
    put("left-out-empty", "R-12", "an empty list of images that were left out", lambda i, m: i.update(left_out=[]))
    put("left-out-by-nothing", "R-32", "an image that was left out for no reason", lambda i, m: left_out(i, m, {"by": ""}))
    put("left-out-bidi", "R-32", "an override of writing direction in such an image", lambda i, m: left_out(
        i, m, {"image": "a\u202eb"}))
    put("left-out-needed-by", "R-32", "bundles that need such an image in another order", lambda i, m: left_out(
        i, m, {"needed_by": needs("b", "a")}))
    put("good-second-generation", "ok", "two generations", second)
    put("good-incomplete", "ok", "a blob is missing and the image says so", lambda i, m: (
        missing(i), i["images"][0].update(problem="a layer is gone"), m.update(complete=False)))
    put("good-unresolved", "ok", "an image that could not be resolved", lambda i, m: (
        i["images"].append({"cosign": "not-asked", "source": "z.example.com/x", "attached": [], "problem": "not found",
            "platforms": [], "referrers": "not-asked", "requested": "z.example.com/x:1", "fetched_from": "z.example.com/x", "tag": "1"}),
        m.update(complete=False)))
    put("good-unknown", "ok", "nobody knows whether there is more attached", lambda i, m: i["images"][0].update(
        cosign="unknown", referrers="unknown"))
    put("good-ext", "ok", "additions below ext", lambda i, m: i.update(ext={"note": "x"}))
    put("ext-text", "R-12", "additions that are no map", lambda i, m: i.update(ext="x"))
    put("problem-4096", "ok", "a problem of 4096 bytes", lambda i, m: (
        i["images"][0].update(problem="x" * 4096), m.update(complete=False)))
    put("problem-4097", "R-11", "a problem of 4097 bytes", lambda i, m: (
        i["images"][0].update(problem="x" * 4097), m.update(complete=False)))
    put("reason-4097", "R-11", "a reason of 4097 bytes", lambda i, m: blob(i, "foreign").update(
        place={"missing": {"reason": "x" * 4097}}))
    put("url-4097", "R-11", "a URL of 4097 bytes", lambda i, m: blob(i, "foreign").update(
        place={"foreign": {"urls": ["x" * 4097]}}))
    put("bases-1001", "R-11", "1001 bases", lambda i, m: i.update(
        bases=[{"id": f"sha256:{n:064x}", "roots": []} for n in range(1001)]))
    put("other-length", "R-20", "the manifest names another length", lambda i, m: m["inventory"].update(length=1))
    put("other-sha256", "R-20", "the manifest names another SHA-256", lambda i, m: m["inventory"].update(sha256=BASE))
    put("other-blake3", "R-20", "the manifest names another BLAKE3", lambda i, m: m["inventory"].update(
        blake3="blake3:" + "0" * 64))
    put("extent-5", "R-12", "an extent of five numbers", lambda i, m: carried(i, 1)["extents"][0].append(1))
    put("extent-3", "R-12", "an extent of three numbers", lambda i, m: carried(i, 1)["extents"][0].pop())
    put("two-places", "R-12", "a blob in two places", lambda i, m: blob(i, "foreign")["place"].update(
        missing={"reason": "x"}))
    put("unknown-place", "R-12", "an unknown place", lambda i, m: blob(i, "foreign").update(place={"lost": {}}))
    put("place-extra", "R-12", "a place with a key more", lambda i, m: blob(i, "foreign")["place"]["foreign"].update(x=1))
    put("short-reference", "R-12", "a reference in its short form", lambda i, m: i["images"][0].update(
        requested="busybox:1"))
    put("upper-case-repository", "R-12", "a repository in upper case", lambda i, m: i["images"][0].update(
        source="quay.io/UPPER/x"))
    put("dot-dot", "R-12", "a repository with dots for a component", lambda i, m: i["images"][0].update(
        source="quay.io/../etc"))
    put("bad-tag", "R-12", "a tag with a slash", lambda i, m: i["images"][0].update(tag="../x"))
    for port in ("0", "65536", "080", "", "8a"):
        put(f"port-{port or 'empty'}", "R-12", f"a registry with the port `{port}`", lambda i, m, port=port: i["images"][0]
            .update(fetched_from=f"registry.example.com:{port}/x"))
    put("good-port-65535", "ok", "a registry with the port 65535", lambda i, m: i["images"][0].update(
        fetched_from="registry.example.com:65535/x"))
    put("good-ipv6", "ok", "a registry with an IPv6 address", lambda i, m: i["images"][0].update(
        fetched_from="[2001:db8::1]:5000/x"))
    put("ipv6-open", "R-12", "an IPv6 address without its last bracket", lambda i, m: i["images"][0].update(
        fetched_from="[2001:db8::1/x"))
    put("index-docker-io", "R-12", "the other name of Docker Hub", lambda i, m: i["images"][0].update(
        fetched_from="index.docker.io/library/x"))
    put("docker-io-one-component", "R-12", "a path of one component on Docker Hub", lambda i, m: i["images"][0].update(
        fetched_from="docker.io/x"))
    put("registry-without-dot", "R-12", "a registry that is a plain word", lambda i, m: i["images"][0].update(
        fetched_from="registry/x"))
    put("path-256", "R-12", "a path of 256 bytes", lambda i, m: i["images"][0].update(
        fetched_from="registry.example.com/" + "x" * 256))
    put("tag-129", "R-12", "a tag of 129 characters", lambda i, m: i["images"][0].update(tag="x" * 129))
    put("platform-one-word", "R-12", "a platform of one word", lambda i, m: i["images"][0].update(platforms=["linux"]))
    put("platform-four-words", "R-12", "a platform of four words", lambda i, m: i["images"][0].update(
        platforms=["linux/arm/v7/x"]))
    put("type", "R-13", "the type of another document", lambda i, m: i.update(type="airferry-manifest"))
    put("format", "R-13", "a later format", lambda i, m: i.update(format=2))
    put("blobs-order", "R-14", "blobs in another order", lambda i, m: i["blobs"].reverse())
    put("blob-twice", "R-14", "a blob twice", lambda i, m: i["blobs"].insert(0, i["blobs"][0]))
    put("manifests-order", "R-14", "OCI manifests in another order", lambda i, m: i["manifests"].reverse())
    put("images-twice", "R-14", "an image twice", lambda i, m: i["images"].append(i["images"][0]))
    put("images-order", "R-14", "images ordered by parts and not by text", lambda i, m: i["images"].append(
        i["images"][0] | {"requested": SOURCE + "-x:4.18"}))
    put("platforms-order", "R-14", "platforms in another order", lambda i, m: i["images"][0].update(
        platforms=["linux/arm64", "linux/amd64"]))
    put("attached-twice", "R-14", "an attachment twice", lambda i, m: i["images"][0]["attached"].append(
        i["images"][0]["attached"][0]))
    put("bases-twice", "R-14", "a base twice", lambda i, m: i["bases"].append(i["bases"][0]))
    put("extent-chunk-0", "R-04", "an extent in chunk 0", lambda i, m: carried(i, 1)["extents"][0].__setitem__(0, 0))
    put("extent-empty", "R-21", "an extent of no bytes", lambda i, m: carried(i, 1)["extents"][0].__setitem__(2, 0))
    put("extent-lengths", "R-21", "a raw extent with two lengths", lambda i, m: carried(i, 1)["extents"][0].__setitem__(3, 3))
    put("extent-offset", "R-21", "an extent that begins between units", lambda i, m: carried(i, 1)["extents"][0].__setitem__(1, 1537))
    put("codec", "R-22", "a codec that version 1 does not know", lambda i, m: carried(i, 1).update(codec="zstd"))
    put("codec-memory", "R-22", "raw that needs memory", lambda i, m: carried(i, 1).update(memory=1))
    put("codec-needs", "R-22", "raw that needs a blob", lambda i, m: carried(i, 1).update(needs=[OMITTED]))
    put("extents-sum", "R-23", "extents that are shorter than the blob", lambda i, m: carried(i, 2)["extents"].pop())
    put("extents-descend", "R-23", "a cut blob whose second extent stands before its first", lambda i, m: carried(
        i, 2)["extents"].reverse())
    put("extents-overflow", "R-23", "extents whose sum is 2^64 more than the size", lambda i, m: blob(
        i, "carried", 0)["place"]["carried"].update(extents=[[1, 1536, 2**33 - 1, 2**33 - 1]] * (2**3)))
    put("no-extents", "R-23", "a blob that is said to be carried, with a size and without a byte", lambda i, m: carried(
        i, 1).update(extents=[]))
    put("no-extents-size-0", "R-23", "a blob that is said to be carried, of size 0, and its digest is that of two bytes",
        lambda i, m: (blob(i, "carried", 1).update(size=0), carried(i, 1).update(extents=[])))
    put("cut-no-extents", "R-23", "a cut blob of size 0 without extents", lambda i, m: (
        blob(i, "carried", 2).update(size=0), carried(i, 2).update(extents=[])))
    put("empty-digest-with-size", "R-23", "the empty blob with a size", lambda i, m: blob(i, "carried", 0).update(size=1))
    put("empty-with-extent", "R-23", "an empty blob with an extent", lambda i, m: blob(i, "carried", 0)["place"]
        ["carried"].update(extents=[[1, 1536, 1, 1]]))
    put("overlap", "R-24", "two extents at one place", lambda i, m: carried(i, 2)["extents"][0].__setitem__(1, 1536))
    put("gap", "R-24", "bytes between two extents", lambda i, m: carried(i, 2)["extents"][0].__setitem__(1, 3072))
    put("no-chunk", "R-24", "an extent in a chunk that does not exist", lambda i, m: carried(i, 1)["extents"][0]
        .__setitem__(0, 4))
    put("blob-in-metadata", "R-24", "a blob in a metadata chunk", lambda i, m: carried(i, 1)["extents"][0]
        .__setitem__(0, 3))
    put("manifest-in-data", "R-24", "an OCI manifest in a data chunk", lambda i, m: index(i)["extent"].__setitem__(0, 2))
    put("chunk-longer", "R-24", "a data chunk longer than its extents", lambda i, m: (
        m["chunks"][1].update(length=m["chunks"][1]["length"] + 512),
        i["chunks"][1].update(decoded=i["chunks"][1]["decoded"] + 512)))
    put("extent-8-gib", "R-42", "an extent of 8 GiB", lambda i, m: (blob(i, "carried", 1).update(size=2**33), carried(
        i, 1)["extents"].__setitem__(0, [1, 1536, 2**33, 2**33])))
    put("child-and-omitted", "R-26", "a child that is carried and left out", lambda i, m: index(i)["omitted"].append(
        index(i)["children"][0]))
    put("no-blob-row", "R-26", "an OCI manifest names a blob without row", lambda i, m: i["blobs"].remove(
        blob(i, "omitted")))
    put("left-out-no-filter", "R-26", "a child that is left out, and no filter", lambda i, m: i["images"][0].update(platforms=[]))
    put("left-out-all", "R-26", "an index that leaves all its children out", lambda i, m: (
        i["images"].append(i["images"][0] | {
            "root": index(i)["children"][0], "attached": [], "cosign": "absent", "platforms": [], "tag": "1",
            "source": "z.example.com/x", "fetched_from": "z.example.com/x", "requested": "z.example.com/x:1"}),
        index(i).update(omitted=index(i)["omitted"] + index(i)["children"], children=[])))
    put("no-child-row", "R-26", "an index names a child without row", lambda i, m: index(i)["children"].append(BASE))
    put("blob-unnamed", "R-26", "a blob that no OCI manifest names", lambda i, m: i["blobs"].append(
        {"digest": "sha256:" + "f" * 64, "size": 1, "place": {"missing": {"reason": "x"}}}))
    put("manifest-unreached", "R-27", "an OCI manifest that no image reaches", lambda i, m: i["images"][0].update(
        attached=[]))
    put("root-without-row", "R-27", "an image whose root has no row", lambda i, m: i["images"][0].update(root=BASE))
    put("no-root-no-problem", "R-27", "an image without root and problem", lambda i, m: i["images"].append(
        {k: v for k, v in i["images"][0].items() if k != "root"} | {"requested": "z.example.com/x:1"}))
    put("missing-no-problem", "R-27", "an image that reaches a missing blob and has no problem", lambda i, m: missing(i))
    put("source-of-another", "R-27", "a source that is not the repository that was asked for", lambda i, m: i["images"][0]
        .update(source="z.example.com/x"))
    put("tag-of-another", "R-27", "a tag that is not the one that was asked for", lambda i, m: i["images"][0].update(tag="x"))
    put("tag-absent", "R-27", "no tag, where one was asked for", lambda i, m: i["images"][0].pop("tag"))
    put("root-of-another", "R-27", "a root that is not the digest that was asked for", lambda i, m: i["images"][0].update(
        requested=SOURCE + ":4.18@" + BASE))
    put("good-by-digest", "ok", "an image that was asked for by digest", lambda i, m: (
        i["images"][0].pop("tag"), i["images"][0].update(requested=SOURCE + "@" + i["images"][0]["root"])))
    put("good-latest", "ok", "an image that was asked for without tag and digest", lambda i, m: i["images"][0].update(
        requested=SOURCE, tag="latest"))
    put("referrer-of-another", "R-27", "a referrer whose manifest has another subject", lambda i, m: i["images"][0].update(
        cosign="absent", referrers="carried",
        attached=[{"by": "referrers", "root": i["images"][0]["attached"][0]["root"], "subject": BASE}]))
    put("good-referrer", "ok", "a referrer", lambda i, m: i["images"][0].update(
        cosign="absent", referrers="carried", attached=[referrer(i)]))
    put("referrer-with-tag", "R-27", "a referrer with a tag", lambda i, m: i["images"][0].update(
        cosign="absent", referrers="carried", attached=[referrer(i) | {"tag": i["images"][0]["attached"][0]["tag"]}]))
    put("cosign-image-tag", "R-27", "a cosign artifact with the tag of its image", lambda i, m: i["images"][0]
        ["attached"][0].update(tag="4.18"))
    put("cosign-tag-ending", "R-27", "a cosign artifact with a tag of another ending", lambda i, m: i["images"][0]
        ["attached"][0].update(tag="sha256-" + i["images"][0]["root"][7:] + ".sih"))
    put("cosign-tag-of-another", "R-27", "a cosign artifact whose tag names another subject", lambda i, m: i["images"][0]
        ["attached"][0].update(tag="sha256-" + index(i)["children"][0][7:] + ".sig"))
    put("good-cosign-child", "ok", "a cosign artifact of a child", lambda i, m: i["images"][0]["attached"][0].update(
        about(index(i)["children"][0])))
    put("good-cosign-chain", "ok", "a cosign artifact of a cosign artifact", lambda i, m: i["images"][0].update(
        attached=sorted_attached(i["images"][0]["attached"] + [i["images"][0]["attached"][0]
            | about(i["images"][0]["attached"][0]["root"], ".att")])))
    put("attached-to-itself", "R-27", "a cosign artifact of itself", lambda i, m: i["images"][0]["attached"][0].update(
        about(i["images"][0]["attached"][0]["root"])))
    put("attached-elsewhere", "R-27", "a cosign artifact of what the image does not contain", lambda i, m: i["images"][0]
        ["attached"][0].update(about(BASE)))
    put("attached-to-omitted", "R-27", "a cosign artifact of a child that is left out", lambda i, m: i["images"][0]
        ["attached"][0].update(about(LEFT_OUT)))
    put("cosign-without-tag", "R-27", "a cosign artifact without tag", lambda i, m: i["images"][0]["attached"][0].pop("tag"))
    put("attached-and-absent", "R-27", "a cosign artifact of an image that has none", lambda i, m: i["images"][0].update(
        cosign="absent"))
    put("attached-and-not-asked", "R-27", "a cosign artifact that nobody asked for", lambda i, m: i["images"][0].update(
        cosign="not-asked"))
    put("carried-and-none", "R-27", "referrers that are carried and not there", lambda i, m: i["images"][0].update(
        referrers="carried"))
    put("circle", "R-27", "OCI manifests that contain each other", lambda i, m: next(
        x for x in i["manifests"] if x["digest"] == index(i)["children"][0])["children"].append(i["images"][0]["root"]))
    put("complete-with-problem", "R-28", "complete although an image has a problem", lambda i, m: i["images"][0].update(
        problem="x"))
    put("incomplete-without-problem", "R-28", "incomplete although no image has a problem", lambda i, m: m.update(
        complete=False))
    put("chunk-row-missing", "R-29", "a chunk without row", lambda i, m: i["chunks"].pop())
    put("chunk-row-number", "R-29", "a row with another number", lambda i, m: i["chunks"][2].update(number=4))
    put("decoded-data", "R-29", "a data chunk with another decoded length", lambda i, m: i["chunks"][0].update(decoded=512))
    put("decoded-unit", "R-29", "a tar whose length is no multiple of 512", lambda i, m: i["chunks"][2].update(
        decoded=i["chunks"][2]["decoded"] + 1))
    put("stored-cap", "R-29", "a metadata chunk of more than 1 GiB", lambda i, m: m["chunks"][2].update(
        length=2**30 + 1, blocks=bytes(32 * 257)))
    put("decoded-cap-in-sum", "R-29", "two tars of more than 1 GiB together", lambda i, m: (
        second(i, m), i["chunks"][3].update(decoded=2**30)))
    put("decoded-cap", "R-29", "a tar of more than 1 GiB", lambda i, m: i["chunks"][2].update(decoded=2**30 + 512))
    put("generation-falls", "R-29", "generation 1 behind generation 2", lambda i, m: (
        second(i, m), i["chunks"][3].update(generation=1)))
    put("generation-skipped", "R-29", "generation 3 behind generation 1", lambda i, m: (
        second(i, m), i["chunks"][3].update(generation=3), m.update(generation=3)))
    put("generation-early", "R-29", "generation 2 before the metadata chunk of generation 1", lambda i, m: (
        i["chunks"][1].update(generation=2), i["chunks"][2].update(generation=2), m.update(generation=2)))
    put("generation-of-manifest", "R-29", "the manifest says a later generation", lambda i, m: m.update(generation=2))
    put("no-metadata-chunk", "R-29", "data chunks alone", lambda i, m: (
        i["chunks"].pop(), m["chunks"].pop()))
    put("omitted-other-origin", "R-25", "an omitted blob whose origin is no base", lambda i, m: blob(i, "omitted").update(
        place={"omitted": {"origin": PLAN}}))
    put("omitted-no-base", "R-25", "an omitted blob without base", lambda i, m: i.update(bases=[]))
    put("manifest-order-in-chunk", "R-46", "OCI manifests in another order in the tar", lambda i, m: swap_first(i))


def referrer(i):
    return {k: v for k, v in i["images"][0]["attached"][0].items() if k != "tag"} | {"by": "referrers"}


def about(subject, ending=".sig"):
    return {"subject": subject, "tag": "sha256-" + subject[7:] + ending}


def sorted_attached(rows):
    return sorted(rows, key=lambda row: (row["root"], row["subject"], row["by"], row["tag"]))


def swap_first(i):
    a, b = i["manifests"][:2]
    first = a["extent"][1]
    b["extent"][1] = first
    a["extent"][1] = first + -(-b["extent"][2] // 512) * 512 + 512


def rows(good_manifest, good):
    """An inventory whose blob rows do not follow from an OCI manifest's bytes: the chunks and a document."""

    def put(name, expect, comment, change, img=None):
        value = copy.deepcopy(good)
        for b in value["blobs"]:
            change(b)
        document = img or documents()[0]
        vector(f"row/{name}.txt", "row", expect, comment, inventory=cbor(value), document=document)

    def of(bytes_of_it, **more):
        def change(b):
            if b["size"] == bytes_of_it:
                b.update(more)

        return change

    put("good", "ok", "what the document says", lambda b: None)
    put("size-carried", "R-26", "a carried blob with another size than its descriptor's", of(2, size=3))
    put("size-omitted", "R-26", "an omitted blob with another size", of(7, size=8))
    put("size-foreign", "R-26", "a foreign blob with another size", of(9, size=8))
    put("size-missing", "R-26", "a missing blob with another size", of(9, size=8, place={"missing": {"reason": "x"}}))
    put("good-missing", "ok", "a missing blob", of(9, place={"missing": {"reason": "x"}}))
    put("foreign-layer", "R-26", "an ordinary layer that is said to be foreign", of(1500, place={"foreign": {"urls": []}}))
    put("foreign-config", "R-26", "a config that is said to be foreign", of(2, place={"foreign": {"urls": []}}))
    put("foreign-no-urls", "R-26", "a foreign layer without the document's URLs", of(9, place={"foreign": {"urls": []}}))
    put("foreign-other-urls", "R-26", "a foreign layer with other URLs", of(9, place={"foreign": {
        "urls": ["https://example.org/"]}}))

    def put_child(name, expect, comment, change):
        value = copy.deepcopy(good)
        change(next(m for m in value["manifests"] if m["digest"] == sha256(documents()[0])))
        vector(f"row/{name}.txt", "row", expect, comment, inventory=cbor(value), document=documents()[1])

    put_child("good-child", "ok", "what an index says of its child", lambda m: None)
    put_child("child-size", "R-26", "a child that is longer than the index says", lambda m: m["extent"].__setitem__(
        slice(2, 4), [m["extent"][2] + 1] * 2))

    def put_filter(name, expect, comment, platforms, platform="arm64"):
        value, document = copy.deepcopy(good), index_of(documents()[0], platform)
        was = sha256(documents()[1])
        next(m for m in value["manifests"] if m["digest"] == was).update(digest=sha256(document))
        value["manifests"].sort(key=lambda m: m["digest"])
        value["images"][0].update(platforms=platforms, root=sha256(document))
        vector(f"row/{name}.txt", "row", expect, comment, inventory=cbor(value), document=document)

    put_filter("good-filter", "ok", "a child that the filter does not select", ["linux/amd64", "windows/arm64"])
    put_filter("filter-selects", "R-26", "a child that is left out and that the filter selects", ["linux/amd64", "linux/arm64"])
    put_filter("filter-no-platform", "R-26", "a child without a platform that is left out", ["linux/amd64"], None)
    put_child("child-type", "R-26", "a child of another type than the index says", lambda m: m.update(
        media_type=INDEX))
    oci_documents(good)


def oci_documents(good):
    """How an OCI manifest is read (R-26): the row of the image, or of the index, gets other bytes."""
    img, idx = (text.decode() for text in documents())

    def put(name, expect, comment, text, was=img):
        value, data = copy.deepcopy(good), text if isinstance(text, bytes) else text.encode()
        assert data != was.encode(), name
        row = next(m for m in value["manifests"] if m["digest"] == sha256(was.encode()))
        row.update(digest=sha256(data))
        row["extent"][2:] = [len(data)] * 2
        value["manifests"].sort(key=lambda m: m["digest"])
        vector(f"row/{name}.txt", "row", expect, comment, inventory=cbor(value), document=data)

    def key(name, expect, comment, more, was=img):
        put(name, expect, comment, "{" + more + "," + was[1:], was)

    def first(name, expect, comment, old, new, was=img):
        assert old in was, old
        put(name, expect, comment, was.replace(old, new, 1), was)

    put("good-white-space", "ok", "white space between tokens", img.replace(",", ",\n\t "))
    key("good-other-keys", "ok", "a key that does not matter, twice", '"x":1,"x":2')
    key("good-null-subject", "ok", "a subject that is null", '"subject":null')
    first("good-no-type", "ok", "no media type, and schema version 2", f'"mediaType":"{OCI}",', "")
    first("good-empty-type", "ok", "an empty media type, and schema version 2", f'"mediaType":"{OCI}"', '"mediaType":""')
    put("document-array", "R-26", "an array", "[" + img + "]")
    put("document-behind", "R-26", "a character behind the object", img + "x")
    put("document-comment", "R-26", "a comment", "/* x */" + img)
    put("document-bom", "R-26", "a byte order mark", "\ufeff" + img)
    put("document-not-utf8", "R-26", "a byte that is no UTF-8 in a text", b'{"x":"\xff",' + img.encode()[1:])
    key("document-surrogate", "R-26", "half a pair of surrogates in a key", '"\\ud800":1')
    key("document-nan", "R-26", "a number that JSON does not have", '"x":NaN')
    key("good-nested-512", "ok", "512 levels", '"x":' + "[" * 511 + "1" + "]" * 511)
    key("nested-513", "R-26", "513 levels", '"x":' + "[" * 512 + "1" + "]" * 512)
    key("good-nested-in-text", "ok", "brackets in a text", '"x":"' + "[" * 600 + '\\""')
    for name in ("schemaVersion", "mediaType", "config", "layers"):
        value = {"schemaVersion": "2", "mediaType": f'"{OCI}"', "config": "null", "layers": "[]"}[name]
        key(f"{name.lower()}-twice", "R-26", f"`{name}` twice", f'"{name}":{value}')
        key(f"{name.lower()}-other-case", "R-26", f"`{name}` in another case as well", f'"{name.upper()}":{value}')
    key("subject-other-case", "R-26", "`subject` with U+017F for its s", '"\\u017fubject":null')
    key("artifact-type-twice", "R-26", "`artifactType` twice", '"artifactType":"a/b","artifactType":"a/b"')
    key("manifests-in-image", "R-26", "`manifests` in an image", '"manifests":[]')
    key("fs-layers", "R-26", "`fsLayers` in an image", '"fsLayers":[]')
    key("signatures-other-case", "R-26", "`signatures` in another case", '"Signatures":[]')
    first("schema-1", "R-26", "schema version 1", '"schemaVersion":2', '"schemaVersion":1')
    first("type-other", "R-26", "another media type than the row's", OCI, "application/vnd.docker.distribution.manifest.v2+json")
    first("type-unknown", "R-26", "a media type that is none of the four", OCI, "application/json")
    first("no-version-no-type", "R-26", "neither media type nor schema version", f'"schemaVersion":2,"mediaType":"{OCI}",', "")
    first("layers-object", "R-26", "layers that are no array", '"layers":[', '"layers":{},"x":[')
    first("layers-absent", "R-26", "no layers", '"layers":[', '"x":[')
    first("config-absent", "R-26", "no config", '"config":', '"x":')
    first("descriptor-digest-absent", "R-26", "a descriptor without digest", '"digest":', '"x":')
    first("descriptor-sha512", "R-26", "a digest of another algorithm", f'"{sha256(b"{}")}"', '"sha512:' + "0" * 128 + '"')
    first("descriptor-size-absent", "R-26", "a descriptor without size", '"size":2', '"x":2')
    first("descriptor-size-negative", "R-26", "a negative size", '"size":2', '"size":-2')
    first("descriptor-size-text", "R-26", "a size that is a text", '"size":2', '"size":"2"')
    first("descriptor-size-fraction", "R-26", "a size with a fraction", '"size":2', '"size":2.0')
    first("descriptor-type-absent", "R-26", "a descriptor without media type", '"config":{"mediaType":', '"config":{"x":')
    first("descriptor-type-empty", "R-26", "an empty media type of a descriptor", LAYER, "")
    first("descriptor-type-256", "R-26", "a media type of 256 characters", LAYER, "a" * 256)
    first("descriptor-type-control", "R-26", "a control character in a media type", LAYER, "a/\\u0007b")
    first("descriptor-twice", "R-26", "a descriptor's digest twice", '"config":{', f'"config":{{"digest":"{OMITTED}",')
    first("descriptor-other-case", "R-26", "a descriptor's size in another case", '"config":{', '"config":{"SIZE":3,')
    first("urls-text", "R-26", "`urls` that is a text", f'"urls":["{URL}"]', f'"urls":"{URL}"')
    first("urls-bidi", "R-26", "an override of writing direction in a URL", URL, URL + "\\u202e")
    first("config-of-another", "R-26", "a config that the row does not name", sha256(b"{}"), BASE)

    def in_index(name, expect, comment, old, new):
        first(name, expect, comment, old, new, was=idx)

    in_index("index-config", "R-26", "`config` in an index", "{", '{"config":null,')
    in_index("index-layers", "R-26", "`layers` in an index", "{", '{"layers":[],')
    in_index("platform-twice", "R-26", "the os of a platform twice", '"os":"linux"', '"os":"linux","os":"windows"')
    in_index("platform-other-case", "R-26", "the os of a platform in another case", '"os":', '"OS":')
    in_index("annotations-twice", "R-26", "annotations twice", '"size":1', '"size":1,"annotations":{},"annotations":{}')
    about = f'"vnd.docker.reference.digest":"{sha256(documents()[0])}"'
    in_index("described-twice", "R-26", "the annotation that names the described child twice", '"size":1',
        f'"size":1,"annotations":{{{about},{about}}}')
    in_index("described-is-carried", "R-26", "a child is left out that describes one which the filter selects",
        '"size":1', f'"size":1,"annotations":{{{about}}}')


def documents():
    config, cut, empty = b"{}", bytes(i % 256 for i in range(1500)), b""
    img = image(sha256(config), [(sha256(cut), 1500), (sha256(empty), 0), (OMITTED, 7), (FOREIGN, 9)])
    return [img, index_of(img)]


def statements(manifest):
    text = statement_text(manifest, b"sums", "0a" * 32).decode()

    def put(name, expect, comment, data):
        data = data if isinstance(data, bytes) else data.encode()
        vector(f"statement/{name}.txt", "statement", expect, comment, statement=data)

    def swap(old, new):
        assert old in text, old
        return text.replace(old, new, 1)

    put("good", "ok", "a statement", text)
    put("good-all", "ok", "every optional line", swap("generation", "lineage: x\nsequence: 0\ngeneration").replace(
        "comment", f"expires: 2027-01-01T00:00:00Z\nreport-sha256: {'0' * 64}\ncomment"))
    plan = text.replace("airferry-bundle", "airferry-plan").replace("manifest-", "plan-")
    plan = "".join(line for line in plan.splitlines(True) if not line.startswith(("sums", "generation", "complete")))
    put("good-plan", "ok", "a statement on a plan", plan)
    put("empty", "R-50", "no bytes", "")
    put("type", "R-50", "an unknown type", swap("bundle-v1", "bundle-v2"))
    put("plan-with-manifest", "R-50", "a plan's statement with a bundle's lines", swap("airferry-bundle", "airferry-plan"))
    put("crlf", "R-50", "lines that end with CR LF", text.replace("\n", "\r\n"))
    put("no-last-lf", "R-50", "no LF at the end", text[:-1])
    put("blank-line", "R-50", "an empty line at the end", text + "\n")
    put("bom", "R-50", "a byte order mark", "\ufeff" + text)
    put("not-utf8", "R-50", "a byte that is no UTF-8", text.encode().replace(b"A test", b"\xff test"))
    put("bidi", "R-50", "an override of writing direction", swap("A test", "A\u202etest"))
    put("nul", "R-50", "a zero byte", swap("A test", "A\0test"))
    put("duplicate", "R-50", "a line twice", swap("role: exporter\n", "role: exporter\n" * 2))
    put("absent", "R-50", "a line that must be there is not", swap("verdict: approve\n", ""))
    put("order", "R-50", "two lines in another order", swap(
        "role: exporter\nverdict: approve\n", "verdict: approve\nrole: exporter\n"))
    put("unknown", "R-50", "an unknown line", text + "note: x\n")
    put("no-space", "R-50", "no space behind the colon", swap("role: ", "role:"))
    put("two-spaces", "R-50", "two spaces behind the colon", swap("comment: A", "comment:  A"))
    put("empty-value", "R-50", "an empty value", swap("A test vector", ""))
    put("leading-zero", "R-50", "a number with a leading zero", swap("generation: 1", "generation: 01"))
    put("generation-0", "R-50", "generation 0", swap("generation: 1", "generation: 0"))
    put("number-2-64", "R-50", "a number of 2^64", swap("generation: 1", f"generation: {2**64}"))
    put("format-2", "R-50", "another format", swap("format: 1", "format: 2"))
    put("algorithm", "R-50", "another algorithm", swap("ed25519", "ed448"))
    put("upper-case", "R-50", "a fingerprint in upper case", swap("0a" * 32, "0A" * 32))
    put("prefixed-digest", "R-50", "a digest with its algorithm", swap("sums-sha256: ", "sums-sha256: sha256:"))
    put("complete", "R-50", "neither yes nor no", swap("complete: yes", "complete: true"))
    put("verdict", "R-50", "another verdict", swap("approve", "approved"))
    put("role", "R-50", "a role that begins with a digit", swap("exporter", "1exporter"))
    put("sequence-alone", "R-50", "a sequence without lineage", swap("generation", "sequence: 1\ngeneration"))
    put("time-zone", "R-50", "a time with an offset", swap("17:00:00Z", "17:00:00+00:00"))
    put("time-fraction", "R-50", "a time with a fraction", swap("17:00:00Z", "17:00:00.0Z"))
    put("time-leap", "R-50", "a leap second", swap("17:00:00Z", "23:59:60Z"))
    put("time-day", "R-50", "a day that does not exist", swap("2026-11-22", "2026-11-31"))
    put("time-case", "R-50", "a time in lower case", swap("T17:00:00Z", "t17:00:00z"))
    put("too-long", "R-50", "more than 16384 bytes", swap("A test vector", "x" * 16384))


def signatures():
    message = b"airferry"
    seed = bytes(range(32))
    key, good = sign(seed, message)
    a, _ = secret(seed)
    identity = enc((0, 1))
    # A point of order 8: any point times L has an order that divides 8.
    y = 2
    while True:
        point = recover(y, 0)
        if point and mul(4, mul(L, point)) != (0, 1):
            eight = mul(L, point)
            break
        y += 1

    def put(name, expect, comment, key, signature, message=message):
        vector(f"signature/{name}.txt", "signature", expect, comment, key=key, message=message, signature=signature)

    put("good", "ok", "a signature", key, good)
    put("good-empty", "ok", "a signature of nothing", key, sign(seed, b"")[1], b"")
    put("other-message", "R-51", "a signature of something else", key, good, b"Airferry")
    put("short", "R-51", "63 bytes", key, good[:63])
    put("long", "R-51", "65 bytes", key, good + b"\0")
    s = int.from_bytes(good[32:], "little")
    put("s-plus-l", "R-51", "S + L instead of S", key, good[:32] + (s + L).to_bytes(32, "little"))
    put("zero", "R-51", "64 zero bytes", key, bytes(64))
    put("key-identity", "R-51", "the key is the identity: every message verifies without multiplying out",
        identity, identity + bytes(32))
    put("key-order-8", "R-51", "a key of order 8", enc(eight), identity + bytes(32))
    put("key-not-reduced", "R-51", "the identity as a key, with p + 1 for 1", (P + 1).to_bytes(32, "little"),
        identity + bytes(32))
    put("key-minus-zero", "R-51", "the identity as a key, with a sign", (1 | 1 << 255).to_bytes(32, "little"),
        identity + bytes(32))
    put("key-other-form", "R-51", "a key of large order whose y is written as y + p", (P + 3).to_bytes(32, "little"), good)
    put("key-no-point", "R-51", "a key that is no point", next(
        y.to_bytes(32, "little") for y in range(2, 99) if recover(y, 0) is None), good)

    def with_r(big_r):
        k = h(big_r, key, message)
        return big_r + (k * a % L).to_bytes(32, "little")

    put("r-identity", "R-51", "R is the identity; the equation holds", key, with_r(identity))
    put("r-identity-not-reduced", "R-51", "R is the identity with p + 1 for 1", key,
        with_r((P + 1).to_bytes(32, "little")))
    put("r-order-8", "R-51", "R has order 8; the equation holds times 8", key, with_r(enc(eight)))
    put("r-no-point", "R-51", "R is no point", key, next(
        y.to_bytes(32, "little") for y in range(2, 99) if recover(y, 0) is None) + good[32:])

    # A key with a part of order 8: A = [a]B + T. Signatures hold times 8 always, and without
    # multiplying exactly when k, reduced modulo L, is a multiple of 8.
    mixed = add(mul(a, B), eight)
    found = {}
    counter = 0
    while len(found) < 2:
        r = h(b"r", counter.to_bytes(4, "little")) % L
        big_r = enc(mul(r, B))
        k = h(big_r, enc(mixed), message) % L
        found.setdefault(k % 8 == 0, big_r + ((r + k * a) % L).to_bytes(32, "little"))
        counter += 1
    put("mixed-key-cofactor", "R-51", "a key with a part of order 8; the equation holds times 8 alone",
        enc(mixed), found[False])
    put("mixed-key", "ok", "a key with a part of order 8; the equation holds", enc(mixed), found[True])
    k_torsion = enc(add(mul(h(b"r") % L, B), eight))
    k = h(k_torsion, key, message)
    put("mixed-r", "R-51", "R with a part of order 8; the equation holds times 8 alone", key,
        k_torsion + ((h(b"r") + k * a) % L).to_bytes(32, "little"))


def main():
    shutil.rmtree(ROOT, ignore_errors=True)
    manifest, inventory, chunks = build()
    whole(manifest, inventory, chunks)
    manifests(manifest)
    inventories(manifest, inventory)
    rows(manifest, inventory)
    statements(manifest)
    signatures()
    # It imports this file, which is not a module of that name yet.
    import make_bundle_vectors

    make_bundle_vectors.write(manifest, inventory, chunks)


if __name__ == "__main__":
    main()
