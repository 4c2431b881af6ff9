"""How long `airferry import` of a huge bundle takes until its first byte reaches the registry.

The bundle is exported from a registry of zeros (zeros.py), to a file system that compresses: it has
hundreds of GiB free, as the export asks for, and takes a few hundred MiB.

    truncate -s 400G btrfs.img && mkfs.btrfs -q btrfs.img
    mount -o loop,compress-force=zstd:1 btrfs.img /mnt

Then the caches are emptied, import starts, and the registry that it sends to notes when the first
byte of a blob arrives. Then the import is killed.
"""

import pathlib
import subprocess
import sys
import threading
import time

import measure
import report
from airferry import Airferry
from zeros import Handler, Images, Listener

GIVE_UP = 3600


def sink(times, arrived):
    """An empty registry that notes when requests, upload sessions and bytes of blobs arrive."""
    def note(what):
        times.setdefault(what, time.monotonic())

    class Sink(Handler):
        def do_GET(self):
            note("first request")
            if self.path == "/v2/":
                return self.answer(200, b"{}", Content_Type="application/json")
            return self.unknown("NAME_UNKNOWN")

        do_HEAD = do_GET

        def do_POST(self):
            note("first upload session")
            if int(self.headers.get("Content-Length") or 0):
                return self.body()
            place = self.path.partition("?")[0] + "session"
            return self.answer(202, Location=place, Range="0-0")

        def body(self):
            if self.rfile.read(1):
                note("first byte of a blob")
                arrived.set()
            self.close_connection = True

        do_PATCH = do_PUT = body

    return Listener(Sink)


def import_until_first_byte(command, times, arrived):
    """Starts the import, waits for the first byte, and kills it. When it started; its memory."""
    begin = time.monotonic()
    process = subprocess.Popen([*measure.TIED, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        while not arrived.wait(0.1):
            if process.poll() is not None:
                raise measure.Failed(process.stderr.read().decode(errors="replace")[-800:])
            if time.monotonic() - begin > GIVE_UP:
                raise measure.Failed(f"no byte within {GIVE_UP} s")
        with open(f"/proc/{process.pid}/status") as file:
            peak = next(int(line.split()[1]) * 1024 for line in file if line.startswith("VmHWM"))
    finally:
        process.kill()
        process.wait()
    return {what: at - begin for what, at in times.items()}, peak


def make(airferry, size, layer, bundle):
    """Exports a bundle of `size` GiB in layers of `layer` MiB; what that took."""
    print("hashing the layers ...", file=sys.stderr)
    images = Images(int(size * 2**30), int(layer * 2**20))
    with images.serve() as source:
        print(f"exporting {len(images.references)} images, {len(images.sizes)} layers ...",
              file=sys.stderr)
        named = [f"{source.address}/{reference}" for reference in images.references]
        return measure.run(airferry.export(named, bundle), limit=8 * 3600)


def main(args):
    work = pathlib.Path(args.work)
    airferry = Airferry(args.binary, work)
    bundle, exported = work / "bundle", None
    if args.bundle:
        bundle = pathlib.Path(args.bundle).resolve()
        airferry.trust = pathlib.Path(args.trust).resolve()
    else:
        exported = make(airferry, args.size, args.layer, bundle)
    chunks = measure.files_of(bundle / "chunks")
    if not chunks:
        raise SystemExit(f"bench: {bundle} is no bundle")
    size = sum(size for _, size in chunks)
    cold = measure.drop_caches()
    times, arrived = {}, threading.Event()
    with sink(times, arrived) as target:
        after, peak = import_until_first_byte(airferry.import_(bundle, target.address),
                                              times, arrived)
    about = report.machine([["airferry", args.binary, "--version"]])
    print(report.machine_line(about), end="\n\n")
    print(f"a bundle of {size / 2**30:.1f} GiB in {len(chunks)} chunk files; "
          + ("caches emptied before the import" if cold else "caches warm: not root") + "\n")
    rows = [[what, f"{seconds:.2f}"] for what, seconds in sorted(after.items(),
                                                                 key=lambda row: row[1])]
    if exported:
        rows.append(["(the export took)", f"{exported['wall']:.1f}"])
    print(report.table(["import, from its start to", "seconds"], rows))
    print(f"peak memory of the import until then {peak / 2**20:.0f} MiB"
          + (f", of the export {exported['memory'] / 2**20:.0f}" if exported else ""))
    report.write(args.out, "first-byte.json", {"machine": about, "bytes": size,
                                               "chunks": len(chunks), "cold": cold,
                                               "after": after, "export": exported})
