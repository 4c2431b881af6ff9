"""Writes tests/vectors/bundle/bundle: whole bundles with one fault each, in files or in bytes of chunks.

scripts/make_vectors.py runs it. A vector of the kind `bundle` says how a bundle differs from
tests/vectors/bundle/whole: besides `kind:`, `expect:` (a rule, or a step of section 10) and `comment:` its head has `code:` (the exit code
of `airferry verify --trust`, bundle-format.md, 10.1), `blames:` (the file that a finding must name, or `-`)
and `without:` (files that are not there, separated by spaces, or `-`). Its sections are files that are added
or replaced. Everything but the fault is right: documents and statement are made again with it.
"""

import copy
import subprocess

from make_vectors import (
    BASE, PLAN, ROOT, SOURCE, cbor, chunk_row, compress, entry, file, header, label, marker, pad, sha256, sign, spki,
    statement_text, vector,
)  # fmt: skip

SEED, OTHER_SEED = bytes([7] * 32), bytes([8] * 32)
ONE, TWO, THREE = "chunks/000001.tar", "chunks/000002.tar", "chunks/000003.tar.zst"
DOCUMENTS = ("manifest.cbor", "inventory.cbor", "SHA256SUMS", "LABEL.txt")


def tar_of(chunk):
    return subprocess.run(["zstd", "-q", "-d", "-c", "-"], input=chunk, stdout=subprocess.PIPE, check=True).stdout


class Bundle:
    """A small bundle as values; seal() turns it into files."""

    def __init__(self, manifest, inventory, chunks):
        self.manifest, self.inventory = copy.deepcopy(manifest), copy.deepcopy(inventory)
        self.one, self.two = chunks["000001.tar"], chunks["000002.tar"]
        self.three, self.tar = chunks["000003.tar.zst"], tar_of(chunks["000003.tar.zst"])
        self.role, self.verdict, self.expires = "exporter", "approve", None

    def seal(self, change=None):
        """All files. `change` is given the statement's text and returns the one to sign."""
        chunks = [(1, "data", self.one), (2, "data", self.two), (3, "metadata", self.three)]
        self.manifest["chunks"] = [chunk_row(*chunk) for chunk in chunks]
        for row, tar in zip(self.inventory["chunks"], (self.one, self.two, self.tar)):
            row["decoded"] = len(tar)
        self.manifest["chunk_limit"] = max(len(self.one), len(self.two))
        inventory = cbor(self.inventory)
        self.manifest["inventory"] = entry(inventory)
        data = cbor(self.manifest)
        files = {"LABEL.txt": label(self.manifest, data), "inventory.cbor": inventory, "manifest.cbor": data}
        files |= {ONE: self.one, TWO: self.two, THREE: self.three}
        files["SHA256SUMS"] = "".join(f"{sha256(c)[7:]}  {name}\n" for name, c in files.items()).encode()
        files |= self.statement(files["SHA256SUMS"], change)
        return files

    def statement(self, sums, change=None, seed=SEED, number=1):
        key = sha256(spki(sign(seed, b"")[0]))[7:]
        text = statement_text(self.manifest, sums, key).decode()
        text = (change or (lambda text: text))(text).encode()
        stem = f"signatures/{sha256(cbor(self.manifest))[7:23]}-{key[:16]}-{number:02}"
        return {stem + ".statement": text, stem + ".sig": sign(seed, text)[1]}

    def set_tar(self, tar):
        self.tar, self.three = tar, compress(tar)

    def entries(self):
        """The metadata chunk's entries behind the marker, (header, data) each, extended headers with theirs."""
        found, at, begin = [], 0, 0
        while self.tar[at : at + 512] != bytes(512):
            size, kind = int(self.tar[at + 124 : at + 135], 8), self.tar[at + 156 : at + 157]
            at += 512 + -(-size // 512) * 512
            if kind != b"x":
                found.append(self.tar[begin:at])
                begin = at
        return found

    def set_entries(self, entries):
        self.set_tar(b"".join(entries) + bytes(1024))


def edit(data, at, new):
    return data[:at] + new + data[at + len(new) :]


def checked(header_bytes, at, new):
    """A header with a field changed and its checksum right."""
    block = edit(edit(header_bytes, at, new), 148, b" " * 8)
    return edit(block, 148, f"{sum(block):06o}\0 ".encode())


def frame(tar, descriptor, window=b"", dictionary=b"", size=None, raw=None):
    """A zstd frame of raw blocks (RFC 8878, 3.1.1), with the header that is given."""
    out = (0xFD2FB528).to_bytes(4, "little") + bytes([descriptor]) + window + dictionary
    if size is not None:
        out += size.to_bytes(4, "little")
    blocks = [tar[i : i + 100_000] for i in range(0, len(tar), 100_000)] if raw is None else raw
    for number, block in enumerate(blocks):
        last = number == len(blocks) - 1
        out += (len(block) << 3 | last).to_bytes(3, "little") + block
    return out


def write(manifest, inventory, chunks):
    good = Bundle(manifest, inventory, chunks).seal()
    for name, data in good.items():
        assert (ROOT / "whole" / name).read_bytes() == data, name

    def save(name, expect, code, blames, comment, files):
        changed = {path: data for path, data in files.items() if good.get(path) != data}
        without = " ".join(sorted(set(good) - set(files))) or "-"
        path = f"bundle/{name}.txt"
        vector(path, "bundle", expect, comment, head={"code": code, "blames": blames, "without": without}, **changed)

    def put(name, expect, blames, comment, change, code=4):
        """A fault in the values: everything that follows from them is made with it."""
        bundle = Bundle(manifest, inventory, chunks)
        change(bundle)
        save(name, expect, code, blames, comment, bundle.seal())

    def put_files(name, expect, blames, comment, change, code=4):
        """A fault in the files of a bundle that was right."""
        files = dict(good)
        change(files)
        save(name, expect, code, blames, comment, files)

    def put_statement(name, expect, comment, change, code=4):
        files = Bundle(manifest, inventory, chunks).seal(change)
        save(name, expect, code, "-", comment, files)

    file_faults(put_files)
    data_chunks(put)
    frames(put)
    metadata_chunks(put)
    statements(put_statement, put_files, Bundle(manifest, inventory, chunks), good)


def file_faults(put):
    put("good", "ok", "-", "the whole bundle", lambda f: None, code=0)
    for name in ("LABEL.txt", "SHA256SUMS", "inventory.cbor", "manifest.cbor", ONE, THREE):
        short = name.rpartition("/")[2].split(".")[0].lower()
        put(f"absent-{short}", "R-01", name, f"{name} is not there", lambda f, name=name: f.pop(name))
    put("good-foreign", "ok", "notes.txt", "a foreign file, which changes no result", lambda f: f.update(
        {"notes.txt": b"x"}), code=0)
    put("good-case-twin", "ok", "Manifest.cbor", "a file whose name differs in case, which is foreign", lambda f: f.update(
        {"Manifest.cbor": f["manifest.cbor"]}), code=0)
    put("other-case", "R-01", "LABEL.txt", "a file under its name in another case", lambda f: f.update(
        {"label.txt": f.pop("LABEL.txt")}))
    put("chunk-other-name", "R-01", ONE, "a chunk under the name of another number", lambda f: f.update(
        {"chunks/000007.tar": f.pop(ONE)}))
    put("sums-other-hash", "R-07", "SHA256SUMS", "a digit changed in SHA256SUMS", lambda f: f.update(
        {"SHA256SUMS": edit(f["SHA256SUMS"], 0, b"0" if f["SHA256SUMS"][:1] != b"0" else b"1")}))
    put("sums-order", "R-07", "SHA256SUMS", "lines of SHA256SUMS in another order", lambda f: f.update(
        {"SHA256SUMS": b"".join(reversed(f["SHA256SUMS"].splitlines(True)))}))
    put("sums-line-more", "R-07", "SHA256SUMS", "a line more in SHA256SUMS", lambda f: f.update(
        {"SHA256SUMS": f["SHA256SUMS"] + b"0" * 64 + b"  notes.txt\n"}))
    put("label-title", "R-08", "LABEL.txt", "another title in LABEL.txt", lambda f: f.update(
        {"LABEL.txt": f["LABEL.txt"].replace(b"A small bundle", b"A large bundle")}))
    put("label-crlf", "R-08", "LABEL.txt", "LABEL.txt with lines that end with CR LF", lambda f: f.update(
        {"LABEL.txt": f["LABEL.txt"].replace(b"\n", b"\r\n")}))
    put("inventory-bit", "R-20", "inventory.cbor", "a bit of inventory.cbor changed", lambda f: f.update(
        {"inventory.cbor": edit(f["inventory.cbor"], 40, bytes([f["inventory.cbor"][40] ^ 1]))}))
    put("inventory-longer", "R-20", "inventory.cbor", "a byte behind the inventory", lambda f: f.update(
        {"inventory.cbor": f["inventory.cbor"] + b"\0"}))
    put("blob-bit", "10.8", ONE, "a bit of a blob changed", lambda f: f.update({ONE: edit(f[ONE], 1536, b"|")}))
    put("chunk-cut", "10.6", ONE, "a chunk without its last 512 bytes", lambda f: f.update({ONE: f[ONE][:-512]}))
    put("chunks-swapped", "10.6", ONE, "two chunks under each other's name", lambda f: f.update({ONE: f[TWO], TWO: f[ONE]}))
    put("unfinished", "R-60", "export.plan", "the plan of an export that was not finished", lambda f: f.update(
        {"export.plan": b"x"}), code=5)


def data_chunks(put):
    def one(name, expect, comment, change):
        def apply(bundle):
            bundle.one = change(bundle.one)

        put(name, expect, ONE, comment, apply)

    one("data-padding", "R-40", "a byte behind a blob is not zero", lambda c: edit(c, 1600, b"x"))
    one("data-end", "R-40", "a byte of the last 1024 is not zero", lambda c: edit(c, len(c) - 1, b"x"))
    fields = [
        ("mode", 100, b"0000600\0"), ("uid", 108, b"0000001\0"), ("gid", 116, b"0000001\0"), ("mtime", 136, b"00000000001\0"),
        ("size-spaces", 124, b"          2\0"), ("typeflag-zero", 156, b"\0"), ("link-name", 157, b"x"), ("magic", 257, b"ustar  \0"),
        ("user", 265, b"root"), ("group", 297, b"root"), ("device", 329, b"0000001\0"), ("prefix", 345, b"x"),
        ("padding", 511, b"x"), ("behind-name", 99, b"x"),
    ]  # fmt: skip
    for name, at, new in fields:
        one(f"header-{name}", "R-41", f"a header's {name.replace('-', ' ')}", lambda c, at=at, new=new: edit(
            c, 1024, checked(c[1024:1536], at, new)))
    one("header-checksum", "R-41", "a header's checksum in another form", lambda c: edit(c, 1024 + 148, c[1172:1178] + b" \0"))
    one("marker-chunk", "R-43", "the marker of another chunk", lambda c: marker(PLAN, 2) + c[1024:])
    one("marker-plan", "R-43", "the marker of another plan", lambda c: marker(BASE, 1) + c[1024:])
    one("marker-crlf", "R-43", "a marker whose lines end with CR LF", lambda c: edit(c, 512, c[512:1024].replace(
        b"\n", b"\r\n")[:512]))
    one("entry-other-digest", "R-44", "an entry with the name of another blob", lambda c: edit(c, 1024, header(
        "v2/blobs/sha256-" + "0" * 64, "0", 2)))
    one("entry-part-on-whole", "R-44", "a part's name for a blob that was not cut", lambda c: edit(c, 1024, header(
        "v2/blobs/sha256-" + sha256(b"{}")[7:] + ".0001", "0", 2)))
    one("entry-part-number", "R-44", "another number of a part", lambda c: edit(c, 2048, header(
        c[2048:2148].rstrip(b"\0").decode()[:-1] + "2", "0", 1000)))


def frames(put):
    def frame_fault(name, comment, change):
        def apply(bundle):
            bundle.three = change(bundle.tar, bundle.three)

        put(name, "R-45", THREE, comment, apply)

    size = 0x80  # a content size of four bytes
    window = bytes([10 << 3])  # 1 MiB
    frame_fault("frame-window", "a window of 16 MiB", lambda t, c: frame(t, size, bytes([14 << 3]), size=len(t)))
    frame_fault("frame-dictionary", "a dictionary id", lambda t, c: frame(t, size | 1, window, b"\1", len(t)))
    frame_fault("frame-dictionary-zero", "a dictionary id of 0", lambda t, c: frame(t, size | 1, window, b"\0", len(t)))
    frame_fault("frame-unused-bit", "the unused bit is set", lambda t, c: frame(t, size | 0x10, window, size=len(t)))
    frame_fault("frame-no-size", "no content size", lambda t, c: frame(t, 0, window))
    frame_fault("frame-size-less", "a content size that is too small", lambda t, c: frame(t, size, window, size=len(t) - 512))
    frame_fault("frame-size-more", "a content size that is too large", lambda t, c: frame(t, size, window, size=len(t) + 512))
    frame_fault("frame-two", "two frames", lambda t, c: frame(t[:1024], size, window, size=1024)
        + frame(t[1024:], size, window, size=len(t) - 1024))
    frame_fault("frame-skippable-behind", "a skippable frame behind the frame", lambda t, c: c + bytes.fromhex("502a4d18 01000000 78"))
    frame_fault("frame-skippable-before", "a skippable frame before the frame", lambda t, c: bytes.fromhex("502a4d18 01000000 78") + c)
    frame_fault("frame-behind", "a zero byte behind the frame", lambda t, c: c + b"\0")
    frame_fault("frame-none", "a tar that is not compressed", lambda t, c: t)

    def raw(bundle):
        bundle.three = frame(bundle.tar, size, window, size=len(bundle.tar))

    put("good-frame-raw", "ok", "-", "a frame of raw blocks", raw, code=0)


def metadata_chunks(put):
    def entries(name, expect, comment, change, blames=THREE):
        def apply(bundle):
            found = bundle.entries()
            change(found)
            bundle.set_entries(found)

        put(name, expect, blames, comment, apply)

    def index_of(found, path):
        return next(i for i, e in enumerate(found) if path in e)

    def rename(found, path, old, new):
        """The same entry, a text in its path or link name replaced by one of the same length."""
        at = index_of(found, path)
        found[at] = found[at].replace(old, new)
        for start in range(0, len(found[at]), 512):
            if found[at][start + 257 : start + 262] == b"ustar":
                found[at] = edit(found[at], start, checked(found[at][start : start + 512], 0, b""))

    def move(found, path, where):
        found.insert(where, found.pop(index_of(found, path)))

    def other_order(bundle):
        bundle.set_tar(bundle.tar.replace(b" path=", b" PATH=", 1))

    put("pax-key", "R-42", THREE, "an extended header with another key", other_order)
    entries("pax-needless", "R-42", "an extended header for a path of less than 100 bytes", lambda f: f.__setitem__(
        1, header("pax", "x", 16) + pad(b"16 path=v2/blobs"[:15] + b"\n") + f[1]))
    entries("metadata-padding", "R-40", "a byte behind an OCI manifest is not zero", lambda f: f.__setitem__(
        1, f[1][:-1] + b"x"))
    entries("metadata-marker", "R-43", "the marker of another chunk", lambda f: f.__setitem__(0, marker(PLAN, 1)))
    entries("join-absent", "R-46", "the join file is not there", lambda f: f.pop(index_of(f, b"airferry/join")))
    entries("join-behind", "R-46", "the join file behind the names", lambda f: move(f, b"airferry/join", len(f)))
    entries("join-line-more", "R-48", "a line more in the join file", lambda f: f.__setitem__(
        index_of(f, b"airferry/join"), file("airferry/join-000003.txt", join_text(f, index_of) + b"rm x\n")))
    entries("join-parts", "R-48", "parts in another order in the join file", lambda f: f.__setitem__(
        index_of(f, b"airferry/join"), file("airferry/join-000003.txt", join_text(f, index_of).replace(
            b".0001 ", b".0003 ").replace(b".0002 ", b".0001 ").replace(b".0003 ", b".0002 "))))
    tag = f"v2/{SOURCE}/manifests/4.18".encode()
    entries("names-order", "R-47", "names in another order", lambda f: move(f, tag, len(f)))
    entries("name-twice", "R-47", "a name twice", lambda f: f.append(f[-1]))
    entries("name-with-data", "R-47", "a tag with data", lambda f: f.__setitem__(
        index_of(f, tag), header(tag.decode(), "0", 1) + pad(b"x")))
    entries("tag-hard-link", "R-47", "a tag that is a hard link", lambda f: f.__setitem__(
        index_of(f, tag), header(tag.decode(), "1", 0, sha256(b""))))
    entries("name-absent", "R-48", "a name that the inventory implies is not there", lambda f: f.pop(), "-")
    entries("tag-other-root", "R-48", "a tag that points to another digest", lambda f: f.__setitem__(
        index_of(f, tag), header(tag.decode(), "2", 0, "sha256:" + "0" * 64)))
    entries("tag-not-implied", "R-48", "a tag that no image has", lambda f: f.append(
        header(f"v2/{SOURCE}/manifests/z", "2", 0, "sha256:" + "0" * 64)))
    entries("name-outside", "R-48", "a name outside of all repositories", lambda f: f.append(
        header("v3/x", "2", 0, "/etc/passwd")))
    entries("document-bit", "10.7", "a byte of an OCI manifest changed", lambda f: f.__setitem__(
        1, f[1].replace(b"schemaVersion", b"schemaversion")), "-")


def join_text(found, index_of):
    entry_bytes = found[index_of(found, b"airferry/join")]
    return entry_bytes[512:].rstrip(b"\0")


def statements(put, put_files, bundle, good):
    sums = good["SHA256SUMS"]
    statement = next(name for name in good if name.endswith(".statement"))
    signature = statement[: -len("statement")] + "sig"

    def swap(old, new):
        def change(text):
            assert old in text, old
            return text.replace(old, new, 1)

        return change

    put("statement-manifest-length", "R-53", "a statement on a manifest of another length", lambda t: t.replace(
        "manifest-length: ", "manifest-length: 1"))
    put("statement-manifest-blake3", "R-53", "a statement with another BLAKE3 of the manifest", lambda t: "".join(
        "manifest-blake3: " + "0" * 64 + "\n" if line.startswith("manifest-blake3") else line for line in t.splitlines(True)))
    put("statement-other-key", "R-53", "a statement that names another key", lambda t: "".join(
        "key: " + "0" * 64 + "\n" if line.startswith("key:") else line for line in t.splitlines(True)))
    put("statement-generation", "R-53", "a statement on another generation", swap("generation: 1", "generation: 2"))
    put("statement-incomplete", "R-53", "a statement on an incomplete bundle", swap("complete: yes", "complete: no"))
    put("statement-sums", "R-53", "a statement on other sums", lambda t: "".join(
        "sums-sha256: " + "0" * 64 + "\n" if line.startswith("sums") else line for line in t.splitlines(True)))
    put("statement-plan", "R-53", "a statement of another type", lambda t: "".join(
        line for line in t.replace("airferry-bundle-v1", "airferry-plan-v1").replace("manifest-", "plan-").splitlines(True)
        if not line.startswith(("sums", "generation", "complete"))))
    put("statement-reject", "R-53", "a statement that rejects the bundle", swap("approve", "reject"))
    put("statement-expired", "R-54", "a statement that has expired", swap(
        "comment:", "expires: 2026-11-23T00:00:00Z\ncomment:"), code=3)
    put("statement-reviewer", "R-54", "a reviewer's statement alone", swap("role: exporter", "role: reviewer"), code=3)
    put_files("signature-bit", "R-53", "-", "a bit of the signature changed", lambda f: f.update(
        {signature: edit(f[signature], 0, bytes([f[signature][0] ^ 1]))}))
    put_files("signature-65", "R-53", "-", "a signature of 65 bytes", lambda f: f.update({signature: f[signature] + b"\0"}))
    put_files("signature-absent", "R-54", "-", "a statement without its signature", lambda f: f.pop(signature), code=3)
    put_files("unsigned", "R-54", "-", "no statement", lambda f: (f.pop(statement), f.pop(signature)), code=3)

    def another(files):
        files.pop(statement), files.pop(signature)
        files.update(bundle.statement(sums, seed=OTHER_SEED))

    put_files("signed-by-another", "R-54", "-", "a statement by a key that is not trusted", another, code=3)
    put_files("good-claimed", "ok", "-", "a statement by another key beside the right one", lambda f: f.update(
        bundle.statement(sums, seed=OTHER_SEED)), code=0)
    put_files("good-second-number", "ok", "-", "the statement under its second number", lambda f: (
        f.pop(statement), f.pop(signature), f.update(bundle.statement(sums, number=2))), code=0)
    put_files("statement-number-17", "R-05", "-", "the statement under the number 17", lambda f: (
        f.pop(statement), f.pop(signature), f.update(bundle.statement(sums, number=17))), code=3)
