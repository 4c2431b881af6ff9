"""What a registry is asked for: requests by kind, for each image, and how many connections.

The images are tiny, so that the wall time is that of requests. Counted from the log of
docker-registry, which is slower with it. airferry's export asks for signatures, attestations and
referrers too, which the peers do not look for: the row `--no-attachments` is what compares.
"""

import collections
import pathlib
import re
import shutil
import sys

import measure
import report
from airferry import Airferry
from corpus import push_tiny
from peer import Job
from peers import taking_part
from registry import DockerRegistry

KINDS = [
    (re.compile(r"^/v2/[^?]*/blobs/uploads/"), "upload"),
    (re.compile(r"^/v2/[^?]*/blobs/"), "blob"),
    (re.compile(r"^/v2/[^?]*/manifests/"), "manifest"),
    (re.compile(r"^/v2/[^?]*/referrers/"), "referrers"),
    (re.compile(r"^/v2/[^?]*/tags/"), "tags"),
    (re.compile(r"^/v2/$"), "ping"),
]


def kind_of(method, uri):
    kind = next((name for pattern, name in KINDS if pattern.match(uri)), "other")
    if kind == "upload" and "mount=" in uri:
        kind = "mount"
    return f"{method} {kind}"


class Count:
    def __init__(self, args, work):
        self.args, self.work, self.rows = args, work, []
        self.source = DockerRegistry(work / "source", log=True)
        print("pushing the images ...", file=sys.stderr)
        self.corpus = push_tiny(self.source.address, args.images)
        self.airferry = Airferry(args.binary, work)

    def step(self, name, registry, run, command):
        """One run and what the registry was asked meanwhile. False when it failed."""
        registry.requests()
        try:
            result = run(command)
        except measure.Failed as failure:
            self.rows.append({"name": name, "failed": str(failure)})
            print(f"  {name}: failed: {str(failure)[-300:]}", file=sys.stderr)
            return False
        asked = registry.requests()
        kinds = collections.Counter(kind_of(method, uri) for method, uri, _ in asked)
        self.rows.append({
            "name": name, "wall": result["wall"], "cpu": result["cpu"], "requests": len(asked),
            "connections": len({client for _, _, client in asked}),
            "kinds": dict(kinds.most_common()),
        })
        print(f"  {name}: {len(asked)} requests, {result['wall']:.2f} s", file=sys.stderr)
        return True

    def own(self):
        own, bundle, plain = self.airferry, self.work / "bundle", self.work / "plain"
        references = [f"{self.source.address}/{reference}" for reference in self.corpus.may]
        for name in ("export", "export again"):
            self.step(f"airferry {name}", self.source, measure.run, own.export(references, bundle))
        self.step("airferry export --no-attachments", self.source, measure.run,
                  own.export(references, plain, "--no-attachments"))
        with DockerRegistry(self.work / "target", log=True) as target:
            for name in ("import", "import again"):
                self.step(f"airferry {name}", target, measure.run,
                          own.import_(bundle, target.address))

    def peer(self, peer):
        folder = self.work / "peer" / "out"
        shutil.rmtree(folder.parent, ignore_errors=True)
        folder.parent.mkdir()
        job = Job(self.corpus.may, self.source.address, str(folder))
        for name in ("export", "export again"):
            if not self.step(f"{peer.name}: {name}", self.source, measure.run_script,
                             peer.export(job)):
                return
        if not peer.import_:
            return
        with DockerRegistry(self.work / "target", log=True) as target:
            job.target = target.address
            for name in ("import", "import again"):
                if not self.step(f"{peer.name}: {name}", target, measure.run_script,
                                 peer.import_(job)):
                    return


def cells(row, images, blobs):
    if "failed" in row:
        return [row["name"], "failed"] + [""] * 5
    kinds = ", ".join(f"{count / images:.2f} {kind}" for kind, count in row["kinds"].items())
    return [row["name"], f"{row['wall']:.2f}", str(row["requests"]),
            f"{row['requests'] / images:.2f}", f"{row['requests'] / blobs:.2f}",
            str(row["connections"]), kinds]


def main(args):
    count = Count(args, pathlib.Path(args.work))
    try:
        count.own()
        for peer in taking_part(args.peers):
            count.peer(peer)
    finally:
        count.source.stop()
    blobs = len(count.corpus.blobs(count.corpus.may))
    about = report.machine([["airferry", args.binary, "--version"]])
    print(report.machine_line(about), end="\n\n")
    print(f"{args.images} tiny images, {blobs} blobs, each image with a repository of its own\n")
    print(report.table(
        ["what", "wall s", "requests", "an image", "a blob", "connections", "of each kind, an image"],
        [cells(row, args.images, blobs) for row in count.rows]))
    report.write(args.out, "requests.json", {"machine": about, "images": args.images,
                                             "blobs": blobs, "rows": count.rows})
