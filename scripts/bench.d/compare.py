"""airferry beside the peers that are on PATH and beside the floors, in rounds, one after the other.

In each round every tool carries the first month (export, import), does it once more with nothing to
do, and then the second month over what is there. airferry's second bundle has the first as --base.
A tool's folders are removed before the next one's turn, so that the disk holds two at a time.
"""

import functools
import pathlib
import shutil
import statistics
import sys

import floor
import measure
import physical
import report
from airferry import Airferry
from corpus import push_real
from peer import Job
from peers import taking_part
from registry import DockerRegistry

EXPORT, AGAIN, JUNE = "export", "export again, nothing to do", "export of the second month"
IMPORT, IMPORT_AGAIN = "import", "import again, nothing to do"
IMPORT_JUNE = "import of the second month"
VERIFY, FLOOR = "verify", "floor"
GROUPS = [EXPORT, AGAIN, JUNE, IMPORT, IMPORT_AGAIN, IMPORT_JUNE, VERIFY, FLOOR]


class Compare:
    def __init__(self, args, work):
        self.args, self.work, self.floors = args, work, []
        self.results = {group: {} for group in GROUPS}
        self.source = DockerRegistry(work / "source")
        print("building the corpus ...", file=sys.stderr)
        self.corpus = push_real(self.source.address, args.images, args.size)
        self.airferry = Airferry(args.binary, work)
        self.peers = taking_part(args.peers)

    def note(self, group, name, result):
        self.results[group].setdefault(name, []).append(result)
        told = result.get("failed", "")[-300:] or f"{result['wall']:.2f} s, {result['cpu']:.2f} s CPU"
        print(f"  {group}: {name}: {told}", file=sys.stderr)
        return "failed" not in result

    def step(self, group, name, run, command, folder=None, **options):
        """One measurement. False when it failed; what was said is kept, and the round goes on."""
        before = measure.bytes_on_disk(folder) if folder else 0
        try:
            result = run(command, **options)
        except measure.Failed as failure:
            return self.note(group, name, {"failed": str(failure)})
        if folder:
            result["disk"] = measure.bytes_on_disk(folder) - before
        return self.note(group, name, result)

    def at_source(self, references):
        return [f"{self.source.address}/{reference}" for reference in references]

    def warm(self):
        """Reads what the source serves, since emptying the caches would be paid by the next."""
        measure.run(["cat", *(path for path, _ in measure.files_of(self.work / "source"))])

    def own_round(self):
        may, june = self.work / "may", self.work / "june"
        name, own, source = "airferry", self.airferry, [self.source]
        first, second = self.at_source(self.corpus.may), self.at_source(self.corpus.june)
        if not self.step(EXPORT, name, measure.run, own.export(first, may), may,
                         sync=self.work, registries=source):
            shutil.rmtree(may, ignore_errors=True)
            return
        self.step(AGAIN, name, measure.run, own.export(first, may), may, registries=source)
        self.step(JUNE, name, measure.run, own.export(second, june, "--base", may), june,
                  sync=self.work, registries=source)
        self.own_imports(may, june)
        self.verify(may)
        self.physical_floors(may / "chunks")
        shutil.rmtree(may)
        shutil.rmtree(june, ignore_errors=True)

    def own_imports(self, may, june):
        own, name = self.airferry, "airferry"
        with DockerRegistry(self.work / "target") as target:
            for group, bundle in ((IMPORT, may), (IMPORT_AGAIN, may), (IMPORT_JUNE, june)):
                self.step(group, name, measure.run, own.import_(bundle, target.address),
                          registries=[target])
        with DockerRegistry(self.work / "target") as target:
            self.step(IMPORT, "airferry --no-read-back", measure.run,
                      own.import_(may, target.address, "--no-read-back"), registries=[target])

    def verify(self, bundle):
        command = self.airferry.verify(bundle)
        if measure.drop_caches():
            self.step(VERIFY, "airferry, nothing cached", measure.run, command)
        self.step(VERIFY, "airferry", measure.run, command)
        self.floors.append(floor.measure_floor(bundle / "chunks"))
        names = measure.quoted(*(path for path, _ in measure.files_of(bundle / "chunks")))
        self.step(VERIFY, "cat | sha256sum", measure.run_script, f"cat {names} | sha256sum")

    def physical_floors(self, chunks):
        self.step(FLOOR, "SHA-256 twice and BLAKE3, one core", physical.hashing, chunks)
        self.step(FLOOR, "read, hash, write, sync",
                  lambda chunks: physical.copying(self.work, chunks), chunks)
        self.warm()
        for name, result in physical.fetch(self.work, self.source,
                                           self.corpus.blobs(self.corpus.may)):
            self.note(FLOOR, name, result)

    def peer_round(self, peer):
        folder = self.work / "peer" / "out"
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.parent.mkdir()
        may = Job(self.corpus.may, self.source.address, str(folder))
        june = Job(self.corpus.june, self.source.address, str(folder))

        def export(group, job):
            return self.step(group, peer.name, measure.run_script, peer.export(job),
                             folder.parent, sync=self.work, registries=[self.source])

        if export(EXPORT, may):
            if peer.import_:
                with DockerRegistry(self.work / "target") as target:
                    may.target = june.target = target.address
                    self.peer_imports(peer, may, june, export, target)
            else:
                export(AGAIN, may)
                export(JUNE, june)
        shutil.rmtree(folder.parent)

    def peer_imports(self, peer, may, june, export, target):
        def push(group, job):
            return self.step(group, peer.name, measure.run_script, peer.import_(job),
                             registries=[target])

        # Import first: oc-mirror deletes its archive when an export finds nothing new.
        if push(IMPORT, may):
            push(IMPORT_AGAIN, may)
            export(AGAIN, may)
            if export(JUNE, june):
                push(IMPORT_JUNE, june)

    def round(self, number):
        """Every tool once, each round beginning with the next of them."""
        turns = [self.own_round, *(functools.partial(self.peer_round, peer) for peer in self.peers)]
        first = number % len(turns)
        for turn in turns[first:] + turns[:first]:
            self.warm()
            turn()

    def close(self):
        self.source.stop()

    def verify_lines(self, medians):
        """What part of the machine's rate verification reaches, and which limit holds."""
        for name, state in (("airferry, nothing cached", "cold"), ("airferry", "warm")):
            rates = [one[state] for one in self.floors if state in one]
            row = medians.get(VERIFY, {}).get(name, {})
            if rates and "wall" in row:
                rate = self.floors[0]["bytes"] / row["wall"]
                middle = statistics.median(rates)
                yield (f"verify, {state}: {rate / 2**20:.0f} MiB/s, "
                       f"{100 * rate / middle:.0f} % of the {middle / 2**20:.0f} MiB/s at which "
                       f"this machine reads and hashes ({self.floors[0][state + '_limit']} is the "
                       "limit)")

    def hashing_lines(self, medians):
        hashing = medians.get(FLOOR, {}).get("SHA-256 twice and BLAKE3, one core", {}).get("cpu")
        for group in (EXPORT, VERIFY):
            own = medians.get(group, {}).get("airferry", {}).get("cpu")
            if own and hashing:
                yield (f"{group}: {own:.2f} s of own CPU, {own / hashing:.2f} times the "
                       f"{hashing:.2f} s that the hashing alone costs")


def main(args):
    work, out = pathlib.Path(args.work), pathlib.Path(args.out)
    compare = Compare(args, work)
    try:
        for number in range(args.rounds):
            print(f"round {number + 1} of {args.rounds}", file=sys.stderr)
            compare.round(number)
    finally:
        compare.close()
    medians, corpus = report.medians(compare.results), compare.corpus
    about = report.machine([["airferry", args.binary, "--version"]]
                           + [[peer.tool, *peer.version] for peer in compare.peers])
    headline = (f"{args.images} images, {len(corpus.blobs(corpus.may))} blobs, "
                f"{corpus.bytes(corpus.may) / 2**20:.0f} MiB; medians of {args.rounds} rounds; "
                "ratio: wall against airferry")
    lines = [*compare.verify_lines(medians), *compare.hashing_lines(medians)]
    print(report.machine_line(about), headline, sep="\n\n", end="\n\n")
    print(report.tables(medians))
    print("".join(f"- {line}\n" for line in lines))
    report.write(out, "results.json", {"machine": about, "headline": headline, "lines": lines,
                                       "medians": medians, "runs": compare.results,
                                       "floors": compare.floors})
    report.write(out, "plot.svg", report.plot(medians, [EXPORT, IMPORT, VERIFY]))
