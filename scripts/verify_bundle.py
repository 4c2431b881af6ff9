#!/usr/bin/env python3
"""Verifies an airferry bundle. Written from bundle-format.md alone; shares no code with airferry.

    verify_bundle.py BUNDLE [--trust PUB.pem]... [--allow-unsigned] [--allow-incomplete]
                            [--allow-unverified-releases] [--strict] [--statements DIR]... [--output json]

It needs Python 3.9 or newer and the program `zstd`. BLAKE3 is computed by the module `blake3`, else
by the program `b3sum`, else by Python code below (about 0.5 MB/s: use it for small bundles only).
Ed25519 is computed here, because R-51 refuses signatures that OpenSSL accepts. No other module or
program is used, no network, and nothing is written.

Where the document does not decide, the stricter reading is taken, and a comment says so. Every check
names the rule (R-nn) of bundle-format.md, or the step of its section 10 ("10.6" is step 6), and runs in
the order of section 10. Only the statements are interpreted before the manifest is authenticated;
without a trusted statement the program stops there, unless --allow-unsigned is given or no key is
given at all.

What it does not do: it does not verify the OpenPGP signatures of OKD and OpenShift releases, nor compare
a release with its image (6.7). It calls no release genuine: a bundle with one ends with code 3, unless
--allow-unverified-releases is given and --strict is not.

Exit codes, the most severe last (10.1, and 2 of airferry's README.md): 0 all is well, 9 foreign files (--strict),
2 wrong command line, 8 the medium cannot be read, 5 images are missing, 3 not authenticated, 4 damaged
or rejected.
"""

import argparse
import base64
import binascii
import calendar
import datetime
import errno
import hashlib
import ipaddress
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
CAP_OCI_MANIFEST, CAP_METADATA, CAP_JSON_LEVELS = 4 * MIB, GIB, 512
CAP_NAMES, CAP_NAME_WORK, CAP_SUBJECT_WORK = 2_097_152, 100_000_000, 100_000_000
CAP_CHAIN = 9
CAP_FOREIGN_ENTRIES, CAP_FOREIGN_LEVELS = 1_000_000, 100
LEFTOVER_FILE, LEFTOVER_DIR, LEFTOVER_ENTRIES, LEFTOVER_ALL = MIB, MIB, 1000, 64 * MIB
CAP_VOLUME, CAP_LISTED_ENTRIES, CAP_FILTERS = 64 * KIB, 400_000, 16
LISTED, LISTED_IMAGES = 1000, 20
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
    """Everything that was found (R-61). Each finding carries the exit code that it leads to. `images` may be
    a function, which is called for findings that are listed."""

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
        images = sorted(images() if callable(images) else images)
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
# Section 6. IPv6 in the form of RFC 4291, 2.2, which may end in an IPv4 address.
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
REGISTRY = re.compile(r"(?:%s(?:\.%s)*|\[([a-fA-F0-9:.]+)\])(?::([1-9][0-9]{0,4}))?\Z" % (_LABEL, _LABEL))
_WORD = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
REPOSITORY_PATH = re.compile(r"%s(?:/%s)*\Z" % (_WORD, _WORD))
RELEASE_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}\Z")
PLATFORM = re.compile(r"[A-Za-z0-9_.-]{1,32}(?:/[A-Za-z0-9_.-]{1,32}){1,2}\Z")
COSIGN_TAG = re.compile(r"sha256-([0-9a-f]{64})\.(?:sig|att|sbom)\Z")

WHITE_SPACE = frozenset(
    [0x20, 0x85, 0xA0, 0x1680, 0x2028, 0x2029, 0x202F, 0x205F, 0x3000]
    + list(range(0x09, 0x0E)) + list(range(0x2000, 0x200B)))
_EXCLUDED_RANGES = ((0x00, 0x1F), (0x7F, 0x9F), (0x61C, 0x61C), (0x200B, 0x200F), (0x2028, 0x202E),
                    (0x2060, 0x2069), (0xFEFF, 0xFEFF), (0xFFF9, 0xFFFB))
EXCLUDED = frozenset(c for low, high in _EXCLUDED_RANGES for c in range(low, high + 1))


def has_excluded(text):
    """Whether a character stands in the text that R-16 excludes."""
    return any(ord(c) in EXCLUDED for c in text)


def is_label_text(text):
    """R-16."""
    return (1 <= len(text) <= 200 and not has_excluded(text)
            and ord(text[0]) not in WHITE_SPACE and ord(text[-1]) not in WHITE_SPACE)


def is_ipv6(text):
    try:
        ipaddress.IPv6Address(text)
    except ValueError:
        return False
    return True


def is_repository(text):
    """A repository in the one form of section 6: registry always written, `library/` on Docker Hub."""
    registry, slash, path = text.partition("/")
    match = REGISTRY.match(registry)
    if not slash or not match or not REPOSITORY_PATH.match(path):
        return False
    address, port = match.groups()
    if address and not is_ipv6(address) or port and int(port) > 65535:
        return False
    if not (any(c in registry for c in ".:[") or registry == "localhost" or registry != registry.lower()):
        return False
    if registry == "index.docker.io" or (registry in ("docker.io", "registry-1.docker.io") and "/" not in path):
        return False
    return len(registry) <= 260 and len(path) <= 255


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
# CBOR in the core deterministic encoding (R-10), with the caps that hold for every item (R-11)

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
# Ed25519 (R-51) and keys (R-52). Points are (X, Y, Z, T) with x = X/Z, y = Y/Z, xy = T/Z.

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
    """R-51. `key` is the 32 bytes of the public key."""
    if len(signature) != SIGNATURE_LENGTH:
        raise Refused("R-51", "the signature has %d bytes" % len(signature))
    a, r = point_decode(key), point_decode(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    if a is None or has_small_order(a):
        raise Refused("R-51", "the key is no point, not in its only encoding, or has small order")
    if r is None or has_small_order(r):
        raise Refused("R-51", "R of the signature is no point, or has small order")
    if s >= L:
        raise Refused("R-51", "S of the signature is not below L")
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    minus_a = (-a[0] % P, a[1], a[2], -a[3] % P)
    result = point_add(point_multiply(s, BASE_POINT), point_multiply(k, minus_a))
    if point_encode(result) != signature[:32]:
        raise Refused("R-51", "the signature is wrong")


class Key:
    """R-52: an Ed25519 public key from a file with exactly one PEM block."""

    def __init__(self, text):
        begins = re.findall(r"^-----BEGIN [^\n]*-----\s*$", text, re.M)
        block = re.search(r"^-----BEGIN PUBLIC KEY-----\s*([A-Za-z0-9+/=\s]*?)^-----END PUBLIC KEY-----", text, re.M)
        if len(begins) != 1 or not block:
            raise Refused("R-52", "not exactly one PEM block with a public key")
        try:
            der = base64.b64decode("".join(block.group(1).split()), validate=True)
        except binascii.Error:
            raise Refused("R-52", "the PEM block is not base64") from None
        if len(der) != 44 or not der.startswith(SPKI_PREFIX):
            raise Refused("R-52", "not an Ed25519 key")
        self.raw = der[12:]
        self.fingerprint = sha256_hex(der)


def read_key(path):
    with open(path, "rb") as file:
        raw = file.read(CAP_KEY_FILE + 1)
    if len(raw) > CAP_KEY_FILE:
        raise Refused("R-52", "a key file of more than %d bytes" % CAP_KEY_FILE)
    return Key(raw.decode("latin-1"))


# ---------------------------------------------------------------------------------------------
# Files (R-01, R-02)

class Directory:
    """A directory that is read without following links."""

    def __init__(self, path, parent=None):
        flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
        if parent is None:
            self.fd = os.open(path, flags)
        else:
            self.fd = os.open(path, flags | os.O_NOFOLLOW, dir_fd=parent.fd)

    def __del__(self):
        if hasattr(self, "fd"):
            os.close(self.fd)

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
            # A link, or a socket. Anything else is the medium's fault.
            if error.errno in (errno.ELOOP, errno.ENXIO):
                raise Refused("R-02", "not a regular file") from None
            raise
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise Refused("R-02", "not a regular file")
        return os.fdopen(fd, "rb", buffering=0)

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
    """One of the bundle's own directories, or None when it is absent (R-02)."""
    try:
        return Directory(name, parent)
    except FileNotFoundError:
        return None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise Refused("R-02", "not a directory", name) from None
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
# key, check of the value, the types of statement it belongs to, whether it may be absent: R-50's table.
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
    """R-50: the lines of a statement as a map; its type is under the key `type`."""
    if len(raw) > CAP_STATEMENT:
        raise Refused("R-50", "a statement of more than %d bytes" % CAP_STATEMENT)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Refused("R-50", "the statement is not UTF-8") from None
    if not text.endswith("\n"):
        raise Refused("R-50", "the last line does not end with LF")
    lines = text[:-1].split("\n")
    if any(has_excluded(line) for line in lines):
        raise Refused("R-50", "the statement has a character that R-16 excludes")
    kind = lines[0]
    if kind not in (BUNDLE, PLAN):
        raise Refused("R-50", "unknown type of statement: %s" % shown(kind))
    result, at = {"type": kind}, 1
    for key, check, kinds, optional in STATEMENT_LINES:
        if kind not in kinds:
            continue
        if at < len(lines) and lines[at].startswith(key + ": "):
            value = lines[at][len(key) + 2:]
            if not check(value):
                raise Refused("R-50", "line `%s` has a wrong value: %s" % (key, shown(value)))
            result[key] = value
            at += 1
        elif not optional:
            raise Refused("R-50", "line `%s` is absent or in another place" % key)
    if at != len(lines):
        raise Refused("R-50", "a line that does not belong here: %s" % shown(lines[at]))
    if "sequence" in result and "lineage" not in result:
        raise Refused("R-50", "`sequence` without `lineage`")
    return result


class Statement:
    """A statement under the name of a known key (R-53)."""

    def __init__(self, name, key, fields, bundle_length):
        self.name, self.key, self.fields, self.bytes = name, key, fields, bundle_length
        self.counts = True

    def expired(self, now):
        """Step 8 of R-53: `expires` does not lie in the future."""
        return "expires" in self.fields and self.fields["expires"] <= now


def check_statement(key, raw, signature, manifest):
    """Steps 3 to 6 of R-53, which need no more of the manifest than its bytes."""
    check_signature(key.raw, raw, signature)
    fields = parse_statement(raw)
    if fields["type"] != BUNDLE:
        raise Refused("R-53", "the statement is about a plan")
    if fields["key"] != key.fingerprint:
        raise Refused("R-53", "the statement names another key")
    if fields["manifest-length"] != str(len(manifest)):
        raise Refused("R-53", "the statement names another length of manifest.cbor")
    if fields["manifest-sha256"] != sha256_hex(manifest):
        raise Refused("R-53", "the statement names another SHA-256 of manifest.cbor")
    if fields["manifest-blake3"] != blake3_hex(manifest):
        raise Refused("R-53", "the statement names another BLAKE3 of manifest.cbor")
    return fields


def agree_with_manifest(statements, manifest, sums, findings):
    """Step 9 of R-53, when the manifest has been read."""
    wanted = {"generation": str(manifest["generation"]), "complete": "yes" if manifest["complete"] else "no",
              "sums-sha256": sha256_hex(sums)}
    for statement in statements:
        for key, value in wanted.items():
            if statement.fields[key] != value:
                statement.counts = False
                findings.add("R-53", "line `%s` does not agree with the bundle" % key, file=statement.name)


# ---------------------------------------------------------------------------------------------
# Tables (R-12): a checker takes a value and where it stands, and raises Refused

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
        fail(where, "not a label text", "R-16")


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


def ascending(values, where, rule="R-14", key=lambda v: v):
    """R-14: strictly ascending, so no two are equal."""
    keys = [key(v) for v in values]
    for i in range(1, len(keys)):
        if not keys[i - 1] < keys[i]:
            fail(where, "element %d is not above the one before it" % i, rule)


def utf8(value):
    return value.encode("utf-8")


def absent_first(value):
    """An absent element of a tuple comes first (R-14)."""
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
            (len({repr(as_list(image, "platforms")) for image in rows["images"]}), CAP_FILTERS,
             "different lists `platforms`"),
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
    """R-13: type and format, before any other key."""
    any_map(document, where)
    if "type" not in document or "format" not in document:
        fail(where, "no key type, or no key format")
    if document["type"] != kind:
        fail(where, "type is not %s" % kind, "R-13")
    uint(document["format"], where + ".format")
    if document["format"] != 1:
        fail(where, "unknown format %d" % document["format"], "R-13")


def look_at_requires(document):
    """Caps on `requires` (R-11), then R-13 for its entries."""
    requires = as_list(document, "requires")
    cap_count(len(requires), CAP_FEATURES, "entries of `requires`")
    for feature in requires:
        if isinstance(feature, str) and len(utf8(feature)) > CAP_FEATURE_BYTES:
            raise Refused("R-11", "an entry of `requires` of more than %d bytes" % CAP_FEATURE_BYTES)


def unknown_features(document):
    unknown = [f for f in as_list(document, "requires") if isinstance(f, str) and f not in FEATURES]
    if unknown:
        fail("manifest", "needs what this verifier does not know: %s" % ", ".join(map(shown, unknown)), "R-13")


def check_chunk_row(row, limit):
    """R-15."""
    where = "chunk %06d" % row["number"]
    if row["length"] < 1:
        fail(where, "length 0", "R-15")
    if len(row["blocks"]) % 32:
        fail(where, "`blocks` is no multiple of 32 bytes")
    if len(row["blocks"]) != 32 * -(-row["length"] // BLOCK):
        fail(where, "the number of block hashes does not follow from the length", "R-15")
    if row["kind"] == "data" and (row["length"] % 512 or row["length"] > limit):
        fail(where, "the length is no multiple of 512, or above chunk_limit", "R-15")


def read_manifest(raw):
    """Step 4: R-10, R-11, R-13, then the tables and R-14 to R-16."""
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
        fail("manifest", "block_size is not %d" % BLOCK, "R-14")
    if document["generation"] < 1:
        fail("manifest", "generation is 0", "R-14")
    ascending(document["chunks"], "manifest.chunks", key=lambda row: row["number"])
    ascending(document["requires"], "manifest.requires")
    return document


def chunk_name(row):
    """R-04."""
    return "%06d.tar%s" % (row["number"], "" if row["kind"] == "data" else ".zst")


# ---------------------------------------------------------------------------------------------
# Texts that follow from the manifest (R-07, R-08)

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
    """R-21; the size is that of a tar entry (R-42)."""
    if type(value) is not list or len(value) != 4:
        fail(where, "not an array of four numbers")
    for number in value:
        uint(number, where)
    chunk, offset, stored, decoded = value
    chunk_number(chunk, where)
    if stored < 1 or decoded < 1:
        fail(where, "an extent of no bytes", "R-21")
    if offset % 512 or offset < 1024:
        fail(where, "the offset is no multiple of 512, or below 1024", "R-21")
    if stored >= 8 * GIB:
        fail(where, "8 GiB or more in one tar entry", "R-42")


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
    """R-32: 1 to 1024 bytes without the characters that R-16 excludes."""
    text(value, where)
    if not 1 <= len(utf8(value)) <= 1024 or has_excluded(value):
        fail(where, "not 1 to 1024 bytes of plain text", "R-32")


def release_name(value, where):
    if type(value) is not str or not RELEASE_NAME.match(value):
        fail(where, "not a name of 1 to 100 letters, digits, `.`, `_`, `-`", "R-30")


def version(value, where):
    release_name(value, where)
    if not "0" <= value[0] <= "9":
        fail(where, "a version that does not begin with a digit", "R-12")


FOUND = one_of("carried", "absent", "unknown", "not-asked")
NEEDED_BY = array(table(name=plain_text, package_opt=plain_text))
BLOB = table(size=uint, place=place, digest=digest)
ROW = table(blobs=array(digest), digest=digest, extent=extent, omitted=array(digest), subject_opt=digest,
            children=array(digest), platform_opt=matching(PLATFORM, "a platform"), media_type=text)
ATTACHED = table(by=one_of("cosign-tag", "referrers"), tag_opt=tag, root=digest, subject=digest)
IMAGE = table(tag_opt=tag, root_opt=digest, cosign=FOUND, source=repository, problem_opt=text,
              attached=array(ATTACHED), platforms=array(matching(PLATFORM, "a platform")), referrers=FOUND,
              requested=reference, standalone_opt=only_true, fetched_from=repository)
BASE = table(id=digest, roots=array(table(root=digest, reference=reference)), title_opt=label_text)
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
    images=array(IMAGE), request=digest, catalogs_opt=array(CATALOG),
    left_out_opt=array(table(by=plain_text, image=plain_text, needed_by_opt=NEEDED_BY)), releases_opt=array(RELEASE),
    manifests=array(ROW))


def decode_inventory(raw, manifest):
    """Step 5 up to the tables: R-20, R-10, R-13, R-11, R-12."""
    named = manifest["inventory"]
    if len(raw) != named["length"]:
        raise Refused("R-20", "the length is %d, the manifest says %d" % (len(raw), named["length"]))
    if "sha256:" + sha256_hex(raw) != named["sha256"]:
        raise Refused("R-20", "the SHA-256 is not that of the manifest")
    if "blake3:" + blake3_hex(raw) != named["blake3"]:
        raise Refused("R-20", "the BLAKE3 is not that of the manifest")
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
        self.left_out = document.get("left_out")
        self.releases = document.get("releases", [])
        self.origins = {row["number"]: row for row in document["chunks"]}
        self.chunks = {row["number"]: row for row in manifest["chunks"]}
        # chunk -> [(offset, stored, digest, index of the extent, extents of the blob)]
        self.layout = {number: [] for number in self.chunks}
        self.filters = None
        # What names a blob or an OCI manifest: rows, and the images of which it is a top.
        self.parents, self.images_at = {}, {}
        for row in document["manifests"]:
            for child in row["children"] + row["blobs"]:
                self.parents.setdefault(child, []).append(row["digest"])
        for image in self.images:
            for top in tops_of(image):
                self.images_at.setdefault(top, []).append(image["requested"])
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
        for check in (self.check_order, self.check_blobs, self.check_chunks, self.check_layout,
                      self.check_rows, self.check_graph, self.check_left_out, self.check_images,
                      self.check_complete, self.check_releases, self.check_catalogs, self.check_made):
            check()

    def bad(self, rule, message, images=()):
        self.findings.add(rule, message, file="inventory.cbor", images=images)

    def ordered(self, values, where, rule="R-14", key=lambda v: v):
        try:
            ascending(values, where, rule, key)
        except Refused as refused:
            self.bad(refused.rule, refused.message)

    # -- R-14

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
        for key in ("catalogs", "left_out", "releases"):
            if document.get(key) == []:
                self.bad("R-12", "`%s` is there and empty" % key)

    # -- R-21 to R-23, R-25

    def check_blobs(self):
        bases = {base["id"] for base in self.document["bases"]}
        for row in self.document["blobs"]:
            (kind, inner), = row["place"].items()
            if kind == "carried":
                self.check_carried(row, inner)
            elif kind == "omitted" and inner["origin"] not in bases:
                self.bad("R-25", "%s: its origin is no base" % row["digest"])
            elif kind == "foreign":
                self.ordered(inner["urls"], row["digest"] + ".urls", "R-26")
        for row in self.document["manifests"]:
            if row["extent"][2] != row["extent"][3]:
                self.bad("R-21", "%s: stored and decoded differ" % row["digest"])
            if row["extent"][2] > CAP_OCI_MANIFEST:
                self.bad("R-11", "%s: an OCI manifest of more than %d bytes" % (row["digest"], CAP_OCI_MANIFEST))

    def check_carried(self, row, carried):
        name = row["digest"]
        if carried["codec"] != "raw":
            self.bad("R-22", "%s: unknown codec %s" % (name, shown(carried["codec"])))
        elif carried["needs"] or carried["memory"] or carried["scratch"]:
            self.bad("R-22", "%s: raw needs nothing" % name)
        elif any(e[2] != e[3] for e in carried["extents"]):
            self.bad("R-21", "%s: stored and decoded differ" % name)
        if sum(e[3] for e in carried["extents"]) != row["size"]:
            self.bad("R-23", "%s: its extents are not as long as it is" % name)
        places = [e[:2] for e in carried["extents"]]
        if any(not one < other for one, other in zip(places, places[1:])):
            self.bad("R-23", "%s: its extents do not ascend" % name)
        if not carried["extents"] and (row["size"] or name != EMPTY_DIGEST):
            self.bad("R-23", "%s: carried without extents, and not the empty blob" % name)

    # -- R-24

    def check_layout(self):
        for number, extents in sorted(self.layout.items()):
            chunk = self.chunks.get(number)
            if chunk is None:
                self.bad("R-24", "extents in chunk %06d, which does not exist" % number)
                continue
            try:
                self.check_chunk_layout(chunk, extents)
            except Refused as refused:
                self.bad(refused.rule, refused.message)

    def check_chunk_layout(self, chunk, extents):
        where = "chunk %06d" % chunk["number"]
        data = chunk["kind"] == "data"
        at, last = 1536, ""
        for offset, stored, name, _, _ in extents:
            is_manifest = offset_is_of_row(self.rows, name, chunk["number"], offset)
            if is_manifest == data:
                fail(where, "%s lies in a chunk of the wrong kind" % name, "R-24")
            if offset != at:
                fail(where, "%s does not begin at %d" % (name, at), "R-24")
            if not data and not last < name:
                fail(where, "OCI manifests do not ascend by digest", "R-46")
            at, last = offset + padded(stored) + 512, name
        end = at - 512 + 1024
        if data and end != chunk["length"]:
            fail(where, "its extents end at %d, its length is %d" % (end, chunk["length"]), "R-24")

    # -- R-29

    def check_chunks(self):
        numbers = [row["number"] for row in self.document["chunks"]]
        if numbers != [row["number"] for row in self.manifest["chunks"]]:
            self.bad("R-29", "the rows of `chunks` are not those of the chunk table")
            return
        generation, all_decoded, all_stored = 1, 0, 0
        for origin, chunk in zip(self.document["chunks"], self.manifest["chunks"]):
            where, decoded = "chunk %06d" % chunk["number"], origin["decoded"]
            if origin["generation"] != generation:
                self.bad("R-29", "%s: generation %d where %d follows" % (where, origin["generation"], generation))
                return
            if chunk["kind"] == "data":
                if decoded != chunk["length"]:
                    self.bad("R-29", "%s: decoded is not its length" % where)
                continue
            generation += 1
            if decoded % 512:
                self.bad("R-29", "%s: decoded is no multiple of 512" % where)
            all_decoded, all_stored = all_decoded + decoded, all_stored + chunk["length"]
            if max(all_decoded, all_stored) > CAP_METADATA:
                self.bad("R-29", "%s: the metadata chunks up to here are above the cap" % where)
                return
        if (not self.manifest["chunks"] or self.manifest["chunks"][-1]["kind"] != "metadata"
                or generation - 1 != self.manifest["generation"]):
            self.bad("R-29", "the last chunk is not the metadata chunk of the manifest's generation")

    # -- R-26, as far as the inventory goes

    def check_rows(self):
        named = set()
        for row in self.document["manifests"]:
            name = row["digest"]
            digests = row["blobs"] + row["children"] + row["omitted"]
            digests += [row["subject"]] if "subject" in row else []
            if len(set(digests)) != len(digests):
                self.bad("R-26", "%s names a digest in two places, or twice" % name)
            if any(d not in self.blobs for d in row["blobs"]):
                self.bad("R-26", "%s names a blob without row" % name)
            if any(d not in self.rows for d in row["children"]):
                self.bad("R-26", "%s names a child without row" % name)
            if kind_of(row["media_type"]) is None:
                self.bad("R-26", "%s: unknown media type %s" % (name, shown(row["media_type"])))
            named.update(row["blobs"])
        for name in self.blobs:
            if name not in named:
                self.bad("R-26", "%s: no OCI manifest names this blob" % name)

    def filters_of(self, name):
        """The lists `platforms` of the images that reach a row from their root or an attachment (R-26)."""
        if self.filters is None:
            # There are at most 16 different lists, so the rows are walked that often at most.
            tops, self.filters = {}, {}
            for image in self.images:
                tops.setdefault(tuple(image["platforms"]), set()).update(tops_of(image))
            for platforms, names in sorted(tops.items()):
                for row in self.reach(names):
                    self.filters.setdefault(row, []).append(platforms)
        return self.filters.get(name, [])

    def check_left_out(self):
        """What R-26 says of left-out children and needs no document for."""
        for row in self.document["manifests"]:
            if row["omitted"] and not row["children"]:
                self.bad("R-26", "%s: all its children are left out" % row["digest"])
            if row["omitted"] and () in self.filters_of(row["digest"]):
                self.bad("R-26", "%s: children are left out, and an image that reaches it has no `platforms`"
                         % row["digest"], lambda name=row["digest"]: self.images_of([name]))

    # -- R-27

    def height(self, name, known, depth=1):
        """The longest chain of rows from this one; Refused when longer than allowed, or a circle."""
        if name not in known:
            if depth > CAP_CHAIN:
                fail(name, "a chain of more than %d rows, or a circle" % CAP_CHAIN, "R-27")
            known[name] = 1 + max((self.height(child, known, depth + 1)
                                   for child in self.rows[name]["children"] if child in self.rows), default=0)
        if known[name] + depth - 1 > CAP_CHAIN:
            fail(name, "a chain of more than %d rows" % CAP_CHAIN, "R-27")
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
            self.bad("R-27", "%s: no image reaches this OCI manifest" % name)

    def reach(self, tops):
        """All rows that are reached from these by children, these included."""
        seen, queue = set(), [t for t in tops if t in self.rows]
        while queue:
            name = queue.pop()
            if name not in seen:
                seen.add(name)
                queue.extend(c for c in self.rows[name]["children"] if c in self.rows)
        return seen

    def above(self, digests):
        """These blobs or OCI manifests, and all rows that reach them."""
        seen, queue = set(), list(digests)
        while queue:
            name = queue.pop()
            if name not in seen:
                seen.add(name)
                queue.extend(self.parents.get(name, ()))
        return seen

    def images_of(self, digests):
        """The images that are hit when these blobs or OCI manifests are damaged (R-61)."""
        return {image for name in self.above(digests) for image in self.images_at.get(name, ())}

    def check_images(self):
        missing = self.above(name for name, row in self.blobs.items() if "missing" in row["place"])
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
        self.bad("R-27", "%s: %s" % (image["requested"], message), [image["requested"]])

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

    # -- R-28

    def check_complete(self):
        whole = (not any("problem" in image for image in self.images)
                 and not any("malformed" in catalog for catalog in self.catalogs))
        if whole != self.manifest["complete"]:
            self.bad("R-28", "`complete` in the manifest is not what the inventory says")

    # -- R-30 to R-33

    def check_releases(self):
        requested = {image["requested"] for image in self.images}
        for release in self.releases:
            name = release["image"]
            if name not in requested:
                self.bad("R-30", "release %s is no image of the bundle" % name)
            self.ordered(release["keyrings"], "keyrings", key=lambda k: k["name"])
            self.ordered(release["components"], "components", key=lambda c: c["name"])
            for component in release["components"]:
                if component["image"] not in requested or "@" not in component["image"]:
                    self.bad("R-30", "component %s of %s is no image of the bundle, or without digest"
                             % (component["name"], name))
            if release["unsigned"] == bool(release["signatures"]):
                self.bad("R-30", "release %s: `unsigned` is not what its signatures say" % name)

    def check_catalogs(self):
        requested = {image["requested"] for image in self.images}
        for catalog in self.catalogs:
            malformed = catalog.get("malformed", [])
            if catalog["image"] not in requested:
                self.bad("R-31", "catalog %s is no image of the bundle" % catalog["image"])
            self.ordered(catalog["members"], "members", key=lambda m: (m["image"], m["written"]))
            self.ordered(malformed, "malformed", "R-32", key=lambda m: m["text"])
            # "Absent when there is none" (6.8).
            if len(malformed) > 10_000 or catalog.get("malformed") == []:
                self.bad("R-32", "catalog %s has no or too many malformed texts" % catalog["image"])
            for member in catalog["members"]:
                if member["image"] not in requested:
                    self.bad("R-31", "member %s is no image of the bundle" % member["image"])
                if "needed_by" in member:
                    self.check_needed_by(member["needed_by"])
            for row in malformed:
                self.check_needed_by(row["needed_by"])
        if self.left_out is not None:
            self.ordered(self.left_out, "left_out", "R-32", key=lambda row: row["image"])
            if len(self.left_out) > 10_000:
                self.bad("R-32", "too many elements in `left_out`")
            for row in self.left_out:
                if "needed_by" in row:
                    self.check_needed_by(row["needed_by"])
        wanted = [f for f, rows in (("catalogs", self.catalogs), ("releases", self.releases)) if rows]
        if self.manifest["requires"] != wanted:
            self.bad("R-33", "`requires` in the manifest is not what the inventory says")

    def check_made(self):
        """R-31: an image that the writer made is nothing but that catalog."""
        others = {m["image"] for catalog in self.catalogs for m in catalog["members"]}
        for release in self.releases:
            others.update([release["image"]], (c["image"] for c in release["components"]))
        others.update(image["requested"] for image in self.images if "standalone" in image)
        for catalog in self.catalogs:
            if "original" in catalog and catalog["image"] in others:
                self.bad("R-31", "catalog %s was made of another and is something else as well" % catalog["image"],
                         [catalog["image"]])

    def check_needed_by(self, elements):
        if not 1 <= len(elements) <= 4:
            self.bad("R-32", "no element, or more than 4, in `needed_by`")
        self.ordered(elements, "needed_by", "R-32", key=lambda e: (e["name"], absent_first(e.get("package"))))


def offset_is_of_row(rows, name, chunk, offset):
    """Whether the extent at this place is that of an OCI manifest."""
    row = rows.get(name)
    return row is not None and row["extent"][:2] == [chunk, offset]


def tops_of(image):
    """The root of an image and those of its attachments."""
    return ([image["root"]] if "root" in image else []) + [a["root"] for a in image["attached"]]


# ---------------------------------------------------------------------------------------------
# OCI manifests (R-26): what a row says follows from the document's bytes

NONDISTRIBUTABLE = (
    "application/vnd.oci.image.layer.nondistributable.v1.tar",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
    "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip")


def folded(key):
    """Simple case folding of Unicode, as far as ASCII letters come out of it: U+017F and U+212A are the only
    others that do. str.casefold() is the full folding, which makes two letters of U+FB06."""
    return ascii_lower(key).replace("\u017f", "s").replace("\u212a", "k")


def ascii_lower(name):
    return "".join(c.lower() if c.isascii() else c for c in name)


# Keys that stand there once, and in this case alone (R-26).
DOCUMENT_KEYS = {folded(key): key for key in (
    "schemaVersion", "mediaType", "artifactType", "config", "layers", "manifests", "subject", "fsLayers",
    "signatures")}
DESCRIPTOR_KEYS = {folded(key): key for key in (
    "mediaType", "digest", "size", "urls", "platform", "annotations", "data")}
PLATFORM_KEYS = {key: key for key in ("os", "architecture", "variant")}
DOCKER_REFERENCE = "vnd.docker.reference.digest"
JSON_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[][{}]', re.DOTALL)


class Object(dict):
    """A JSON object that keeps its pairs, so that keys which stand there twice can be found."""

    def __init__(self, pairs):
        super().__init__(pairs)
        self.pairs = pairs


def no_constant(name):
    raise ValueError("%s is no JSON" % name)


def parse_integer(digits):
    # Python refuses to convert very long numbers; none is looked at.
    return int(digits) if len(digits) <= 20 else float("inf")


def nesting(raw):
    """How deep objects and arrays lie in each other, the outermost one counted."""
    depth = deepest = 0
    for token in JSON_TOKEN.findall(raw):
        depth += {b"{": 1, b"[": 1, b"}": -1, b"]": -1}.get(token, 0)
        deepest = max(deepest, depth)
    return deepest


def parse_json(raw):
    if nesting(raw) > CAP_JSON_LEVELS:
        raise Refused("R-26", "objects and arrays lie in each other more than %d times" % CAP_JSON_LEVELS)
    try:
        document = json.loads(raw.decode("utf-8"), object_pairs_hook=Object, parse_constant=no_constant,
                              parse_int=parse_integer)
    except (ValueError, RecursionError) as error:
        raise Refused("R-26", "the document cannot be read: %s" % shown(str(error))) from None
    return as_object(document, DOCUMENT_KEYS, "the document")


def is_unicode(text):
    """False for what JSON can write and UTF-8 cannot (section 2): half a pair of surrogates."""
    return not any(0xD800 <= ord(c) < 0xE000 for c in text)


def as_object(value, keys, where):
    if not isinstance(value, Object):
        fail(where, "not an object", "R-26")
    if not all(is_unicode(name) for name, _ in value.pairs):
        fail(where, "a key that is no text", "R-26")
    looked_at = [name for name, _ in value.pairs if folded(name) in keys]
    if len(set(looked_at)) != len(looked_at) or any(keys[folded(name)] != name for name in looked_at):
        fail(where, "a key stands there twice, or in another case", "R-26")
    return value


def optional(value, key, kind, where):
    """value[key], which is of this type; None when it is absent or null."""
    found = value.get(key)
    if found is not None and (not isinstance(found, kind) or isinstance(found, bool)
                              or kind is str and not is_unicode(found)):
        fail(where, "`%s` is of another type" % key, "R-26")
    return found


class Descriptor:
    """A descriptor of R-26. `about` is the text of the annotation that names the child it describes."""

    def __init__(self, value, where):
        as_object(value, DESCRIPTOR_KEYS, where)
        self.digest, self.size = optional(value, "digest", str, where), optional(value, "size", int, where)
        self.media_type = optional(value, "mediaType", str, where)
        self.urls = optional(value, "urls", list, where) or []
        if self.digest is None or not DIGEST.match(self.digest):
            fail(where, "no digest that version 1 carries", "R-26")
        if self.size is None or not 0 <= self.size < 1 << 64:
            fail(where, "no size", "R-26")
        if not self.media_type or len(self.media_type) > 255 or not all(" " <= c <= "~" for c in self.media_type):
            fail(where, "no media type of 1 to 255 printable ASCII characters", "R-26")
        if not all(isinstance(url, str) and is_unicode(url) and not has_excluded(url) for url in self.urls):
            fail(where, "`urls` are no texts, or have characters that R-16 excludes", "R-26")
        platform = optional(value, "platform", dict, where)
        if platform is not None:
            as_object(platform, PLATFORM_KEYS, where + ".platform")
        self.platform = None if platform is None else platform_of(platform)
        self.about = self.described(value.get("annotations"), where)

    def described(self, annotations, where):
        """What the annotation names; None where it is not there, or the annotations cannot be read."""
        pairs = annotations.pairs if isinstance(annotations, Object) else []
        if not all(is_unicode(name) for name, _ in pairs):
            return None
        texts = [text for name, text in pairs if name == DOCKER_REFERENCE]
        if len(texts) > 1:
            fail(where, "the annotation %s twice" % DOCKER_REFERENCE, "R-26")
        return texts[0] if texts and isinstance(texts[0], str) else None


def platform_of(value):
    """(os, architecture, variant or None) of a descriptor's `platform`, or None where it names none."""
    try:
        words = tuple(optional(value, key, str, "platform") or None for key in PLATFORM_KEYS)
    except Refused:
        return None
    # What is none by the grammar of section 6 is no platform either.
    written = "/".join(word or "" for word in (words if words[2] else words[:2]))
    return words if PLATFORM.match(written) else None


def selects(wanted, found):
    """Whether an element of an image's `platforms` selects this platform; without variant it selects every one."""
    words = tuple(wanted.split("/"))
    return words == found[:len(words)]


def descriptors(document, key):
    values = optional(document, key, list, "the document") or []
    return [Descriptor(element, "%s[%d]" % (key, i)) for i, element in enumerate(values)]


def check_kind(document, row):
    """The type of a document, and the keys that belong to it (R-26)."""
    kind = kind_of(row["media_type"])
    version = optional(document, "schemaVersion", int, "the document")
    own_type = optional(document, "mediaType", str, "the document")
    optional(document, "artifactType", str, "the document")
    if version == 1 or "fsLayers" in document:
        fail("the document", "Docker's schema 1", "R-26")
    if version is not None and not 0 <= version < 1 << 64:
        fail("the document", "`schemaVersion` is no version", "R-26")
    if own_type and own_type != row["media_type"]:
        fail("the document", "another media type than in the row", "R-26")
    if not own_type and version != 2:
        fail("the document", "neither a media type nor `schemaVersion` 2", "R-26")
    if "manifests" in document and ("config" in document or "layers" in document):
        fail("the document", "`manifests` beside `config` or `layers`", "R-26")
    if kind == "image" and (document.get("config") is None or "layers" not in document):
        fail("the document", "no image", "R-26")
    if kind == "index" and "manifests" not in document:
        fail("the document", "no index", "R-26")


def each_once(names):
    return list(dict.fromkeys(names))


class Documents:
    """Compares documents with their rows, and collects what they say of foreign layers."""

    def __init__(self, inventory):
        self.inventory = inventory
        self.foreign_urls = {}
        self.unread = False

    def check(self, row, raw):
        """Adds findings for one document; its SHA-256 was checked before."""
        try:
            self.compare(row, raw)
        except Refused as refused:
            self.unread = True
            self.bad(row, refused.message)

    def bad(self, row, message):
        self.inventory.bad("R-26", "%s: %s" % (row["digest"], message),
                           lambda: self.inventory.images_of([row["digest"]]))

    def compare(self, row, raw):
        document = parse_json(raw)
        check_kind(document, row)
        config = [Descriptor(document["config"], "config")] if document.get("config") is not None else []
        layers, children = descriptors(document, "layers"), descriptors(document, "manifests")
        subject = [Descriptor(document["subject"], "subject")] if document.get("subject") is not None else []
        if row["blobs"] != each_once(d.digest for d in config + layers):
            self.bad(row, "`blobs` is not what the document names")
        named = each_once(d.digest for d in children)
        carried, omitted = set(row["children"]), set(row["omitted"])
        if (row["children"] != [d for d in named if d in carried]
                or row["omitted"] != [d for d in named if d in omitted] or carried | omitted != set(named)):
            self.bad(row, "`children` and `omitted` are not what the document names")
        if row.get("subject") != (subject[0].digest if subject else None):
            self.bad(row, "`subject` is not what the document names")
        for child in children:
            if child.digest in carried and child.digest in self.inventory.rows:
                self.compare_child(row, child)
            if child.digest in omitted:
                self.compare_left_out(row, child, children)
        for is_layer, group in ((False, config), (True, layers)):
            for described in group:
                if described.digest in self.inventory.blobs:
                    self.compare_blob(row, described, is_layer)

    def compare_child(self, row, child):
        other = self.inventory.rows[child.digest]
        if kind_of(child.media_type) is None or kind_of(child.media_type) != kind_of(other["media_type"]):
            self.bad(row, "the child %s is of another kind than the index says" % child.digest)
        if child.size != other["extent"][3]:
            self.bad(row, "the child %s has another length than the index says" % child.digest)

    def compare_left_out(self, row, child, children):
        """Each image that reaches the index has a filter, and none selects the child's platform."""
        # A child that is named may stand there twice, for two platforms: the one that names it goes with either.
        named = [c.platform for c in children if c.digest == child.about and c.digest != child.digest]
        for found in named or [child.platform]:
            if found is None:
                self.bad(row, "the child %s is left out and has no platform" % child.digest)
            elif any(selects(p, found) for platforms in self.inventory.filters_of(row["digest"]) for p in platforms):
                self.bad(row, "the child %s is left out, and a filter selects it" % child.digest)

    def compare_blob(self, row, described, is_layer):
        name = described.digest
        blob = self.inventory.blobs[name]
        if described.size != blob["size"]:
            self.bad(row, "the blob %s has another size in the document" % name)
        if "foreign" in blob["place"]:
            self.foreign_urls.setdefault(name, set()).update(described.urls)
            if not is_layer or not (described.urls or described.media_type in NONDISTRIBUTABLE):
                self.bad(row, "the blob %s is not one that may stay behind" % name)

    def finish(self):
        """URLs of foreign layers, when every document was read."""
        for name, urls in sorted(self.foreign_urls.items()):
            if not self.unread and self.inventory.blobs[name]["place"]["foreign"]["urls"] != sorted(urls):
                self.inventory.bad("R-26", "%s: its URLs are not those of the documents" % name,
                                   images=lambda: self.inventory.images_of([name]))


# ---------------------------------------------------------------------------------------------
# The tar profile (7.1, 7.2)

END = b"\0" * 1024


def tar_header(name, size, kind, link=b"", mode=b"0000644\0"):
    """R-41, to the byte."""
    head = (name.ljust(100, b"\0") + mode + b"0000000\0" * 2 + b"%011o\0" % size + b"00000000000\0"
            + b" " * 8 + kind + link.ljust(100, b"\0") + b"ustar\x0000" + b"\0" * 64 + b"0000000\0" * 2
            + b"\0" * 167)
    return head[:148] + b"%06o\0 " % sum(head) + head[156:]


def pax_record(key, value):
    """`<length> key=value\\n`, where the length counts itself (R-42)."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def tar_head(name, size, kind, link=b""):
    """The header of an entry, with the extended header before it where R-42 wants one."""
    records = b"".join(pax_record(key, value) for key, value in ((b"path", name), (b"linkpath", link))
                       if len(value) > 100)
    before = tar_header(b"pax", len(records), b"x") + pad(records) if records else b""
    mode = b"0000777\0" if kind == b"2" else b"0000644\0"
    return before + tar_header(name[:100], size, kind, link[:100], mode)


def pad(data):
    return data.ljust(padded(len(data)), b"\0")


def tar_file(name, data):
    return tar_head(name, len(data), b"0") + pad(data)


def marker(origin):
    """R-43: the first entry of a chunk."""
    number = origin["number"]
    return tar_file(b"airferry/chunk-%06d.txt" % number,
                    b"airferry-chunk-v1\nplan: %s\nchunk: %d\n" % (origin["plan"].encode(), number))


def blob_path(name, index=0, count=1):
    """R-44: the name of an extent's entry."""
    path = b"v2/blobs/sha256-" + name[7:].encode()
    return path + b".%04d" % (index + 1) if count > 1 else path


# ---------------------------------------------------------------------------------------------
# Metadata chunks (7.4)

def zstd_frame(data, decoded):
    """R-45: exactly one frame, with content size, a window of at most 8 MiB, no dictionary."""
    def need(condition, what):
        if not condition:
            raise Refused("R-45", what)

    need(data[:4] == b"\x28\xb5\x2f\xfd" and len(data) > 5, "not a zstd frame")
    flags, at = data[4], 5
    single = flags >> 5 & 1
    need(not flags & 24, "a reserved bit of the frame is set")
    window = 0
    if not single:
        window = (1 << 10 + (data[at] >> 3)) // 8 * (8 + (data[at] & 7))
        at += 1
    need(not flags & 3, "the frame names a dictionary")
    size_length = (single, 2, 4, 8)[flags >> 6]
    need(size_length, "the frame does not say its content size")
    content = int.from_bytes(data[at:at + size_length], "little") + (256 if size_length == 2 else 0)
    at += size_length
    need(content == decoded, "the frame's content size is not `decoded`")
    window = content if single else window
    need(window <= 8 * MIB, "the frame's window is above 8 MiB")
    last = 0
    while not last:
        need(at + 3 <= len(data), "the frame ends early")
        head = int.from_bytes(data[at:at + 3], "little")
        last, kind = head & 1, head >> 1 & 3
        need(kind != 3 and head >> 3 <= min(window, 128 * KIB), "a block of a reserved kind, or a long one")
        at += 3 + (1 if kind == 1 else head >> 3)
    at += 4 if flags & 4 else 0
    need(at == len(data), "bytes stand behind the frame, or the frame ends early")


def decompress(data, decoded):
    """The content of a frame that zstd_frame let pass, read no further than `decoded`."""
    process = subprocess.Popen(["zstd", "-d", "-q", "-c"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.DEVNULL)

    def feed():
        try:
            process.stdin.write(data)
            process.stdin.close()
        except BrokenPipeError:
            pass

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    result = read_up_to(process.stdout, decoded + 1)
    if len(result) > decoded:
        process.kill()
    process.stdout.close()
    feeder.join()
    if process.wait() != 0 or len(result) != decoded:
        raise Refused("R-45", "the frame cannot be decompressed")
    return result


class Names:
    """The names that the inventory implies (R-47, R-48): `all` is path -> (type, link name)."""

    def __init__(self, inventory):
        self.inventory, self.all, self.tags = inventory, {}, {}
        tops = {}
        for image in inventory.images:
            tops.setdefault(image["source"], set()).update(tops_of(image))
            self.add_tag(image["source"], image.get("tag"), image.get("root"))
            for attached in image["attached"]:
                self.add_tag(image["source"], attached.get("tag"), attached["root"])
        work = 0
        for source, roots in tops.items():
            work += self.add_repository(b"v2/" + source.encode(), roots)
            if work > CAP_NAME_WORK or len(self.all) + len(self.tags) > CAP_NAMES:
                raise Refused("R-11", "more names, or work to find them, than section 11 allows", "inventory.cbor")
        self.leave_out_directories(source for source, roots in tops.items() if roots)
        # Where images give one tag several roots, the newest chunk holds the least.
        self.all.update((path, (b"2", min(roots))) for path, roots in self.tags.items())

    def leave_out_directories(self, sources):
        """R-48: a tag whose path would be a directory of other names stands in no chunk."""
        for source in sources:
            path = b"v2/" + source.encode()
            # Names of a source lie in its directories `blobs` and `manifests`.
            self.tags.pop(path + b"/blobs", None)
            self.tags.pop(path + b"/manifests", None)
            while path:
                self.tags.pop(path, None)
                path = path.rpartition(b"/")[0]

    def add_tag(self, source, name, root):
        if name is not None and root is not None:
            path = b"v2/%s/manifests/%s" % (source.encode(), name.encode())
            self.tags.setdefault(path, set()).add(root.encode())

    def add_repository(self, base, roots):
        """Names of all that a repository's images reach. Returns the number of digests looked at."""
        rows = self.inventory.reach(roots)
        blobs = {b for name in rows for b in self.inventory.rows[name]["blobs"]}
        for name in rows:
            self.all[base + b"/manifests/" + name.encode()] = (b"1", blob_path(name))
        for name in blobs:
            place = self.inventory.blobs[name]["place"]
            # Only a carried blob of one extent has a name.
            if len(place.get("carried", {}).get("extents", [])) == 1:
                self.all[base + b"/blobs/" + name.encode()] = (b"1", blob_path(name))
        return len(rows) + len(blobs)

    def is_true(self, path, kind, link):
        """R-48. The chunk of an older generation may have another of a tag's roots."""
        return self.all.get(path) == (kind, link) or kind == b"2" and link in self.tags.get(path, ())


def join_file(inventory, number):
    """R-48: the join file of a metadata chunk as a tar entry; empty when no blob was cut."""
    generation = inventory.origins[number]["generation"]
    lines = []
    for row in inventory.document["blobs"]:
        extents = row["place"].get("carried", {}).get("extents", [])
        if len(extents) > 1 and inventory.origins[extents[-1][0]]["generation"] == generation:
            parts = b" ".join(blob_path(row["digest"], i, len(extents)) for i in range(len(extents)))
            lines.append(b"cat " + parts + b" > " + blob_path(row["digest"]) + b"\n")
    return tar_file(b"airferry/join-%06d.txt" % number, b"".join(lines)) if lines else b""


class MetadataTar:
    """Reads one decompressed tar, front to back (R-40 to R-48)."""

    def __init__(self, inventory, names, documents, number, tar):
        self.inventory, self.names, self.documents = inventory, names, documents
        self.number, self.tar, self.at = number, tar, 0

    def expect(self, wanted, rule, what):
        if self.tar[self.at:self.at + len(wanted)] != wanted:
            raise Refused(rule, "%s is not what follows from the inventory, at byte %d" % (what, self.at))
        self.at += len(wanted)

    def check(self, newest):
        self.expect(marker(self.inventory.origins[self.number]), "R-43", "the marker")
        for offset, stored, name, _, _ in self.inventory.layout[self.number]:
            self.expect(tar_head(blob_path(name), stored, b"0"), "R-46", "the header of %s" % name)
            data = self.tar[offset:offset + stored]
            self.at += len(data)
            self.expect(b"\0" * (padded(stored) - stored), "R-40", "the padding of %s" % name)
            if sha256_hex(data) != name[7:]:
                self.inventory.bad("10.7", "%s: its bytes have another SHA-256" % name,
                                   lambda: self.inventory.images_of([name]))
                self.documents.unread = True
            else:
                self.documents.check(self.inventory.rows[name], data)
        join = join_file(self.inventory, self.number)
        if join:
            self.expect(join, "R-48", "the join file")
        found = self.read_names()
        self.expect(END, "R-40", "the end of the tar")
        if self.at != len(self.tar):
            raise Refused("R-40", "bytes stand behind the end of the tar")
        if newest:
            self.compare_names(found)

    def read_names(self):
        """R-47: entries without data, ascending, each true (R-48)."""
        found, last = {}, b""
        while self.tar[self.at:self.at + 512] != END[:512] and self.at < len(self.tar):
            path, kind, link = self.read_name()
            if path <= last:
                raise Refused("R-47", "names do not ascend: %s" % shown(path))
            if not self.names.is_true(path, kind, link):
                raise Refused("R-48", "a name that is not true by the inventory: %s" % shown(path))
            found[path], last = (kind, link), path
            if len(found) > CAP_NAMES:
                raise Refused("R-11", "more than %d names" % CAP_NAMES)
        return found

    def read_name(self):
        """Reads an entry loosely, builds it anew from what was read, and compares (R-41, R-42)."""
        header, at, long = self.tar[self.at:self.at + 512], self.at, {}
        if header[156:157] == b"x":
            size = int(header[124:135], 8) if re.match(rb"0{7}[0-7]{4}\Z", header[124:135]) else 0
            data = self.tar[at + 512:at + 512 + size]
            for key in (b"path", b"linkpath"):
                match = re.search(rb"(?:\A|\n)[0-9]+ " + key + rb"=([^\n]*)\n", data)
                if match:
                    long[key] = match.group(1)
            at += 512 + padded(size)
            header = self.tar[at:at + 512]
        path = long.get(b"path", header[:100].rstrip(b"\0"))
        link = long.get(b"linkpath", header[157:257].rstrip(b"\0"))
        kind = header[156:157]
        if kind not in (b"1", b"2"):
            raise Refused("R-47", "an entry that is no name at byte %d" % self.at)
        self.expect(tar_head(path, 0, kind, link), "R-41", "the header of %s" % shown(path))
        return path, kind, link

    def compare_names(self, found):
        """R-48: the newest chunk holds all names; of several roots of a tag, the least."""
        for path, entry in sorted(self.names.all.items()):
            if found.get(path) != entry:
                self.inventory.bad("R-48", "the newest metadata chunk lacks the name %s" % shown(path))


# ---------------------------------------------------------------------------------------------
# Data chunks (7.3)

class BlobHashes:
    """SHA-256 of blobs while chunks are read from start to end, which is the order of extents (R-23)."""

    def __init__(self):
        self.states = {}

    def begin(self, name, index):
        if index == 0:
            self.states[name] = [0, hashlib.sha256()]
        state = self.states.get(name)
        # A chunk that could not be read lacks an extent before this one; that was reported.
        if state is None or state[0] != index:
            return None
        state[0] += 1
        return state[1]

    def end(self, name, count):
        """True or False for a blob that is whole now, None for one that is not."""
        if name not in self.states or self.states[name][0] != count:
            return None
        return self.states.pop(name)[1].hexdigest() == name[7:]


def data_segments(inventory, number):
    """R-44: the bytes of a data chunk that are no content, and the extents between them."""
    framing = marker(inventory.origins[number])
    for offset, stored, name, index, count in inventory.layout[number]:
        yield framing + tar_head(blob_path(name, index, count), stored, b"0"), None
        yield stored, (name, index, count)
        framing = b"\0" * (padded(stored) - stored)
    yield framing + END, None


class DataChunk:
    """Compares a data chunk with what it must be, piece by piece as it is read."""

    def __init__(self, inventory, number, hashes, findings):
        self.inventory, self.hashes, self.findings = inventory, hashes, findings
        self.segments, self.at, self.reported = data_segments(inventory, number), 0, False
        self.next()

    def next(self):
        self.what, self.extent = next(self.segments, (None, None))
        self.hasher = self.hashes.begin(self.extent[0], self.extent[1]) if self.extent else None

    def feed(self, data):
        used = 0
        while used < len(data) and self.what is not None:
            if self.extent:
                part = data[used:used + self.what]
                if self.hasher:
                    self.hasher.update(part)
                self.what -= len(part)
                if self.what == 0:
                    self.end_extent()
                    self.next()
            else:
                part = data[used:used + len(self.what)]
                if part != self.what[:len(part)] and not self.reported:
                    self.reported = True
                    self.findings.add("R-44", "the bytes around the blobs are not those that follow from "
                                      "the inventory, at byte %d or behind" % self.at)
                self.what = self.what[len(part):]
                if not self.what:
                    self.next()
            used += len(part)
            self.at += len(part)

    def end_extent(self):
        name, _, count = self.extent
        if self.hashes.end(name, count) is False:
            self.findings.add("10.8", "%s: its bytes have another SHA-256" % name,
                              images=lambda: self.inventory.images_of([name]))


# ---------------------------------------------------------------------------------------------
# Foreign files (R-06)

LEFTOVER_FILES = re.compile(r"(?:\.ds_store|thumbs\.db|desktop\.ini|\._.*)\Z", re.S)
LEFTOVER_DIRS = re.compile(r"(?:system volume information|\$recycle\.bin|\.spotlight-v100|\.trashes"
                           r"|\.trash-[0-9]+|\.fseventsd|lost\+found)\Z")
OWN_FILES = ("manifest.cbor", "inventory.cbor", "LABEL.txt", "SHA256SUMS")
UNFINISHED_FILES = ("export.plan", "export.journal", "export.plan.statement", "export.plan.sig")


class Foreign:
    """What does not belong to the bundle: listed, counted, and told apart by who left it."""

    def __init__(self):
        self.paths, self.count, self.bytes, self.entries = [], 0, 0, 0
        self.stopped = False
        self.leftovers, self.forbidden = [], []

    def take(self, directory, prefix, name, status):
        """One foreign entry of the bundle's directory, or of one of its own directories."""
        path = prefix + name
        self.count += 1
        if len(self.paths) < LISTED:
            self.paths.append(shown(path))
        if stat.S_ISDIR(status.st_mode):
            entries, size, plain = self.walk(directory, name, 1)
            passes = (not prefix and LEFTOVER_DIRS.match(ascii_lower(name)) and plain
                      and entries <= LEFTOVER_ENTRIES and size <= LEFTOVER_DIR)
        else:
            size = status.st_size if stat.S_ISREG(status.st_mode) else 0
            passes = (stat.S_ISREG(status.st_mode) and LEFTOVER_FILES.match(ascii_lower(name))
                      and size <= LEFTOVER_FILE)
            if path == "VOLUME.txt" and stat.S_ISREG(status.st_mode) and size <= CAP_VOLUME:
                self.bytes += size
                return
        self.bytes += size
        if passes:
            self.leftovers.append((os.fsencode(path), size))
        else:
            self.forbidden.append(path)

    def walk(self, parent, name, level):
        """(entries, bytes, whether all of it was counted and is a plain file or a directory)."""
        if level > CAP_FOREIGN_LEVELS:
            self.stopped = True
            return 0, 0, False
        try:
            directory = Directory(name, parent)
        except OSError:
            self.stopped = True
            return 0, 0, False
        entries, size, plain = 0, 0, True
        for inner, status in directory.entries():
            self.entries += 1
            if self.entries > CAP_FOREIGN_ENTRIES:
                self.stopped = True
                return entries, size, False
            entries += 1
            if stat.S_ISDIR(status.st_mode):
                more = self.walk(directory, inner, level + 1)
                entries, size, plain = entries + more[0], size + more[1], plain and more[2]
            elif stat.S_ISREG(status.st_mode):
                size += status.st_size
            else:
                plain = False
        return entries, size, plain

    def finish(self):
        """Of leftovers, by ascending path, as much passes as the cap holds."""
        total = 0
        for path, size in sorted(self.leftovers):
            if total + size > LEFTOVER_ALL:
                self.forbidden.append(os.fsdecode(path))
            else:
                total += size


# ---------------------------------------------------------------------------------------------
# Reading a bundle (section 10)

class Stopped(Exception):
    """Nothing more is read, because nobody who is trusted has signed."""


class Unreadable(Exception):
    """Nothing more can be read: the manifest is not here, or breaks a rule."""


class Verifier:
    def __init__(self, path, keys, options):
        self.options, self.findings = options, Findings()
        self.keys = list({key.fingerprint: key for key in keys}.values())
        self.root = Directory(path)
        self.raw = self.bundle_id = self.manifest = self.inventory = None
        self.statements, self.claimed, self.used_signatures = [], [], set()
        self.authenticated = self.stopped = self.unfinished = False
        self.foreign = Foreign()
        self.bytes = {}
        self.now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def run(self):
        try:
            self.step_1()
            self.step_2()
            self.step_3()
            self.step_4()
            self.step_5()
            self.step_6()
            self.step_7()
            self.step_8()
            self.account()
        except Stopped:
            self.stopped = True
        except Unreadable:
            pass

    def guarded(self, file, function, *arguments):
        """Runs a step's part; what it refuses becomes a finding, and None comes back."""
        try:
            return function(*arguments)
        except Refused as refused:
            self.findings.refused(refused, file)
        except OSError as error:
            self.findings.add("R-02", "cannot be read: %s" % error.strerror, EXIT_MEDIUM, file)
        return None

    # -- Steps 1 and 2

    def step_1(self):
        names = set(os.listdir(self.root.fd))
        # 10.1 has no result for a directory without anything of a bundle: a wrong path, in README.md's table.
        if not names.intersection(OWN_FILES + UNFINISHED_FILES + ("chunks", "signatures")):
            self.findings.add("R-01", "there is no bundle here", EXIT_USAGE)
            raise Unreadable()
        self.unfinished = "export.plan" in names
        if self.unfinished:
            self.findings.add("R-60", "the export is unfinished", EXIT_INCOMPLETE, "export.plan")
        own = [self.open_quietly(name) for name in ("chunks", "signatures") + ("export.made",) * self.unfinished]
        listed = len(names) + sum(len(os.listdir(directory.fd)) for directory in own if directory)
        if listed > CAP_LISTED_ENTRIES:
            # Section 11 says "refused" and 10.1 has no word for it: a directory that cannot be read.
            self.findings.add("R-11", "%d files and directories; the cap is %d" % (listed, CAP_LISTED_ENTRIES),
                              EXIT_MEDIUM)
            raise Unreadable()
        if "manifest.cbor" not in names and self.unfinished:
            raise Unreadable()

    def step_2(self):
        self.raw = self.guarded("manifest.cbor", self.root.read, "manifest.cbor", CAP_MANIFEST)
        if self.raw is None:
            raise Unreadable()
        self.bundle_id = sha256_hex(self.raw)

    # -- Step 3

    def step_3(self):
        places = [(self.root, "")] + [(Directory(p), p + "/") for p in self.options.statements]
        for place_root, shown_prefix in places:
            directory = self.guarded(None, subdirectory, place_root, "signatures")
            if directory:
                self.read_statements(directory, shown_prefix + "signatures/", place_root is self.root)
        self.judge_statements()
        if self.authenticated:
            return
        code = EXIT_OK if self.options.allow_unsigned else EXIT_NOT_AUTHENTICATED
        self.findings.add("R-54", "NOT AUTHENTICATED: no statement of a trusted exporter counts", code)
        if self.keys and not self.options.allow_unsigned:
            self.guarded("manifest.cbor", self.compare_with_sums)
            raise Stopped()

    def read_statements(self, directory, prefix, is_bundle):
        """R-05, R-53 for known keys, R-55 for the others."""
        entries = dict(directory.entries())
        known = {self.bundle_id[:16] + "-" + key.fingerprint[:16]: key for key in self.keys}
        claimed = 0
        for name in sorted(entries):
            match = STATEMENT_NAME.match(name)
            pair = name[:-len("statement")] + "sig"
            if not match or pair not in entries:
                continue
            key = known.get(match.group(1) + "-" + match.group(2))
            if key:
                self.used_signatures.update((name, pair) if is_bundle else ())
                self.guarded(prefix + name, self.read_statement, directory, prefix + name, name, pair, key)
            elif is_bundle and claimed < CAP_CLAIMED and is_claim(entries[name], entries[pair]):
                claimed += 1
                self.used_signatures.update((name, pair))
                self.claimed.append(name[:-len(".statement")])

    def read_statement(self, directory, path, name, pair, key):
        raw = directory.read(name, CAP_STATEMENT)
        signature = directory.read(pair, SIGNATURE_LENGTH)
        if len(signature) != SIGNATURE_LENGTH:
            raise Refused("R-53", "the signature has %d bytes" % len(signature))
        fields = check_statement(key, raw, signature, self.raw)
        self.statements.append(Statement(path, key, fields, len(raw)))

    def judge_statements(self):
        """Steps 7 and 8 of R-53, R-54."""
        self.authenticated = False
        for statement in self.statements:
            fields = statement.fields
            if not statement.counts:
                continue
            if fields["verdict"] == "reject":
                self.findings.add("R-53", "rejected by %s" % fields["role"], file=statement.name)
            elif statement.expired(self.now):
                self.findings.add("R-54", "the statement expired on %s" % fields["expires"], EXIT_OK, statement.name)
            elif fields["role"] == "exporter":
                self.authenticated = True

    def compare_with_sums(self):
        """Step 3: a changed manifest and a stranger's look alike otherwise."""
        with self.root.open("SHA256SUMS") as file:
            head = read_up_to(file, 64 * KIB).decode("utf-8", "replace")
        match = re.search(r"^([0-9a-f]{64})  manifest\.cbor$", head, re.M)
        if match and match.group(1) != self.bundle_id:
            raise Refused("10.3", "SHA256SUMS names another SHA-256 of manifest.cbor")

    # -- Steps 4 to 6

    def step_4(self):
        self.manifest = self.guarded("manifest.cbor", read_manifest, self.raw)
        if self.manifest is None:
            raise Unreadable()
        self.label = build_label(self.manifest, self.bundle_id)
        self.sums = build_sums(self.manifest, self.bundle_id, self.label)
        before = self.authenticated
        agree_with_manifest(self.statements, self.manifest, self.sums, self.findings)
        self.authenticated = any(
            s.counts and s.fields["role"] == "exporter" and s.fields["verdict"] == "approve"
            and not s.expired(self.now) for s in self.statements)
        if before and not self.authenticated:
            # The key did sign this manifest, so a reader does not stop here (R-53).
            self.findings.add("R-54", "NOT AUTHENTICATED: the statement does not agree with the bundle",
                              EXIT_NOT_AUTHENTICATED)

    def step_5(self):
        file = "inventory.cbor"
        raw = self.guarded(file, self.root.read, file, CAP_INVENTORY)
        document = None if raw is None else self.guarded(file, decode_inventory, raw, self.manifest)
        if document is None:
            return
        self.inventory = Inventory(document, self.manifest, self.findings)
        before = sum(self.findings.counts.values())
        self.inventory.check()
        # What breaks a rule here cannot be built upon.
        self.sound = sum(self.findings.counts.values()) == before
        if not self.manifest["complete"]:
            code = EXIT_OK if self.options.allow_incomplete else EXIT_INCOMPLETE
            self.findings.add("R-63", "INCOMPLETE: the exporter could not get everything", code)
        accepted = self.options.allow_unverified_releases and not self.options.strict
        for release in self.inventory.releases:
            self.findings.add("6.7", "release %s: not verified and not compared (this verifier never does)"
                              % release["image"], EXIT_OK if accepted else EXIT_NOT_AUTHENTICATED)

    def step_6(self):
        for name, wanted, cap, rule in (("LABEL.txt", self.label, CAP_LABEL, "R-08"),
                                        ("SHA256SUMS", self.sums, CAP_SUMS, "R-07")):
            found = self.guarded(name, self.root.read, name, cap)
            if found is not None and found != wanted:
                self.findings.add(rule, "not the text that follows from the manifest", file=name)
        self.chunk_directory = self.guarded(None, subdirectory, self.root, "chunks")
        self.lengths = {}
        for row in self.manifest["chunks"]:
            file = "chunks/" + chunk_name(row)
            length = self.guarded_chunk(row, self.length_of)
            if length is None:
                continue
            self.lengths[row["number"]] = length
            if length != row["length"]:
                self.findings.add("10.6", "the file has %d bytes, the manifest says %d" % (length, row["length"]),
                                  file=file, images=self.hit(row, min(length, row["length"]), row["length"]))

    def length_of(self, file):
        return os.fstat(file.fileno()).st_size

    def guarded_chunk(self, row, function, *arguments):
        """Opens a chunk and runs function(file, ...); a file that is not here hits all its images."""
        name = "chunks/" + chunk_name(row)
        try:
            if self.chunk_directory is None:
                raise Refused("R-01", "the directory `chunks` is not here")
            with self.chunk_directory.open(chunk_name(row)) as file:
                return function(file, *arguments)
        except Refused as refused:
            self.findings.add(refused.rule, refused.message, file=name, images=self.hit(row, 0, row["length"]))
        except OSError as error:
            self.findings.add("R-02", "cannot be read: %s" % error.strerror, EXIT_MEDIUM, name,
                              images=self.hit(row, 0, row["length"]))
        return None

    def hit(self, row, begin, end):
        """A function that finds the images that bytes begin..end of a chunk belong to (R-61)."""
        def find():
            extents = self.inventory.layout.get(row["number"], ()) if self.inventory else ()
            if row["kind"] == "data":
                extents = [e for e in extents if e[0] < end and e[0] + e[1] > begin]
            return self.inventory.images_of(e[2] for e in extents) if extents else ()
        return find

    # -- Step 7

    def step_7(self):
        documents = names = None
        if self.inventory and self.sound:
            names = self.guarded(None, Names, self.inventory)
            documents = Documents(self.inventory) if names else None
        metadata = [row for row in self.manifest["chunks"] if row["kind"] == "metadata"]
        for row in metadata:
            if row["number"] not in self.lengths:
                continue
            data = self.guarded_chunk(row, self.read_metadata, row)
            if data is None or documents is None:
                if documents:
                    documents.unread = True
                continue
            number = row["number"]
            self.findings.file = "chunks/" + chunk_name(row)
            decoded = self.inventory.origins[number]["decoded"]
            ok = self.guarded(None, self.check_metadata, data, decoded, number, names, documents, row is metadata[-1])
            documents.unread = documents.unread or not ok
            self.findings.file = None
        if documents:
            documents.finish()

    def read_metadata(self, file, row):
        """All bytes of a metadata chunk, when its hashes are right."""
        parts = []
        return b"".join(parts) if self.check_hashes(file, row, parts.append) else None

    def check_metadata(self, data, decoded, number, names, documents, newest):
        zstd_frame(data, decoded)
        MetadataTar(self.inventory, names, documents, number, decompress(data, decoded)).check(newest)
        return True

    def check_hashes(self, file, row, use):
        """Every block, SHA-256 and BLAKE3 of a chunk, while use() gets its bytes. True when all are right."""
        name, good = "chunks/" + chunk_name(row), True
        sha256, blake3 = hashlib.sha256(), new_blake3()
        at = 0
        for index, block in enumerate(blocks_of(Limited(file, row["length"]))):
            sha256.update(block)
            blake3.update(block)
            if bytes.fromhex(blake3_hex(block)) != row["blocks"][32 * index:32 * index + 32]:
                good = False
                self.findings.add("10.8", "the block has another BLAKE3", file=name, block=index,
                                  images=self.hit(row, at, at + len(block)))
            use(block)
            at += len(block)
        # The blocks say more precisely what a wrong file hits.
        images = self.hit(row, 0, row["length"]) if good else ()
        for kind, found in (("sha256", sha256.hexdigest()), ("blake3", blake3.hexdigest())):
            if row[kind] != "%s:%s" % (kind, found):
                good = False
                self.findings.add("10.8", "the file has another %s" % kind.upper(), file=name, images=images)
        return good

    # -- Step 8

    def step_8(self):
        hashes = BlobHashes()
        buildable = self.inventory is not None and self.sound
        for row in self.manifest["chunks"]:
            if row["kind"] == "data" and row["number"] in self.lengths:
                self.findings.file = "chunks/" + chunk_name(row)
                use = DataChunk(self.inventory, row["number"], hashes, self.findings).feed if buildable else ignore
                self.guarded_chunk(row, self.check_hashes, row, use)
                self.findings.file = None

    # -- R-06, R-62

    def account(self):
        own = set(OWN_FILES)
        own.update(UNFINISHED_FILES if self.unfinished else ())
        documents = self.take_directory(self.root, "", own, {"chunks", "signatures"}
                                        | ({"export.made"} if self.unfinished else set()))
        chunks = {chunk_name(row) for row in self.manifest["chunks"]}
        in_chunks = self.take_directory(self.chunk_directory, "chunks/", chunks)
        statements = self.take_directory(self.open_quietly("signatures"), "signatures/", self.used_signatures)
        made = 0
        if self.unfinished:
            directory = self.open_quietly("export.made")
            names = {n for n, _ in directory.entries() if re.match(r"sha256-[0-9a-f]{64}\Z", n)} if directory else ()
            made = self.take_directory(directory, "export.made/", names)
        self.foreign.finish()
        self.account_bytes(documents + made, in_chunks, statements)
        if self.foreign.stopped:
            self.findings.add("R-06", "foreign directories were not counted to the bottom", EXIT_OK)
        if self.foreign.forbidden and self.options.strict:
            self.findings.add("R-06", "%d files or directories that are not the bundle's, the first: %s" % (
                len(self.foreign.forbidden), shown(self.foreign.forbidden[0])), EXIT_FOREIGN)

    def open_quietly(self, name):
        """One of the bundle's directories; what is wrong with it was found before, or is foreign."""
        try:
            return subdirectory(self.root, name)
        except Refused:
            return None

    def take_directory(self, directory, prefix, own, own_directories=frozenset()):
        """The bytes of the files that belong to the bundle; everything else is foreign."""
        total = 0
        for name, status in directory.entries() if directory else ():
            if stat.S_ISREG(status.st_mode) and name in own:
                total += status.st_size
            elif not (stat.S_ISDIR(status.st_mode) and name in own_directories):
                self.foreign.take(directory, prefix, name, status)
        return total

    def account_bytes(self, documents, in_chunks, statements):
        """R-62."""
        metadata = sum(self.lengths.get(r["number"], 0) for r in self.manifest["chunks"] if r["kind"] == "metadata")
        content = framing = 0
        if self.inventory is not None and self.sound:
            for row in self.manifest["chunks"]:
                if row["kind"] == "data" and row["number"] in self.lengths:
                    inside = sum(e[1] for e in self.inventory.layout[row["number"]])
                    content += inside
                    framing += row["length"] - inside
        self.bytes = {"documents": documents, "statements": statements, "content": content, "framing": framing,
                      "metadata": metadata, "foreign": self.foreign.bytes,
                      "unaccounted": in_chunks - content - framing - metadata}

    # -- The result

    def verdict(self):
        damaged = any(f["code"] == EXIT_DAMAGED for f in self.findings.list)
        if self.raw is None:
            return "no manifest was read"
        words = ["authenticated" if self.authenticated else "NOT AUTHENTICATED"]
        if damaged:
            words.append("DAMAGED")
        elif not self.stopped:
            words.append("intact")
        if self.stopped:
            words.append("nothing else was read")
        elif self.manifest:
            words.append("complete" if self.manifest["complete"] else "INCOMPLETE")
        return ", ".join(words)

    def result(self):
        return {
            "bundle": "sha256:" + self.bundle_id if self.raw is not None else None,
            "verdict": self.verdict(), "code": self.findings.code, "authenticated": self.authenticated,
            "stopped": self.stopped, "unfinished": self.unfinished,
            "statements": [{"name": s.name, "key": s.key.fingerprint, "role": s.fields["role"],
                            "verdict": s.fields["verdict"], "comment": s.fields.get("comment"),
                            "counts": s.counts, "expired": s.expired(self.now)} for s in self.statements],
            "claimed": self.claimed, "bytes": self.bytes,
            "foreign": {"count": self.foreign.count, "bytes": self.foreign.bytes, "paths": self.foreign.paths},
            "findings": self.findings.list, "more_findings": self.findings.more()}


class Limited:
    """The first `left` bytes of a file."""

    def __init__(self, file, left):
        self.file, self.left = file, left

    def read(self, count):
        data = self.file.read(min(count, self.left))
        self.left -= len(data)
        return data


def is_claim(statement, signature):
    """R-55: lengths of a pair that is listed as claimed."""
    return (stat.S_ISREG(statement.st_mode) and stat.S_ISREG(signature.st_mode)
            and 1 <= statement.st_size <= CAP_STATEMENT and signature.st_size == SIGNATURE_LENGTH)


def ignore(_):
    pass


# ---------------------------------------------------------------------------------------------
# The command

def print_text(result):
    print("bundle %s" % result["bundle"])
    for s in result["statements"]:
        print("  %s says %s, key %s%s%s" % (s["role"], s["verdict"], s["key"], ": " + shown(s["comment"])
                                            if s["comment"] else "", " (expired)" if s["expired"] else ""))
    for name in result["claimed"]:
        print("  claimed, unverified: %s" % name)
    for path in result["foreign"]["paths"]:
        print("  foreign: %s" % path)
    for f in result["findings"]:
        where = " ".join([f["file"]] if "file" in f else []) + (" block %d" % f["block"] if "block" in f else "")
        print("  %s %s%s" % (f["rule"], where + ": " if where else "", shown(f["message"])))
        for image in f.get("images", ()):
            print("      hits %s" % image)
        if "more_images" in f:
            print("      and %d more" % f["more_images"])
    for rule, count in result["more_findings"].items():
        print("  %s: %d more findings" % (rule, count))
    if result["bytes"]:
        print("bytes: " + ", ".join("%s %d" % item for item in result["bytes"].items()))
    print(result["verdict"])


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Verifies an airferry bundle, independently of airferry.")
    parser.add_argument("bundle")
    parser.add_argument("--trust", action="append", default=[], metavar="PUB.pem")
    parser.add_argument("--statements", action="append", default=[], metavar="DIR")
    parser.add_argument("--allow-unsigned", action="store_true")
    parser.add_argument("--allow-incomplete", action="store_true")
    parser.add_argument("--allow-unverified-releases", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--output", choices=("text", "json"), default="text")
    options = parser.parse_args(arguments)
    if not shutil.which("zstd"):
        print("verify_bundle: the program zstd is not here", file=sys.stderr)
        return EXIT_USAGE
    try:
        keys = [read_key(path) for path in options.trust]
    except (OSError, Refused) as error:
        print("verify_bundle: a key cannot be used: %s" % error, file=sys.stderr)
        return EXIT_USAGE
    try:
        verifier = Verifier(options.bundle, keys, options)
        verifier.run()
    except OSError as error:
        print("verify_bundle: the medium cannot be read: %s" % error, file=sys.stderr)
        return EXIT_MEDIUM
    result = verifier.result()
    if options.output == "json":
        print(json.dumps(result, indent=2))
    else:
        print_text(result)
    return verifier.findings.code


if __name__ == "__main__":
    sys.exit(main())
