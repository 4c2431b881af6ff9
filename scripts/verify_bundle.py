#!/usr/bin/env python3
"""Verifies an airferry bundle. Written from bundle-format.md alone; shares no code with airferry.

    verify_bundle.py BUNDLE [--trust PUB.pem]... [--allow-unsigned] [--allow-incomplete]
                            [--strict] [--statements DIR]... [--output json]

It needs Python 3.9 or newer and the program `zstd`. BLAKE3 is computed by the module `blake3`, else
by the program `b3sum`, else by Python code below (about 0.5 MB/s: use it for small bundles only).
Ed25519 is computed here, because R-41 refuses signatures that OpenSSL accepts. No other module or
program is used, no network, and nothing is written.

Every check names the rule (R-nn) of bundle-format.md, or the step of its section 10 ("10.5" is step
5), and runs in the order of section 10. Only the statements are interpreted before the manifest is
authenticated; without a trusted statement the program stops there, unless --allow-unsigned is given or
no key is given at all.

What it does not do: it does not verify the OpenPGP signatures of OKD and OpenShift releases, nor compare
a release with its image (6.7). It calls no release genuine, and with --strict a release is a failure.

Exit codes, the most severe last (README.md of airferry): 0 all is well, 9 foreign files (--strict),
2 wrong command line, 8 the medium cannot be read, 5 images are missing, 3 not authenticated, 4 damaged
or rejected.
"""

import argparse
import base64
import binascii
import calendar
import datetime
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import sys
import threading

try:
    import blake3 as blake3_module
except ImportError:
    blake3_module = None

# ---------------------------------------------------------------------------------------------
# Numbers of the format (4, 5.2, 11)

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
BLOCK = 4194304
CAP_MANIFEST, CAP_INVENTORY = 64 * MIB, 128 * MIB
CAP_LABEL, CAP_SUMS = 64 * KIB, 128 * MIB
CAP_STATEMENT, SIGNATURE_LENGTH, CAP_CLAIMED = 16384, 64, 64
CAP_KEY_FILE = 64 * KIB
CAP_NESTING, CAP_ITEMS = 16, 20_000_000
CAP_FEATURES, CAP_FEATURE_BYTES = 64, 64
CAP_TEXT = 4096
# Byte and text strings below these keys have caps of their own.
CAP_TEXT_OF = {"blocks": 64 * MIB, "filter": 64 * KIB, "data": MIB, "message": 50 * KIB}
CAP_EXT_ITEMS, CAP_EXT_BYTES = 1000, 64 * KIB
CAP_GENERATIONS = 100
CAP_OCI_MANIFEST, CAP_TAR = 4 * MIB, GIB
CAP_NAMES, CAP_NAME_WORK, CAP_SUBJECT_WORK = 2_097_152, 100_000_000, 100_000_000
CAP_CHAIN = 9
CAP_FOREIGN_ENTRIES, CAP_FOREIGN_LEVELS = 1_000_000, 100
LEFTOVER_FILE, LEFTOVER_DIR, LEFTOVER_ENTRIES, LEFTOVER_ALL = MIB, MIB, 1000, 64 * MIB
CAP_VOLUME = 64 * KIB
LISTED, LISTED_IMAGES = 1000, 20
# bundle-format.md sets no cap on the stored length of a metadata chunk. It is held in memory here; a
# zstd frame of the longest tar allowed is not longer than this.
CAP_STORED_METADATA = CAP_TAR + 16 * MIB
FEATURES = ("catalogs", "releases")

EXIT_OK, EXIT_FOREIGN, EXIT_USAGE, EXIT_MEDIUM = 0, 9, 2, 8
EXIT_INCOMPLETE, EXIT_NOT_AUTHENTICATED, EXIT_DAMAGED = 5, 3, 4
SEVERITY = [EXIT_OK, EXIT_FOREIGN, EXIT_USAGE, EXIT_MEDIUM, EXIT_INCOMPLETE, EXIT_NOT_AUTHENTICATED,
            EXIT_DAMAGED]


class Refused(Exception):
    """A rule is broken in a way that ends the step in which it was found."""

    def __init__(self, rule, message, file=None):
        super().__init__(message)
        self.rule, self.message, self.file = rule, message, file


class Findings:
    """Everything that was found (R-51). Each finding carries the exit code that it leads to."""

    def __init__(self):
        self.list, self.counts = [], {}
        self.code = EXIT_OK
        self.file = None

    def add(self, rule, message, code=EXIT_DAMAGED, file=None, block=None, images=()):
        if SEVERITY.index(code) > SEVERITY.index(self.code):
            self.code = code
        self.counts[rule] = self.counts.get(rule, 0) + 1
        if self.counts[rule] > LISTED:
            return
        finding = {"rule": rule, "code": code, "message": message}
        if file or self.file:
            finding["file"] = file or self.file
        if block is not None:
            finding["block"] = block
        images = sorted(images)
        if images:
            finding["images"] = images[:LISTED_IMAGES]
            if len(images) > LISTED_IMAGES:
                finding["more_images"] = len(images) - LISTED_IMAGES
        self.list.append(finding)

    def refused(self, refused, file=None):
        self.add(refused.rule, refused.message, file=refused.file or file)

    def more(self):
        return {rule: n - LISTED for rule, n in sorted(self.counts.items()) if n > LISTED}


# ---------------------------------------------------------------------------------------------
# Texts with a grammar (2, 5.4, 6)

HEX64 = re.compile(r"[0-9a-f]{64}\Z")
DIGEST = re.compile(r"sha256:[0-9a-f]{64}\Z")
BLAKE3_TEXT = re.compile(r"blake3:[0-9a-f]{64}\Z")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")
# The grammar of the distribution project's reference package.
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
REGISTRY = re.compile(r"(?:%s(?:\.%s)*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?\Z" % (_LABEL, _LABEL))
_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY_PATH = re.compile(r"%s(?:/%s)*\Z" % (_WORD, _WORD))
RELEASE_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")
PLATFORM = re.compile(r"[^/]+/[^/]+(?:/[^/]+)?\Z")
COSIGN_TAG = re.compile(r"sha256-([0-9a-f]{64})\.(?:sig|att|sbom)\Z")

WHITE_SPACE = frozenset(
    [0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
    + list(range(0x09, 0x0E)) + list(range(0x2000, 0x200B)))
_EXCLUDED_RANGES = ((0x00, 0x1F), (0x7F, 0x9F), (0x61C, 0x61C), (0x200B, 0x200F), (0x2028, 0x202E),
                    (0x2060, 0x2069), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB))
EXCLUDED = frozenset(c for low, high in _EXCLUDED_RANGES for c in range(low, high + 1))


def has_excluded(text):
    """Whether a character stands in the text that R-14 excludes."""
    return any(ord(c) in EXCLUDED for c in text)


def is_label_text(text):
    """R-14."""
    return (1 <= len(text) <= 200 and not has_excluded(text)
            and ord(text[0]) not in WHITE_SPACE and ord(text[-1]) not in WHITE_SPACE)


def is_repository(text):
    """A repository in full form: registry always written, `library/` on Docker Hub (6, R-12)."""
    registry, slash, path = text.partition("/")
    if not slash or not REGISTRY.match(registry) or not REPOSITORY_PATH.match(path):
        return False
    # Readers of short names take a first component without these for a part of Docker Hub's path.
    if not (any(c in registry for c in ".:[") or registry == "localhost" or registry != registry.lower()):
        return False
    if registry == "index.docker.io" or (registry == "docker.io" and "/" not in path):
        return False
    return len(path) <= 255


def split_reference(text):
    """(repository, tag or None, digest or None) of a reference in full form, or None."""
    rest, at, digest = text.partition("@")
    if at and not DIGEST.match(digest):
        return None
    slash, colon = rest.rfind("/"), rest.rfind(":")
    tag = None
    if colon > slash:
        rest, tag = rest[:colon], rest[colon + 1:]
        if not TAG.match(tag):
            return None
    return (rest, tag, digest or None) if is_repository(rest) else None


def shown(text):
    """A text or file name from the medium, safe to print on a terminal."""
    if isinstance(text, bytes):
        text = os.fsdecode(text)
    return "".join(c if c.isprintable() and ord(c) not in EXCLUDED and not 0xD800 <= ord(c) < 0xE000
                   else "\\u{%x}" % ord(c) for c in text)


# ---------------------------------------------------------------------------------------------
# CBOR in the core deterministic encoding, with the caps that hold for every item

class Decoder:
    """Decodes one document. `ext` is (items, bytes) of the value of the top map's key `ext`."""

    def __init__(self, data):
        self.data, self.at, self.items, self.ext = data, 0, 0, None

    def document(self):
        value = self.item(1)
        if self.at != len(self.data):
            raise Refused("R-10", "%d bytes stand behind the document" % (len(self.data) - self.at))
        return value

    def head(self):
        """The major type and the argument of the next item, in the shortest form only."""
        data, at = self.data, self.at
        if at >= len(data):
            raise Refused("R-10", "the document ends early")
        major, info = data[at] >> 5, data[at] & 31
        at += 1
        if info < 24:
            self.at = at
            return major, info
        if info > 27:
            raise Refused("R-10", "an item of indefinite length, or a reserved head, at byte %d" % (at - 1))
        if major == 7:
            raise Refused("R-10", "a floating-point number or a long simple value at byte %d" % (at - 1))
        size = 1 << (info - 24)
        if at + size > len(data):
            raise Refused("R-10", "the document ends early")
        number = int.from_bytes(data[at:at + size], "big")
        if number < (24, 1 << 8, 1 << 16, 1 << 32)[info - 24]:
            raise Refused("R-10", "a head that is not the shortest at byte %d" % (at - 1))
        self.at = at + size
        return major, number

    def item(self, depth):
        begin = self.at
        self.items += 1
        if self.items > CAP_ITEMS:
            raise Refused("R-11", "more than %d items" % CAP_ITEMS)
        if depth > CAP_NESTING:
            raise Refused("R-11", "items are nested more than %d deep" % CAP_NESTING)
        major, number = self.head()
        if major == 0:
            return number
        if major in (2, 3):
            return self.string(major, number)
        if major in (4, 5):
            # Every item has at least one byte, so a longer array cannot be there.
            if number * (major - 3) > len(self.data) - self.at:
                raise Refused("R-10", "the document ends early")
            if major == 4:
                return [self.item(depth + 1) for _ in range(number)]
            return self.map(number, depth)
        if major == 7 and number in (20, 21):
            return number == 21
        raise Refused("R-10", "an item of a kind that is not allowed at byte %d" % begin)

    def string(self, major, length):
        if length > len(self.data) - self.at:
            raise Refused("R-10", "the document ends early")
        raw = self.data[self.at:self.at + length]
        self.at += length
        if major == 2:
            return raw
        try:
            return raw.decode("utf-8")
        except UnicodeDecodeError:
            raise Refused("R-10", "a text at byte %d is not UTF-8" % (self.at - length)) from None

    def map(self, length, depth):
        result, last = {}, b""
        for _ in range(length):
            begin = self.at
            key = self.item(depth + 1)
            if not isinstance(key, str):
                raise Refused("R-10", "a key at byte %d is no text" % begin)
            encoded = self.data[begin:self.at]
            if encoded <= last:
                raise Refused("R-10", "keys out of order, or twice, at byte %d" % begin)
            last = encoded
            items, start = self.items, self.at
            result[key] = self.item(depth + 1)
            if depth == 1 and key == "ext":
                self.ext = (self.items - items, self.at - start)
        return result


def encode_head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    for info, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * size):
            return bytes([major << 5 | info]) + number.to_bytes(size, "big")
    raise ValueError("a number above 2^64 - 1")


def encode(value):
    """The encoding of R-10. This verifier does not need it; the programs that test it do."""
    if value is True or value is False:
        return bytes([0xE0 | 20 + value])
    if isinstance(value, int):
        return encode_head(0, value)
    if isinstance(value, bytes):
        return encode_head(2, len(value)) + value
    if isinstance(value, str):
        raw = value.encode("utf-8")
        return encode_head(3, len(raw)) + raw
    if isinstance(value, list):
        return encode_head(4, len(value)) + b"".join(encode(v) for v in value)
    if isinstance(value, dict):
        pairs = sorted((encode(k), encode(v)) for k, v in value.items())
        return encode_head(5, len(value)) + b"".join(k + v for k, v in pairs)
    raise ValueError("not encodable: %r" % (value,))


# ---------------------------------------------------------------------------------------------
# BLAKE3: module, program, or slow Python code

_B3_IV = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A, 0x510E527F, 0x9B05688C, 0x1F83D9AB, 0x5BE0CD19)
_B3_ORDER = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)
_B3_START, _B3_END, _B3_PARENT, _B3_ROOT = 1, 2, 4, 8
_B3_MIX = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15),
           (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


def _b3_compress(chain, block, counter, length, flags):
    """The compression function; the first eight words of its output."""
    mask = 0xFFFFFFFF
    m = [int.from_bytes(block[i:i + 4], "little") for i in range(0, 64, 4)]
    v = list(chain) + list(_B3_IV[:4]) + [counter & mask, counter >> 32, length, flags]
    for _ in range(7):
        for i, (a, b, c, d) in enumerate(_B3_MIX):
            v[a] = (v[a] + v[b] + m[2 * i]) & mask
            x = v[d] ^ v[a]
            v[d] = (x >> 16 | x << 16) & mask
            v[c] = (v[c] + v[d]) & mask
            x = v[b] ^ v[c]
            v[b] = (x >> 12 | x << 20) & mask
            v[a] = (v[a] + v[b] + m[2 * i + 1]) & mask
            x = v[d] ^ v[a]
            v[d] = (x >> 8 | x << 24) & mask
            v[c] = (v[c] + v[d]) & mask
            x = v[b] ^ v[c]
            v[b] = (x >> 7 | x << 25) & mask
        m = [m[j] for j in _B3_ORDER]
    return tuple(v[i] ^ v[i + 8] for i in range(8))


class SlowBlake3:
    """BLAKE3 in Python, for machines that have neither module nor program."""

    def __init__(self):
        self.stack, self.chunks, self.rest = [], 0, b""

    def update(self, data):
        data = self.rest + data
        at = 0
        # The last chunk is kept, since it may be the root.
        while len(data) - at > 1024:
            self._push(self._chunk(data[at:at + 1024], 0))
            at += 1024
        self.rest = data[at:]

    def _chunk(self, data, root):
        chain, blocks = _B3_IV, max(1, -(-len(data) // 64))
        for i in range(blocks):
            block = data[64 * i:64 * i + 64]
            flags = (_B3_START if i == 0 else 0) | (_B3_END | root if i == blocks - 1 else 0)
            chain = _b3_compress(chain, block.ljust(64, b"\0"), self.chunks, len(block), flags)
        return chain

    @staticmethod
    def _parent(left, right, root):
        block = b"".join(w.to_bytes(4, "little") for w in left + right)
        return _b3_compress(_B3_IV, block, 0, 64, _B3_PARENT | root)

    def _push(self, chain):
        self.chunks += 1
        total = self.chunks
        while total & 1 == 0:
            chain = self._parent(self.stack.pop(), chain, 0)
            total >>= 1
        self.stack.append(chain)

    def hexdigest(self):
        chain = self._chunk(self.rest, _B3_ROOT if not self.stack else 0)
        for i, left in enumerate(reversed(self.stack)):
            chain = self._parent(left, chain, _B3_ROOT if i == len(self.stack) - 1 else 0)
        return b"".join(w.to_bytes(4, "little") for w in chain).hex()


class ProgramBlake3:
    """BLAKE3 by the program b3sum, which reads from a pipe."""

    def __init__(self):
        self.process = subprocess.Popen(["b3sum", "--no-names"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def update(self, data):
        self.process.stdin.write(data)

    def hexdigest(self):
        output, _ = self.process.communicate()
        text = output.decode("ascii", "replace").strip()
        if self.process.returncode != 0 or not HEX64.match(text):
            raise OSError("b3sum failed")
        return text


def new_blake3():
    if blake3_module:
        return blake3_module.blake3()
    return ProgramBlake3() if shutil.which("b3sum") else SlowBlake3()


def blake3_hex(data):
    hasher = new_blake3()
    hasher.update(data)
    return hasher.hexdigest()


def sha256_hex(data):
    return hashlib.sha256(data).hexdigest()


# ---------------------------------------------------------------------------------------------
# Ed25519 and keys. Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.

P = 2 ** 255 - 19
L = 2 ** 252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_MINUS_1 = pow(2, (P - 1) // 4, P)
IDENTITY = (0, 1, 1, 0)
SPKI_PREFIX = bytes.fromhex("302a300506032b6570032100")


def point_add(p, q):
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return (e * f % P, g * h % P, f * g % P, e * h % P)


def point_multiply(scalar, p):
    q = IDENTITY
    while scalar:
        if scalar & 1:
            q = point_add(q, p)
        p = point_add(p, p)
        scalar >>= 1
    return q


def point_decode(raw):
    """RFC 8032, 5.1.3: None unless the 32 bytes are the only encoding of a point."""
    y = int.from_bytes(raw, "little")
    sign, y = y >> 255, y & (1 << 255) - 1
    if y >= P:
        return None
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_MINUS_1 % P
    if (x * x - x2) % P or (x == 0 and sign):
        return None
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P)


def point_encode(p):
    inverse = pow(p[2], P - 2, P)
    x, y = p[0] * inverse % P, p[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def has_small_order(p):
    q = point_multiply(8, p)
    return q[0] % P == 0 and (q[1] - q[2]) % P == 0


BASE_POINT = point_decode(bytes.fromhex("5866666666666666666666666666666666666666666666666666666666666666"))


def check_signature(key, message, signature):
    """R-41. `key` is the 32 bytes of the public key."""
    if len(signature) != SIGNATURE_LENGTH:
        raise Refused("R-41", "the signature has %d bytes" % len(signature))
    a, r = point_decode(key), point_decode(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or has_small_order(a):
        raise Refused("R-41", "the key is no point, not in its only encoding, or has small order")
    if r is None or has_small_order(r):
        raise Refused("R-41", "R of the signature is no point, or has small order")
    if s >= L:
        raise Refused("R-41", "S of the signature is not below L")
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    minus_a = (-a[0] % P, a[1], a[2], -a[3] % P)
    result = point_add(point_multiply(s, BASE_POINT), point_multiply(k, minus_a))
    if point_encode(result) != signature[:32]:
        raise Refused("R-41", "the signature is wrong")


class Key:
    """R-42: an Ed25519 public key from a file with exactly one PEM block."""

    def __init__(self, text):
        begins = re.findall(r"-----BEGIN [^\n]*", text)
        block = re.search(r"-----BEGIN PUBLIC KEY-----\s*([A-Za-z0-9+/=\s]*?)-----END PUBLIC KEY-----", text)
        if len(begins) != 1 or not block:
            raise Refused("R-42", "not exactly one PEM block with a public key")
        try:
            der = base64.b64decode("".join(block.group(1).split()), validate=True)
        except binascii.Error:
            raise Refused("R-42", "the PEM block is not base64") from None
        if len(der) != 44 or not der.startswith(SPKI_PREFIX):
            raise Refused("R-42", "not an Ed25519 key")
        self.raw = der[12:]
        self.fingerprint = sha256_hex(der)


def read_key(path):
    with open(path, "rb") as file:
        raw = file.read(CAP_KEY_FILE + 1)
    if len(raw) > CAP_KEY_FILE:
        raise Refused("R-42", "a key file of more than %d bytes" % CAP_KEY_FILE)
    return Key(raw.decode("latin-1"))


# ---------------------------------------------------------------------------------------------
# Files

class Directory:
    """A directory that is read without following links."""

    def __init__(self, path, parent=None):
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        if parent is None:
            self.fd = os.open(path, flags)
        else:
            self.fd = os.open(path, flags | os.O_NOFOLLOW, dir_fd=parent.fd)

    def entries(self):
        """[(name, lstat)] by name."""
        found = []
        for name in os.listdir(self.fd):
            try:
                found.append((name, os.stat(name, dir_fd=self.fd, follow_symlinks=False)))
            except FileNotFoundError:
                continue
        return sorted(found, key=lambda e: os.fsencode(e[0]))

    def open(self, name):
        """A regular file, opened for reading; R-02 refuses everything else."""
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=self.fd)
        except FileNotFoundError:
            raise Refused("R-01", "the file is not here") from None
        except OSError as error:
            # ELOOP: a link. ENXIO: a socket. Anything else is the medium's fault.
            if error.errno in (40, 62, 6):
                raise Refused("R-02", "not a regular file") from None
            raise
        file = os.fdopen(fd, "rb", buffering=0)
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            file.close()
            raise Refused("R-02", "not a regular file")
        return file

    def read(self, name, cap):
        """The bytes of a file, at most `cap`."""
        with self.open(name) as file:
            data = read_up_to(file, cap + 1)
        if len(data) > cap:
            raise Refused("R-11", "the file is longer than %d bytes" % cap)
        return data


def read_up_to(file, count):
    parts = []
    while count:
        part = file.read(min(count, MIB))
        if not part:
            break
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def subdirectory(parent, name):
    """One of the bundle's own directories, or None when it is absent or something else."""
    try:
        return Directory(name, parent)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        if error.errno in (40, 62):
            return None
        raise


def blocks_of(file):
    """The blocks of an open file, in order."""
    while True:
        block = read_up_to(file, BLOCK)
        if block:
            yield block
        if len(block) < BLOCK:
            return


# ---------------------------------------------------------------------------------------------
# Statements (section 8)

NUMBER = re.compile(r"(?:0|[1-9][0-9]{0,19})\Z")
TIME = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})Z\Z")
ROLE = re.compile(r"[a-z][a-z0-9-]{0,31}\Z")
STATEMENT_NAME = re.compile(r"([0-9a-f]{16})-([0-9a-f]{16})-(0[1-9]|1[0-6])\.statement\Z")


def is_number(text):
    return bool(NUMBER.match(text)) and int(text) < 1 << 64


def is_time(text):
    """Years 0000 to 9999-12-30T22:00:00Z. Year 0 is a leap year of the Gregorian calendar."""
    match = TIME.match(text)
    if not match or text > "9999-12-30T22:00:00Z":
        return False
    year, month, day, hour, minute, second = (int(g) for g in match.groups())
    if not 1 <= month <= 12 or hour > 23 or minute > 59 or second > 59:
        return False
    leap = month == 2 and calendar.isleap(year)
    return 1 <= day <= (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)[month - 1] + leap


def is_hex64(text):
    return bool(HEX64.match(text))


BUNDLE, PLAN = "airferry-bundle-v1", "airferry-plan-v1"
# key, check of the value, the types of statement it belongs to, whether it may be absent: R-40's table.
STATEMENT_LINES = (
    ("algorithm", lambda v: v == "ed25519", (BUNDLE, PLAN), False),
    ("key", is_hex64, (BUNDLE, PLAN), False),
    ("format", lambda v: v == "1", (BUNDLE, PLAN), False),
    ("manifest-length", is_number, (BUNDLE,), False),
    ("plan-length", is_number, (PLAN,), False),
    ("manifest-sha256", is_hex64, (BUNDLE,), False),
    ("plan-sha256", is_hex64, (PLAN,), False),
    ("manifest-blake3", is_hex64, (BUNDLE,), False),
    ("plan-blake3", is_hex64, (PLAN,), False),
    ("sums-sha256", is_hex64, (BUNDLE,), False),
    ("lineage", is_label_text, (BUNDLE,), True),
    ("sequence", is_number, (BUNDLE,), True),
    ("generation", lambda v: is_number(v) and v != "0", (BUNDLE,), False),
    ("complete", lambda v: v in ("yes", "no"), (BUNDLE,), False),
    ("role", lambda v: bool(ROLE.match(v)), (BUNDLE, PLAN), False),
    ("verdict", lambda v: v in ("approve", "reject"), (BUNDLE, PLAN), False),
    ("time", is_time, (BUNDLE, PLAN), False),
    ("expires", is_time, (BUNDLE, PLAN), True),
    ("report-sha256", is_hex64, (BUNDLE,), True),
    ("comment", is_label_text, (BUNDLE, PLAN), True),
)


def parse_statement(raw):
    """R-40: the lines of a statement as a map; its type is under the key `type`."""
    if len(raw) > CAP_STATEMENT:
        raise Refused("R-40", "a statement of more than %d bytes" % CAP_STATEMENT)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("R-40", "the statement is not UTF-8") from None
    if not text.endswith("\n"):
        raise Refused("R-40", "the last line does not end with LF")
    lines = text[:-1].split("\n")
    if any(has_excluded(line) for line in lines):
        raise Refused("R-40", "the statement has a character that R-14 excludes")
    kind = lines[0]
    if kind not in (BUNDLE, PLAN):
        raise Refused("R-40", "unknown type of statement: %s" % shown(kind))
    result, at = {"type": kind}, 1
    for key, check, kinds, optional in STATEMENT_LINES:
        if kind not in kinds:
            continue
        if at < len(lines) and lines[at].startswith(key + ": "):
            value = lines[at][len(key) + 2:]
            if not check(value):
                raise Refused("R-40", "line `%s` has a wrong value: %s" % (key, shown(value)))
            result[key] = value
            at += 1
        elif not optional:
            raise Refused("R-40", "line `%s` is absent or in another place" % key)
    if at != len(lines):
        raise Refused("R-40", "a line that does not belong here: %s" % shown(lines[at]))
    if "sequence" in result and "lineage" not in result:
        raise Refused("R-40", "`sequence` without `lineage`")
    return result


class Statement:
    """A statement under the name of a known key (R-43)."""

    def __init__(self, name, key, fields, bundle_length):
        self.name, self.key, self.fields, self.bytes = name, key, fields, bundle_length
        self.counts = True

    def expired(self, now):
        return "expires" in self.fields and self.fields["expires"] < now


def check_statement(key, raw, signature, manifest):
    """R-41, R-43: what can be compared before the manifest is decoded."""
    check_signature(key.raw, raw, signature)
    fields = parse_statement(raw)
    if fields["type"] != BUNDLE:
        raise Refused("R-43", "the statement is about a plan")
    if fields["key"] != key.fingerprint:
        raise Refused("R-43", "the statement names another key")
    if fields["manifest-length"] != str(len(manifest)):
        raise Refused("R-43", "the statement names another length of manifest.cbor")
    if fields["manifest-sha256"] != sha256_hex(manifest):
        raise Refused("R-43", "the statement names another SHA-256 of manifest.cbor")
    if fields["manifest-blake3"] != blake3_hex(manifest):
        raise Refused("R-43", "the statement names another BLAKE3 of manifest.cbor")
    return fields


def agree_with_manifest(statements, manifest, sums, findings):
    """R-43: what is compared when the manifest has been read (step 3)."""
    wanted = {"generation": str(manifest["generation"]), "complete": "yes" if manifest["complete"] else "no",
              "sums-sha256": sha256_hex(sums)}
    for statement in statements:
        for key, value in wanted.items():
            if statement.fields[key] != value:
                statement.counts = False
                findings.add("R-43", "line `%s` does not agree with the bundle" % key, file=statement.name)


# ---------------------------------------------------------------------------------------------
# Tables: a checker takes a value and where it stands, and raises Refused

def fail(where, what, rule="R-12"):
    raise Refused(rule, "%s: %s" % (where, what))


def uint(value, where):
    # bool is a subclass of int in Python.
    if type(value) is not int:
        fail(where, "not an unsigned integer")


def boolean(value, where):
    if type(value) is not bool:
        fail(where, "neither true nor false")


def only_true(value, where):
    if value is not True:
        fail(where, "only true is ever written here")


def text(value, where):
    if type(value) is not str:
        fail(where, "not a text")


def byte_string(value, where):
    if type(value) is not bytes:
        fail(where, "not a byte string")


def any_map(value, where):
    if type(value) is not dict:
        fail(where, "not a map")


def matching(pattern, what):
    def check(value, where):
        if type(value) is not str or not pattern.match(value):
            fail(where, "not %s" % what)
    return check


def one_of(*words):
    def check(value, where):
        if type(value) is not str or value not in words:
            fail(where, "none of %s" % ", ".join(words))
    return check


def repository(value, where):
    if type(value) is not str or not is_repository(value):
        fail(where, "not a repository in full form")


def reference(value, where):
    if type(value) is not str or split_reference(value) is None:
        fail(where, "not a reference in full form")


def label_text(value, where):
    text(value, where)
    if not is_label_text(value):
        fail(where, "not a label text", "R-14")


def chunk_number(value, where):
    uint(value, where)
    if not 1 <= value <= 999999:
        fail(where, "not a chunk's number: %d" % value, "R-04")


def array(check):
    def run(value, where):
        if type(value) is not list:
            fail(where, "not an array")
        for i, element in enumerate(value):
            check(element, "%s[%d]" % (where, i))
    return run


def table(**rows):
    """A map with these keys and no others. A key that ends in `_opt` may be absent."""
    wanted = {key[:-4] if key.endswith("_opt") else key: (check, key.endswith("_opt"))
              for key, check in rows.items()}

    def run(value, where):
        if type(value) is not dict:
            fail(where, "not a map")
        for key in value:
            if key not in wanted:
                fail(where, "unknown key %s" % shown(key[:80]))
        for key, (check, optional) in wanted.items():
            if key in value:
                check(value[key], "%s.%s" % (where, key))
            elif not optional:
                fail(where, "no key %s" % key)
    return run


digest = matching(DIGEST, "a digest")
tag = matching(TAG, "a tag")


def ascending(values, where, rule="R-16", key=lambda v: v):
    """R-16: strictly ascending, so no two are equal."""
    keys = [key(v) for v in values]
    for i in range(1, len(keys)):
        if not keys[i - 1] < keys[i]:
            fail(where, "element %d is not above the one before it" % i, rule)


def utf8(value):
    return value.encode("utf-8")


def absent_first(value):
    """An absent element of a tuple comes first (R-16)."""
    return (0, b"") if value is None else (1, utf8(value))


# ---------------------------------------------------------------------------------------------
# Caps on strings, counts and `ext` (R-11, section 11), before any table is looked at

def as_list(value, key):
    """value[key] where that is an array, else nothing: caps hold whatever else is wrong."""
    found = value.get(key) if isinstance(value, dict) else None
    return found if isinstance(found, list) else []


def cap_strings(value, key, where):
    """No string is longer than the cap of the key below which it stands; `ext` has caps of its own."""
    if isinstance(value, (str, bytes)):
        length = len(utf8(value)) if isinstance(value, str) else len(value)
        if length > CAP_TEXT_OF.get(key, CAP_TEXT):
            fail(where, "a string of %d bytes" % length, "R-11")
    elif isinstance(value, list):
        for element in value:
            cap_strings(element, key, where)
    elif isinstance(value, dict):
        for name, element in value.items():
            cap_strings(name, None, where)
            if not (where in ("manifest", "inventory") and name == "ext"):
                cap_strings(element, name, "%s.%s" % (where, shown(name[:80])))


def cap_ext(ext):
    if ext and ext[0] > CAP_EXT_ITEMS:
        raise Refused("R-11", "more than %d items below `ext`" % CAP_EXT_ITEMS)
    if ext and ext[1] > CAP_EXT_BYTES:
        raise Refused("R-11", "more than %d bytes below `ext`" % CAP_EXT_BYTES)


def cap_count(count, cap, what):
    if count > cap:
        raise Refused("R-11", "%d %s; the cap is %d" % (count, what, cap))


def cap_inventory(document):
    """The caps by count of section 11."""
    rows = {key: as_list(document, key) for key in
            ("images", "manifests", "blobs", "bases", "releases", "catalogs")}

    def total(key, *inner):
        return sum(len(as_list(row, name)) for row in rows[key] for name in inner)

    places = [row["place"] for row in rows["blobs"]
              if isinstance(row, dict) and isinstance(row.get("place"), dict)]
    carried = [place.get("carried") for place in places]
    extents = sum(len(as_list(c, "extents")) for c in carried)
    needs = sum(len(as_list(c, "needs")) for c in carried)
    urls = sum(len(as_list(place.get("foreign"), "urls")) for place in places)
    for count, cap, what in (
            (len(rows["images"]), 100_000, "images"),
            (len(rows["manifests"]), 200_000, "OCI manifests"),
            (len(rows["blobs"]), 500_000, "blobs"),
            (extents, 1_000_000, "extents of blobs"),
            (total("manifests", "blobs", "children", "omitted") + needs, 1_500_000, "digests in rows"),
            (total("images", "attached"), 200_000, "attachments"),
            (total("images", "platforms"), 200_000, "platforms"),
            (urls, 20_000, "URLs"),
            (len(rows["bases"]), 1000, "bases"),
            (total("bases", "roots"), 200_000, "roots of bases"),
            (len(rows["releases"]), 1000, "releases"),
            (total("releases", "components"), 200_000, "components"),
            (total("releases", "keyrings"), 10_000, "keyrings"),
            (total("releases", "signatures"), 10_000, "signatures of releases"),
            (len(rows["catalogs"]), 1000, "catalogs"),
            (total("catalogs", "members"), 200_000, "members of catalogs")):
        cap_count(count, cap, what)


# ---------------------------------------------------------------------------------------------
# The manifest (section 5)

CHUNK_ROW = table(kind=one_of("data", "metadata"), blake3=matching(BLAKE3_TEXT, "a BLAKE3"),
                  blocks=byte_string, length=uint, number=chunk_number, sha256=digest)
MANIFEST = table(
    ext_opt=any_map, type=text, chunks=array(CHUNK_ROW), format=uint, complete=boolean,
    label=table(owner_opt=label_text, title_opt=label_text, marking_opt=label_text),
    requires=array(text), block_size=uint, generation=uint, chunk_limit=uint,
    inventory=table(blake3=matching(BLAKE3_TEXT, "a BLAKE3"), length=uint, sha256=digest))


def look_at_type(document, kind, where):
    """R-15: type and format, before any other key."""
    any_map(document, where)
    if "type" not in document or "format" not in document:
        fail(where, "no key type, or no key format")
    if document["type"] != kind:
        fail(where, "type is not %s" % kind, "R-15")
    uint(document["format"], where + ".format")
    if document["format"] != 1:
        fail(where, "unknown format %d" % document["format"], "R-15")


def look_at_requires(document):
    """Caps on `requires` (R-11), then R-15 for its entries."""
    requires = as_list(document, "requires")
    cap_count(len(requires), CAP_FEATURES, "entries of `requires`")
    for feature in requires:
        if isinstance(feature, str) and len(utf8(feature)) > CAP_FEATURE_BYTES:
            raise Refused("R-11", "an entry of `requires` of more than %d bytes" % CAP_FEATURE_BYTES)


def unknown_features(document):
    unknown = [f for f in as_list(document, "requires") if isinstance(f, str) and f not in FEATURES]
    if unknown:
        fail("manifest", "needs what this verifier does not know: %s" % ", ".join(map(shown, unknown)), "R-15")


def check_chunk_row(row, limit):
    """R-13."""
    where = "chunk %06d" % row["number"]
    if row["length"] < 1:
        fail(where, "length 0", "R-13")
    if len(row["blocks"]) % 32:
        fail(where, "`blocks` is no multiple of 32 bytes")
    if len(row["blocks"]) != 32 * -(-row["length"] // BLOCK):
        fail(where, "the number of block hashes does not follow from the length", "R-13")
    if row["kind"] == "data" and (row["length"] % 512 or row["length"] > limit):
        fail(where, "the length is no multiple of 512, or above chunk_limit", "R-13")


def read_manifest(raw):
    """Step 3: R-10, R-11, R-15, then the tables and R-13 to R-16."""
    if len(raw) > CAP_MANIFEST:
        raise Refused("R-11", "manifest.cbor is longer than %d bytes" % CAP_MANIFEST)
    decoder = Decoder(raw)
    document = decoder.document()
    any_map(document, "manifest")
    look_at_requires(document)
    look_at_type(document, "airferry-manifest", "manifest")
    unknown_features(document)
    cap_strings(document, None, "manifest")
    cap_ext(decoder.ext)
    if type(document.get("generation")) is int:
        cap_count(document["generation"], CAP_GENERATIONS, "generations")
    MANIFEST(document, "manifest")
    for row in document["chunks"]:
        check_chunk_row(row, document["chunk_limit"])
    if document["block_size"] != BLOCK:
        fail("manifest", "block_size is not %d" % BLOCK, "R-16")
    if document["generation"] < 1:
        fail("manifest", "generation is 0", "R-16")
    ascending(document["chunks"], "manifest.chunks", key=lambda row: row["number"])
    ascending(document["requires"], "manifest.requires")
    return document


def chunk_name(row):
    """R-04."""
    return "%06d.tar%s" % (row["number"], "" if row["kind"] == "data" else ".zst")


# ---------------------------------------------------------------------------------------------
# Texts that follow from the manifest

LABEL_HEAD = "AIRFERRY BUNDLE\n\n"
LABEL_TAIL = """
CHECK IT BY HAND (verify first, then extract)

1. Who made it. The maker's public key (maker.pub) must have reached you another
   way than this medium. Compare its fingerprint with the one you were told:
     openssl pkey -pubin -in maker.pub -outform DER | sha256sum
   Then, for NAME in signatures/ (OpenSSL 3.0 or newer):
     openssl pkeyutl -verify -pubin -inkey maker.pub -rawin \\
       -in signatures/NAME.statement -sigfile signatures/NAME.sig
   In NAME.statement the line `manifest-sha256` must be the SHA-256 of manifest.cbor,
   the line `sums-sha256` that of SHA256SUMS, and the verdict must be `approve`:
     sha256sum manifest.cbor SHA256SUMS
2. Every byte:
     sha256sum -c SHA256SUMS
3. Only then look inside (data chunks first, the metadata chunks last):
     mkdir OUT
     for f in chunks/*.tar; do tar -xf "$f" -C OUT; done
     for f in chunks/*.tar.zst; do zstd -dc "$f" | tar -xf - -C OUT; done
   Blobs that were cut are put together by the lines of OUT/airferry/join-*.txt.

With airferry:  airferry verify DIR --trust maker.pub
"""


def build_label(manifest, bundle_id):
    """R-08 and the appendix."""
    groups = [bundle_id[i:i + 4] for i in range(0, 64, 4)]
    complete = "yes" if manifest["complete"] else "no: some images are missing, see `airferry inspect`"
    lines = [("%-13s%s" % (name + ":", manifest["label"][name.lower()]))
             for name in ("Title", "Owner", "Marking") if name.lower() in manifest["label"]]
    lines += ["Bundle id:   " + " ".join(groups[:8]), " " * 13 + " ".join(groups[8:]),
              "Format:      1", "Generation:  %d" % manifest["generation"], "Complete:    " + complete,
              "Chunks:      %d files, %d bytes" % (len(manifest["chunks"]),
                                                   sum(row["length"] for row in manifest["chunks"]))]
    return utf8(LABEL_HEAD + "\n".join(lines) + "\n" + LABEL_TAIL)


def build_sums(manifest, bundle_id, label):
    """R-07."""
    lines = [(sha256_hex(label), "LABEL.txt"), (manifest["inventory"]["sha256"][7:], "inventory.cbor"),
             (bundle_id, "manifest.cbor")]
    lines += [(row["sha256"][7:], "chunks/" + chunk_name(row)) for row in manifest["chunks"]]
    return utf8("".join("%s  %s\n" % line for line in lines))


# ---------------------------------------------------------------------------------------------
# The inventory (section 6): tables

def extent(value, where):
    """R-20; the size is that of a tar entry (R-32)."""
    if type(value) is not list or len(value) != 4:
        fail(where, "not an array of four numbers")
    for number in value:
        uint(number, where)
    chunk, offset, stored, decoded = value
    chunk_number(chunk, where)
    if stored < 1 or decoded < 1:
        fail(where, "an extent of no bytes", "R-20")
    if offset % 512 or offset < 1024:
        fail(where, "the offset is no multiple of 512, or below 1024", "R-20")
    if stored >= 8 * GIB:
        fail(where, "8 GiB or more in one tar entry", "R-32")


PLACES = {
    "carried": table(codec=text, needs=array(digest), memory=uint, extents=array(extent), scratch=uint),
    "foreign": table(urls=array(text)),
    "missing": table(reason=text),
    "omitted": table(origin=digest),
}


def place(value, where):
    if type(value) is not dict or len(value) != 1 or next(iter(value)) not in PLACES:
        fail(where, "not a map with one of the keys %s" % ", ".join(PLACES))
    for kind, inner in value.items():
        PLACES[kind](inner, "%s.%s" % (where, kind))


def plain_text(value, where):
    """R-63: 1 to 1024 bytes without the characters that R-14 excludes."""
    text(value, where)
    if not 1 <= len(utf8(value)) <= 1024 or has_excluded(value):
        fail(where, "not 1 to 1024 bytes of plain text", "R-63")


def release_name(value, where):
    if type(value) is not str or not RELEASE_NAME.match(value):
        fail(where, "not a name of 1 to 100 letters, digits, `.`, `_`, `-`", "R-60")


def version(value, where):
    release_name(value, where)
    if not "0" <= value[0] <= "9":
        fail(where, "a version that does not begin with a digit", "R-60")


FOUND = one_of("carried", "absent", "unknown", "not-asked")
NEEDED_BY = array(table(name=plain_text, package_opt=plain_text))
BLOB = table(size=uint, place=place, digest=digest)
ROW = table(blobs=array(digest), digest=digest, extent=extent, omitted=array(digest), subject_opt=digest,
            children=array(digest), platform_opt=matching(PLATFORM, "a platform"), media_type=text)
ATTACHED = table(by=one_of("cosign-tag", "referrers"), tag_opt=tag, root=digest, subject=digest)
IMAGE = table(tag_opt=tag, root_opt=digest, cosign=FOUND, source=repository, problem_opt=text,
              attached=array(ATTACHED), platforms=array(matching(PLATFORM, "a platform")), referrers=FOUND,
              requested=reference, standalone_opt=only_true, fetched_from=repository)
BASE = table(id=digest, roots=array(table(root=digest, reference=text)), title_opt=text)
ORIGIN = table(plan=digest, number=chunk_number, decoded=uint, generation=uint)
RELEASE = table(
    image=reference, version=version, keyrings=array(table(data=byte_string, name=text)), unsigned=boolean,
    components=array(table(name=release_name, image=reference)),
    signatures=array(table(over=digest, message=byte_string)), architecture=release_name)
CATALOG = table(
    image=reference, filter_opt=text, format=one_of("file-based", "sqlite"),
    members=array(table(image=reference, written=text, needed_by_opt=NEEDED_BY)), original_opt=digest,
    malformed_opt=array(table(text=plain_text, reason=plain_text, needed_by=NEEDED_BY)))
INVENTORY = table(
    ext_opt=any_map, type=text, bases=array(BASE), blobs=array(BLOB), chunks=array(ORIGIN), format=uint,
    images=array(IMAGE), request=digest, catalogs_opt=array(CATALOG), releases_opt=array(RELEASE),
    manifests=array(ROW))


def decode_inventory(raw, manifest):
    """Step 4 up to the tables: R-28, R-10, R-15, R-11, R-12."""
    named = manifest["inventory"]
    if len(raw) != named["length"]:
        raise Refused("R-28", "the length is %d, the manifest says %d" % (len(raw), named["length"]))
    if "sha256:" + sha256_hex(raw) != named["sha256"]:
        raise Refused("R-28", "the SHA-256 is not that of the manifest")
    if "blake3:" + blake3_hex(raw) != named["blake3"]:
        raise Refused("R-28", "the BLAKE3 is not that of the manifest")
    decoder = Decoder(raw)
    document = decoder.document()
    look_at_type(document, "airferry-inventory", "inventory")
    cap_strings(document, None, "inventory")
    cap_ext(decoder.ext)
    cap_inventory(document)
    INVENTORY(document, "inventory")
    return document


# ---------------------------------------------------------------------------------------------
# The inventory: what must hold between its rows

EMPTY_DIGEST = "sha256:" + sha256_hex(b"")
IMAGE_TYPES = ("application/vnd.oci.image.manifest.v1+json",
               "application/vnd.docker.distribution.manifest.v2+json")
INDEX_TYPES = ("application/vnd.oci.image.index.v1+json",
               "application/vnd.docker.distribution.manifest.list.v2+json")


def kind_of(media_type):
    return "image" if media_type in IMAGE_TYPES else "index" if media_type in INDEX_TYPES else None


def padded(length):
    return -(-length // 512) * 512


class Inventory:
    """The document with what is looked up in it. Every check_* adds findings and goes on."""

    def __init__(self, document, manifest, findings):
        self.document, self.manifest, self.findings = document, manifest, findings
        self.rows = {row["digest"]: row for row in document["manifests"]}
        self.blobs = {row["digest"]: row for row in document["blobs"]}
        self.images = document["images"]
        self.catalogs = document.get("catalogs", [])
        self.releases = document.get("releases", [])
        self.origins = {row["number"]: row for row in document["chunks"]}
        self.chunks = {row["number"]: row for row in manifest["chunks"]}
        # chunk -> [(offset, stored, digest, index of the extent, extents of the blob)]
        self.layout = {number: [] for number in self.chunks}
        self.broken_layout = set()
        self._parents = None
        for row in document["blobs"]:
            extents = row["place"].get("carried", {}).get("extents", [])
            for i, (chunk, offset, stored, _) in enumerate(extents):
                self.layout.setdefault(chunk, []).append((offset, stored, row["digest"], i, len(extents)))
        for row in document["manifests"]:
            chunk, offset, stored, _ = row["extent"]
            self.layout.setdefault(chunk, []).append((offset, stored, row["digest"], 0, 1))
        for extents in self.layout.values():
            extents.sort()

    def check(self):
        for check in (self.check_order, self.check_blobs, self.check_layout, self.check_chunks,
                      self.check_rows, self.check_graph, self.check_images, self.check_complete,
                      self.check_releases, self.check_catalogs):
            check()

    def bad(self, rule, message, images=()):
        self.findings.add(rule, message, file="inventory.cbor", images=images)

    def ordered(self, values, where, rule="R-16", key=lambda v: v):
        try:
            ascending(values, where, rule, key)
        except Refused as refused:
            self.bad(refused.rule, refused.message)

    # --

    def check_order(self):
        document = self.document
        self.ordered(document["bases"], "bases", key=lambda b: b["id"])
        for base in document["bases"]:
            self.ordered(base["roots"], "roots", key=lambda r: (r["root"], r["reference"]))
        self.ordered(document["blobs"], "blobs", key=lambda b: b["digest"])
        self.ordered(document["manifests"], "manifests", key=lambda m: m["digest"])
        self.ordered(document["images"], "images", key=lambda i: i["requested"])
        for image in document["images"]:
            self.ordered(image["platforms"], "platforms")
            self.ordered(image["attached"], "attached", key=lambda a: (
                a["root"], a["subject"], a["by"], absent_first(a.get("tag"))))
        self.ordered(self.catalogs, "catalogs", key=lambda c: c["image"])
        self.ordered(self.releases, "releases", key=lambda r: r["image"])
        for key in ("catalogs", "releases"):
            if document.get(key) == []:
                self.bad("R-12", "`%s` is there and empty" % key)

    # --

    def check_blobs(self):
        bases = {base["id"] for base in self.document["bases"]}
        for row in self.document["blobs"]:
            (kind, inner), = row["place"].items()
            if kind == "carried":
                self.check_carried(row, inner)
            elif kind == "omitted" and inner["origin"] not in bases:
                self.bad("R-29", "%s: its origin is no base" % row["digest"])
            elif kind == "foreign":
                self.ordered(inner["urls"], row["digest"] + ".urls", "R-24")
        for row in self.document["manifests"]:
            if row["extent"][2] != row["extent"][3]:
                self.bad("R-20", "%s: stored and decoded differ" % row["digest"])
            if row["extent"][2] > CAP_OCI_MANIFEST:
                self.bad("R-11", "%s: an OCI manifest of more than %d bytes" % (row["digest"], CAP_OCI_MANIFEST))

    def check_carried(self, row, carried):
        name = row["digest"]
        if carried["codec"] != "raw":
            self.bad("R-21", "%s: unknown codec %s" % (name, shown(carried["codec"])))
        elif carried["needs"] or carried["memory"] or carried["scratch"]:
            self.bad("R-21", "%s: raw needs nothing" % name)
        elif any(e[2] != e[3] for e in carried["extents"]):
            self.bad("R-20", "%s: stored and decoded differ" % name)
        if sum(e[3] for e in carried["extents"]) != row["size"]:
            self.bad("R-22", "%s: its extents are not as long as it is" % name)
        if not carried["extents"] and (row["size"] or name != EMPTY_DIGEST):
            self.bad("R-22", "%s: carried without extents, and not the empty blob" % name)

    # --

    def check_layout(self):
        for number, extents in sorted(self.layout.items()):
            chunk = self.chunks.get(number)
            if chunk is None:
                self.bad("R-23", "extents in chunk %06d, which does not exist" % number)
                continue
            try:
                self.check_chunk_layout(chunk, extents)
            except Refused as refused:
                self.broken_layout.add(number)
                self.bad(refused.rule, refused.message)

    def check_chunk_layout(self, chunk, extents):
        where = "chunk %06d" % chunk["number"]
        data = chunk["kind"] == "data"
        at, last = 1536, ""
        for offset, stored, name, _, _ in extents:
            is_manifest = offset_is_of_row(self.rows, name, chunk["number"], offset)
            if is_manifest == data:
                fail(where, "%s lies in a chunk of the wrong kind" % name, "R-23")
            if offset != at:
                fail(where, "%s does not begin at %d" % (name, at), "R-23")
            if not data and not last < name:
                fail(where, "OCI manifests do not ascend by digest", "R-36")
            at, last = offset + padded(stored) + 512, name
        end = at - 512 + 1024
        if data and end != chunk["length"]:
            fail(where, "its extents end at %d, its length is %d" % (end, chunk["length"]), "R-23")

    # --

    def check_chunks(self):
        numbers = [row["number"] for row in self.document["chunks"]]
        if numbers != [row["number"] for row in self.manifest["chunks"]]:
            self.bad("R-27", "the rows of `chunks` are not those of the chunk table")
            return
        generation = 1
        for origin, chunk in zip(self.document["chunks"], self.manifest["chunks"]):
            where, decoded = "chunk %06d" % chunk["number"], origin["decoded"]
            if origin["generation"] != generation:
                self.bad("R-27", "%s: generation %d where %d follows" % (where, origin["generation"], generation))
                return
            if chunk["kind"] == "data":
                if decoded != chunk["length"]:
                    self.bad("R-27", "%s: decoded is not its length" % where)
                continue
            generation += 1
            if decoded % 512 or decoded > CAP_TAR:
                self.bad("R-27", "%s: decoded is no multiple of 512, or above the cap" % where)
        if (not self.manifest["chunks"] or self.manifest["chunks"][-1]["kind"] != "metadata"
                or generation - 1 != self.manifest["generation"]):
            self.bad("R-27", "the last chunk is not the metadata chunk of the manifest's generation")

    # -- R-24, as far as the inventory goes

    def check_rows(self):
        named = set()
        for row in self.document["manifests"]:
            name = row["digest"]
            digests = row["blobs"] + row["children"] + row["omitted"]
            digests += [row["subject"]] if "subject" in row else []
            if len(set(digests)) != len(digests):
                self.bad("R-24", "%s names a digest in two places, or twice" % name)
            if any(d not in self.blobs for d in row["blobs"]):
                self.bad("R-24", "%s names a blob without row" % name)
            if any(d not in self.rows for d in row["children"]):
                self.bad("R-24", "%s names a child without row" % name)
            if kind_of(row["media_type"]) is None:
                self.bad("R-24", "%s: unknown media type %s" % (name, shown(row["media_type"])))
            named.update(row["blobs"])
        for name in self.blobs:
            if name not in named:
                self.bad("R-24", "%s: no OCI manifest names this blob" % name)

    # --

    def height(self, name, known, depth=1):
        """The longest chain of rows from this one; Refused when longer than allowed, or a circle."""
        if name not in known:
            if depth > CAP_CHAIN:
                fail(name, "a chain of more than %d rows, or a circle" % CAP_CHAIN, "R-25")
            known[name] = 1 + max((self.height(child, known, depth + 1)
                                   for child in self.rows[name]["children"] if child in self.rows), default=0)
        if known[name] + depth - 1 > CAP_CHAIN:
            fail(name, "a chain of more than %d rows" % CAP_CHAIN, "R-25")
        return known[name]

    def check_graph(self):
        """No circles, no long chains, every row is reached."""
        known = {}
        try:
            for name in self.rows:
                self.height(name, known)
        except Refused as refused:
            self.bad(refused.rule, refused.message)
        tops = [t for image in self.images for t in tops_of(image)]
        for name in self.rows.keys() - self.reach(tops):
            self.bad("R-25", "%s: no image reaches this OCI manifest" % name)

    def reach(self, tops):
        """All rows that are reached from these by children, these included."""
        seen, queue = set(), [t for t in tops if t in self.rows]
        while queue:
            name = queue.pop()
            if name not in seen:
                seen.add(name)
                queue.extend(c for c in self.rows[name]["children"] if c in self.rows)
        return seen

    def rows_with_missing(self):
        """The rows below which a blob is missing."""
        missing = {name for name, row in self.blobs.items() if "missing" in row["place"]}
        return self.above([name for name, row in self.rows.items() if missing.intersection(row["blobs"])])

    def above(self, names):
        """These rows and all that reach them."""
        if self._parents is None:
            self._parents = {}
            for name, row in self.rows.items():
                for child in row["children"]:
                    self._parents.setdefault(child, []).append(name)
        seen, queue = set(), list(names)
        while queue:
            name = queue.pop()
            if name not in seen:
                seen.add(name)
                queue.extend(self._parents.get(name, ()))
        return seen

    def images_of(self, digests):
        """The images that are hit when these blobs or OCI manifests are damaged (R-51)."""
        digests = set(digests)
        hit = self.above([name for name, row in self.rows.items()
                          if name in digests or digests.intersection(row["blobs"])])
        return {image["requested"] for image in self.images if hit.intersection(tops_of(image))}

    def check_images(self):
        missing = self.rows_with_missing()
        originals = {c["image"]: c.get("original") for c in self.catalogs}
        work = 0
        for image in self.images:
            self.check_words(image, originals)
            incomplete = "root" not in image or missing.intersection(tops_of(image))
            if incomplete and "problem" not in image:
                self.image_bad(image, "something is missing, and it has no problem")
            for by, key in (("cosign-tag", "cosign"), ("referrers", "referrers")):
                some = any(a["by"] == by for a in image["attached"])
                if some and image[key] in ("absent", "not-asked") or not some and image[key] == "carried":
                    self.image_bad(image, "`%s` is `%s`; its attachments say otherwise" % (key, image[key]))
            if image["attached"] and work <= CAP_SUBJECT_WORK:
                work += self.check_attached(image)
                if work > CAP_SUBJECT_WORK:
                    self.bad("R-11", "too many rows to look at for subjects of attachments")

    def image_bad(self, image, message):
        self.bad("R-25", "%s: %s" % (image["requested"], message), [image["requested"]])

    def check_words(self, image, originals):
        """What an image's row says twice."""
        source, wanted_tag, wanted_digest = split_reference(image["requested"])
        if wanted_tag is None and wanted_digest is None:
            wanted_tag = "latest"
        if image["source"] != source:
            self.image_bad(image, "its source is another repository")
        if image.get("tag") != wanted_tag:
            self.image_bad(image, "its tag is not the one asked for")
        if "root" in image and wanted_digest not in (None, image["root"], originals.get(image["requested"])):
            self.image_bad(image, "its root is not the digest asked for")
        for top in tops_of(image):
            if top not in self.rows:
                self.image_bad(image, "%s has no row" % top)

    def check_attached(self, image):
        """Tags and subjects of attachments. Returns the number of rows and children looked at."""
        for attached in image["attached"]:
            row = self.rows.get(attached["root"], {})
            if attached["by"] == "referrers":
                if "tag" in attached or row.get("subject") != attached["subject"]:
                    self.image_bad(image, "a referrer with a tag, or whose manifest has another subject")
            else:
                match = COSIGN_TAG.match(attached.get("tag", ""))
                if not match or "sha256:" + match.group(1) != attached["subject"]:
                    self.image_bad(image, "a cosign artifact whose tag is not that of its subject")
        # Attachments of what was found so far are taken until none is left to take.
        found, work, waiting = set(), 0, {}
        for attached in image["attached"]:
            waiting.setdefault(attached["subject"], []).append(attached["root"])
        queue = [image["root"]] if "root" in image else []
        while queue:
            name = queue.pop()
            if name in found or name not in self.rows:
                continue
            found.add(name)
            work += 1 + len(self.rows[name]["children"])
            queue.extend(self.rows[name]["children"])
            queue.extend(waiting.pop(name, ()))
        for subject in sorted(waiting):
            self.image_bad(image, "an attachment of %s, which the image does not contain" % subject)
        return work

    # --

    def check_complete(self):
        whole = (not any("problem" in image for image in self.images)
                 and not any("malformed" in catalog for catalog in self.catalogs))
        if whole != self.manifest["complete"]:
            self.bad("R-26", "`complete` in the manifest is not what the inventory says")

    # --

    def check_releases(self):
        requested = {image["requested"] for image in self.images}
        for release in self.releases:
            name = release["image"]
            if name not in requested:
                self.bad("R-60", "release %s is no image of the bundle" % name)
            self.ordered(release["keyrings"], "keyrings", key=lambda k: k["name"])
            self.ordered(release["components"], "components", key=lambda c: c["name"])
            for component in release["components"]:
                if component["image"] not in requested or "@" not in component["image"]:
                    self.bad("R-60", "component %s of %s is no image of the bundle, or without digest"
                             % (component["name"], name))
            if release["unsigned"] == bool(release["signatures"]):
                self.bad("R-60", "release %s: `unsigned` is not what its signatures say" % name)

    def check_catalogs(self):
        requested = {image["requested"] for image in self.images}
        for catalog in self.catalogs:
            malformed = catalog.get("malformed", [])
            if catalog["image"] not in requested:
                self.bad("R-61", "catalog %s is no image of the bundle" % catalog["image"])
            self.ordered(catalog["members"], "members", key=lambda m: (m["image"], m["written"]))
            self.ordered(malformed, "malformed", "R-63", key=lambda m: m["text"])
            if len(malformed) > 10_000 or catalog.get("malformed") == []:
                self.bad("R-63", "catalog %s has no or too many malformed texts" % catalog["image"])
            for member in catalog["members"]:
                if member["image"] not in requested:
                    self.bad("R-61", "member %s is no image of the bundle" % member["image"])
                self.check_needed_by(member.get("needed_by", []))
            for row in malformed:
                self.check_needed_by(row["needed_by"])
                if not row["needed_by"]:
                    self.bad("R-63", "a malformed text that nothing needs")
        wanted = [f for f, rows in (("catalogs", self.catalogs), ("releases", self.releases)) if rows]
        if self.manifest["requires"] != wanted:
            self.bad("R-62", "`requires` in the manifest is not what the inventory says")

    def check_needed_by(self, elements):
        if len(elements) > 4:
            self.bad("R-63", "more than 4 elements in `needed_by`")
        self.ordered(elements, "needed_by", "R-63", key=lambda e: (e["name"], absent_first(e.get("package"))))


def offset_is_of_row(rows, name, chunk, offset):
    """Whether the extent at this place is that of an OCI manifest."""
    row = rows.get(name)
    return row is not None and row["extent"][:2] == [chunk, offset]


def tops_of(image):
    """The root of an image and those of its attachments."""
    return ([image["root"]] if "root" in image else []) + [a["root"] for a in image["attached"]]
