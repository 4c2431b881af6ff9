"""Makes scripts/verify_bundle.py quicker for the thousands of bundles of scripts/differential.py.

The verifier needs nothing but programs: it starts `b3sum` for every hash and `zstd` for every frame, and
computes Ed25519 by the book. `install` replaces those three by the same functions, computed otherwise:

    BLAKE3     what b3sum said of the same bytes before (by their SHA-256), for a mutation changes one
               file of a bundle, and all others are hashed again with every bundle
    zstd       the library libzstd, which the program is made of, where it is installed
    Ed25519    multiples of the same few points from tables

What is verified stays as it is. It shares no code with airferry.
"""

import ctypes
import ctypes.util
import hashlib
import os
import subprocess

REMEMBERED = 1 << 16


def scratch(needed=256 << 20):
    """Where files that nobody keeps are written: in memory if there is room for so many bytes, else None."""
    try:
        there = os.statvfs("/dev/shm")
    except OSError:
        return None
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) and there.f_bavail * there.f_frsize >= needed else None


class Remembered:
    """A BLAKE3 hasher for verify_bundle.new_blake3 that asks another one for what is new."""

    known = {}

    def __init__(self, make):
        self.make, self.pieces = make, []

    def update(self, data):
        self.pieces.append(bytes(data))

    def hexdigest(self):
        data = b"".join(self.pieces)
        name = hashlib.sha256(data).digest()
        if name not in self.known:
            if len(self.known) >= REMEMBERED:
                self.known.clear()
            hasher = self.make()
            hasher.update(data)
            self.known[name] = hasher.hexdigest()
        return self.known[name]


def library():
    """libzstd, or None."""
    name = ctypes.util.find_library("zstd")
    if not name:
        return None
    lib = ctypes.CDLL(name)
    lib.ZSTD_compressBound.restype = lib.ZSTD_compress2.restype = lib.ZSTD_decompress.restype = ctypes.c_size_t
    lib.ZSTD_createCCtx.restype = ctypes.c_void_p
    lib.ZSTD_compressBound.argtypes = [ctypes.c_size_t]
    lib.ZSTD_isError.argtypes = [ctypes.c_size_t]
    lib.ZSTD_CCtx_setParameter.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int]
    lib.ZSTD_compress2.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    lib.ZSTD_decompress.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_char_p, ctypes.c_size_t]
    return lib


class Zstd:
    """Frames by the library, or by the program."""

    LEVEL, CHECKSUM = 100, 201                             # of zstd.h: ZSTD_c_...

    def __init__(self):
        self.lib = library()
        if self.lib:
            self.context = self.lib.ZSTD_createCCtx()
            self.lib.ZSTD_CCtx_setParameter(self.context, self.LEVEL, 3)
            self.lib.ZSTD_CCtx_setParameter(self.context, self.CHECKSUM, 1)

    def compress(self, data, flags=()):
        """Like `zstd -3`, or as the program's flags say."""
        if self.lib and not flags:
            out = ctypes.create_string_buffer(self.lib.ZSTD_compressBound(len(data)))
            length = self.lib.ZSTD_compress2(self.context, out, len(out), data, len(data))
            if not self.lib.ZSTD_isError(length):
                return out.raw[:length]
        command = ["zstd", "-qc", "--stream-size=%d" % len(data), *(flags or ["-3"])]
        return subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout

    def decompress(self, data, room):
        """At most `room` bytes; None when that is too little, or the frame is bad."""
        out = ctypes.create_string_buffer(max(1, room))
        length = self.lib.ZSTD_decompress(out, room, data, len(data))
        return None if self.lib.ZSTD_isError(length) else out.raw[:length]


class Multiples:
    """verify_bundle.point_multiply, for points that come back: 64 additions of 4-bit multiples."""

    def __init__(self, v):
        self.add, self.slow, self.identity, self.tables, self.seen = v.point_add, v.point_multiply, v.IDENTITY, {}, {}

    def __call__(self, scalar, point):
        if scalar < 1 << 16 or scalar >> 256:
            return self.slow(scalar, point)
        table = self.tables.get(point)
        if table is None:
            # A table costs as much as five multiplications: not for points that are seen once.
            self.seen[point] = self.seen.get(point, 0) + 1
            if len(self.seen) > 4096:
                self.seen.clear()
            if self.seen.get(point, 0) < 4 or len(self.tables) >= 64:
                return self.slow(scalar, point)
            table = self.tables[point] = self.make(point)
        sum_of = self.identity
        for row in table:
            digit = scalar & 15
            if digit:
                sum_of = self.add(sum_of, row[digit])
            scalar >>= 4
        return sum_of

    def make(self, point):
        rows = []
        for _ in range(64):
            row = [self.identity]
            for _ in range(15):
                row.append(self.add(row[-1], point))
            rows.append(row)
            point = self.add(row[-1], point)
        return rows


def install(v):
    """Replaces the three in the module verify_bundle; returns the Zstd for what the caller compresses."""
    make, slow = v.new_blake3, v.point_multiply
    v.new_blake3 = lambda: Remembered(make)
    fast = v.point_multiply = Multiples(v)
    # The tables are right, or nothing goes on: the very thing that is compared is at stake.
    for scalar in (v.L - 1, int.from_bytes(hashlib.sha256(b"airferry").digest(), "little")):
        for _ in range(5):
            found = v.point_encode(fast(scalar, v.BASE_POINT))
        if found != v.point_encode(slow(scalar, v.BASE_POINT)):
            raise SystemExit("differential: the tables of multiples are wrong")
    zstd, by_program = Zstd(), v.decompress

    def decompress(data, decoded):
        result = zstd.decompress(data, decoded)
        if result is None or len(result) != decoded:
            # The program has the last word on what is refused.
            return by_program(data, decoded)
        return result

    # A frame may claim anything; only a small one is worth a buffer of that length.
    if zstd.lib:
        v.decompress = lambda data, decoded: (decompress if decoded <= 64 * v.MIB else by_program)(data, decoded)
    return zstd
