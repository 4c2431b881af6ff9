"""The images that are carried: real files of this machine, or tiny ones.

A corpus has two months. In the second, every fourth image has a new tag `v2` with another top
layer on the same base; the others are as they were.
"""

import concurrent.futures
import dataclasses
import gzip
import hashlib
import io
import os
import random
import subprocess
import tarfile
import threading

from push import Push, digest

SOURCES = ["/usr/lib", "/usr/bin", "/usr/share", "/root/.rustup", "/usr/local"]
# What gzip makes of such files, so that a layer comes out at about the size that is wanted.
RATIO = 2.6


@dataclasses.dataclass
class Corpus:
    """What was pushed: references without the registry, and the (digest, size) of their blobs."""

    may: list
    june: list
    rows: dict

    def blobs(self, references):
        """Digest to (a repository that has it, size) of the blobs of some references."""
        return {name: (reference.split(":")[0], size)
                for reference in references for name, size in self.rows[reference]}

    def bytes(self, references):
        return sum(size for _, size in self.blobs(references).values())


def names(images):
    """References of both months."""
    repositories = [f"bench/image-{number:05}" for number in range(images)]
    may = [f"{repository}:v1" for repository in repositories]
    june = [f"{repository}:{'v1' if number % 4 else 'v2'}"
            for number, repository in enumerate(repositories)]
    return may, june


def real_files():
    """Regular files of this machine, in a fixed shuffled order, over and over."""
    found = []
    for source in SOURCES:
        for folder, _, entries in os.walk(source):
            for entry in entries:
                path = os.path.join(folder, entry)
                if os.path.isfile(path) and not os.path.islink(path):
                    size = os.path.getsize(path)
                    if size:
                        found.append((path, size))
    found.sort()
    order = random.Random(1)
    while True:
        order.shuffle(found)
        yield from found


def take(files, wanted):
    """The next files, until a layer of them has about the wanted compressed bytes.

    A file that alone would fill a good part of it is left out: it would be much too long.
    """
    taken, size = [], 0
    while size < wanted * RATIO:
        path, length = next(files)
        if length < wanted / 2:
            taken.append(path)
            size += length
    return taken


class Tee:
    """Hashes what is written to a pipe on its way."""

    def __init__(self, pipe):
        self.pipe, self.hash = pipe, hashlib.sha256()

    def write(self, data):
        self.hash.update(data)
        return self.pipe.write(data)


def real_layer(paths):
    """A gzip layer of files, and its diff id."""
    compressor = subprocess.Popen(["gzip", "-n", "-6"], stdin=subprocess.PIPE,
                                  stdout=subprocess.PIPE)
    written = []
    drain = threading.Thread(target=lambda: written.append(compressor.stdout.read()))
    drain.start()
    tee = Tee(compressor.stdin)
    with tarfile.open(fileobj=tee, mode="w|", format=tarfile.USTAR_FORMAT) as tar:
        for path in paths:
            try:
                with open(path, "rb") as file:
                    data = file.read()
            except OSError:
                continue
            info = tarfile.TarInfo(path.lstrip("/")[-99:])
            info.size, info.mtime, info.mode = len(data), 1_700_000_000, 0o755
            tar.addfile(info, io.BytesIO(data))
    compressor.stdin.close()
    drain.join()
    compressor.wait()
    return written[0], "sha256:" + tee.hash.hexdigest()


def tiny_layer(title, size=2048):
    """A gzip layer of one file that does not compress, and its diff id."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        info = tarfile.TarInfo("file")
        info.size = size
        tar.addfile(info, io.BytesIO(random.Random(title).randbytes(size)))
    return gzip.compress(raw.getvalue(), 1, mtime=0), digest(raw.getvalue())


def push_corpus(address, images, layers_of, workers):
    """Pushes both months; `layers_of` makes the layers of a reference."""
    may, june = names(images)
    local = threading.local()

    def push(reference):
        if not hasattr(local, "push"):
            local.push = Push(address)
        repository, tag = reference.split(":")
        return reference, local.push.image(repository, tag, layers_of(reference))

    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        return Corpus(may, june, dict(pool.map(push, sorted(set(may + june)))))


def push_real(address, images, mebibytes):
    """Images with about `mebibytes` MiB of compressed layers in the first month, on one base."""
    files, each = real_files(), mebibytes * 1024 * 1024 / (images + 1)
    base = real_layer(take(files, each))
    may, june = names(images)
    paths = {reference: take(files, each) for reference in sorted(set(may + june))}
    return push_corpus(address, images,
                       lambda reference: (base, real_layer(paths[reference])),
                       os.cpu_count() or 1)


def push_tiny(address, images):
    """Images of a config and two layers of 2 KiB each, the first of which they all share."""
    base = tiny_layer("base")
    return push_corpus(address, images,
                       lambda reference: (base, tiny_layer(reference)), 4)
