"""The baseline of `airferry verify`: how fast this machine reads the files of a folder and hashes
them as a bundle is hashed (SHA-256 of chunks, SHA-256 of blobs, BLAKE3), on all cores.

    reading    all files once, by one reader or by one for each core, whichever is faster; from the
               medium with the page cache emptied before (that takes root), and from the cache
    hashing    OpenSSL's SHA-256 twice over every byte, by a thread for each core which take the
               next 16 MiB in turn, so that all are busy to the end; then b3sum on all cores. The
               files are in the page cache, and are read from it.

Nothing that has to read and hash can be faster than the slower of the two: that is the baseline,
and the limit that holds. What is given out are rates: where the files do not fit into half of the
free memory, hashing is measured on as many of them as do.
"""

import concurrent.futures
import hashlib
import os
import pathlib
import time

import measure

PIECE = 16 << 20
BUFFER = 512 << 10


def pieces(files):
    """The files in pieces (path, offset, length)."""
    for path, size in files:
        for offset in range(0, size, PIECE):
            yield path, offset, min(PIECE, size - offset)


def read(piece, *hashes):
    """Reads one piece, into every hash that is given."""
    path, offset, length = piece
    buffer = memoryview(bytearray(BUFFER))
    with open(path, "rb", buffering=0) as file:
        file.seek(offset)
        while length:
            got = file.readinto(buffer[:min(length, BUFFER)])
            if not got:
                raise SystemExit(f"bench: {path} became shorter")
            for one in hashes:
                one.update(buffer[:got])
            length -= got


def sha256_twice(piece):
    read(piece, hashlib.sha256(), hashlib.sha256())


def seconds(task, files, workers):
    begin = time.monotonic()
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        for _ in pool.map(task, pieces(files)):
            pass
    return time.monotonic() - begin


def fitting(files):
    """As many of the files as half of the free memory holds, at least one."""
    with open("/proc/meminfo") as file:
        free = next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable"))
    chosen, total = [], 0
    for path, size in files:
        if chosen and total + size > free / 2:
            break
        chosen.append((path, size))
        total += size
    return chosen, total


def measure_floor(folder):
    """Rates in bytes a second, and which limit holds; `cold` only where caches can be emptied."""
    files, cores = measure.files_of(folder), os.cpu_count() or 1
    total = sum(size for _, size in files)
    if not total:
        raise SystemExit(f"bench: nothing to read in {folder}")
    report = {"bytes": total, "cores": cores}
    counts = sorted({1, cores})
    cold = []
    for workers in counts:
        if measure.drop_caches():
            cold.append(total / seconds(read, files, workers))
    sample, size = fitting(files)
    seconds(read, sample, cores)
    report["read_warm"] = size / min(seconds(read, sample, workers) for workers in counts)
    spent = time.process_time()
    sha256 = seconds(sha256_twice, sample, cores)
    sha256_cpu = time.process_time() - spent
    blake3 = measure.run(["b3sum", "--num-threads", str(cores), *(path for path, _ in sample)])
    report["hash"] = size / (sha256 + blake3["wall"])
    report["hash_cpu"] = (sha256_cpu + blake3["cpu"]) * total / size
    report["warm"] = min(report["read_warm"], report["hash"])
    report["warm_limit"] = "hashing" if report["hash"] < report["read_warm"] else "reading"
    if cold:
        report["read_cold"] = max(cold)
        report["cold"] = min(report["read_cold"], report["hash"])
        report["cold_limit"] = "hashing" if report["hash"] < report["read_cold"] else "reading"
    return report


def markdown(report):
    def rate(key):
        return f"{report[key] / 2**20:.0f} MiB/s"

    lines = [
        f"{report['bytes'] / 2**20:.0f} MiB, {report['cores']} cores",
        "",
        "| what | rate |",
        "|---|---|",
    ]
    if "read_cold" in report:
        lines.append(f"| reading, nothing cached | {rate('read_cold')} |")
    lines += [
        f"| reading, all cached | {rate('read_warm')} |",
        f"| SHA-256 twice and BLAKE3, all cores ({report['hash_cpu']:.2f} s of CPU for all) | "
        f"{rate('hash')} |",
    ]
    if "cold" in report:
        lines.append(f"| **baseline, cold**: {report['cold_limit']} is the limit | {rate('cold')} |")
    else:
        lines.append("| baseline, cold: not measured, only root can empty the caches | |")
    lines.append(f"| **baseline, warm**: {report['warm_limit']} is the limit | {rate('warm')} |")
    return "\n".join(lines) + "\n"


def main(args):
    print(markdown(measure_floor(pathlib.Path(args.folder))))
