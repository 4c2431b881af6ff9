"""Bundles in which one to three bits are not what they were.

`airferry verify` says that the bundle is damaged, and where: it names the file, and in a chunk the blocks,
and no others. `airferry import` refuses: before anything is visible when the bit is in a document, a text, a
statement or the metadata chunk; in any case before a tag shows what is damaged. Bits between blobs (headers,
padding) are never read by an import, which then leaves what it should. In every fourth case the bits flip
while the import runs, as with a medium that answers differently the second time.
"""

import json
import os
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import verify_bundle as v  # noqa: E402
from corpus import SCENARIOS, files  # noqa: E402
from import_kills import Ours, Round  # noqa: E402
from registries import differences, half_visible  # noqa: E402
from strike import PATIENCE, scenario_of  # noqa: E402

BLOCK = 4 << 20
DAMAGED = 4


class Medium:
    """A copy of a bundle on which bits are flipped and flipped back."""

    def __init__(self, unit, scenario):
        self.directory = unit.clear("medium")
        shutil.copytree(unit.corpus.bundle(scenario.name), self.directory)
        sizes = {str(path.relative_to(self.directory)): path.stat().st_size
                 for path in self.directory.rglob("*") if path.is_file()}
        # Statements of earlier generations are nobody's concern any more.
        now = v.sha256_hex((self.directory / "manifest.cbor").read_bytes())[:16]
        self.sizes = {name: size for name, size in sorted(sizes.items())
                      if not name.startswith("signatures/") or os.path.basename(name).startswith(now)}
        self.content = self.ranges()

    def ranges(self):
        """File to the ranges of bytes that belong to blobs."""
        inventory = v.Decoder((self.directory / "inventory.cbor").read_bytes()).document()
        found = {}
        for blob in inventory["blobs"]:
            for number, offset, length, *_ in blob["place"].get("carried", {}).get("extents", []):
                found.setdefault("chunks/%06d.tar" % number, []).append((offset, offset + length))
        return found

    def choose(self, rng):
        """A file and some (offset, bit) in it: by files, so that small ones are hit, or by bytes."""
        names = list(self.sizes)
        name = rng.choice(names) if rng.random() < 0.5 else rng.choices(names, [self.sizes[n] for n in names])[0]
        count = rng.choice((1, 1, 1, 1, 1, 1, 1, 1, 2, 3))
        return name, sorted({(rng.randrange(self.sizes[name]), rng.randrange(8)) for _ in range(count)})

    def flip(self, name, bits):
        with open(self.directory / name, "r+b") as file:
            for offset, bit in bits:
                file.seek(offset)
                byte = file.read(1)[0]
                file.seek(offset)
                file.write(bytes([byte ^ 1 << bit]))

    def is_chunk(self, name):
        return name.startswith("chunks/")

    def is_between_blobs(self, name, bits):
        """Whether no blob and no document has any of these bits."""
        return name.startswith("chunks/") and name.endswith(".tar") and not any(
            first <= offset < end for offset, _ in bits for first, end in self.content.get(name, []))

    def is_in_content(self, name, bits):
        return any(first <= offset < end for offset, _ in bits for first, end in self.content.get(name, []))


def command_of_verify(unit, scenario, medium):
    return [unit.corpus.airferry, "verify", "-q", "-o", "json", str(medium.directory), "--trust",
            str(unit.corpus.trust), *scenario.importing]


def faults_of_verify(medium, name, bits, code, output):
    """What is wrong with what verify said of these bits, as lines."""
    try:
        report = json.loads(output)
    except ValueError:
        return [f"exit code {code}, and no report"]
    lines = [] if code == DAMAGED else [f"exit code {code} and not {DAMAGED}"]
    lines += ["it calls the bundle intact"] if report.get("intact") else []
    places = {(f["file"], f.get("block")) for f in report["findings"] if "file" in f}
    if medium.is_chunk(name):
        wanted = {(name, offset // BLOCK) for offset, _ in bits}
        # What is found in a block besides its hash may be said of the file.
        places -= {(name, None)} if wanted <= places else set()
    elif name.startswith("signatures/"):
        # A statement and its signature are one thing.
        stem = os.path.splitext(name)[0]
        places, wanted = {(os.path.splitext(file)[0], block) for file, block in places}, {(stem, None)}
    else:
        wanted = {(name, None)}
    if places != wanted:
        lines.append(f"it names {sorted(places, key=str)} and not {sorted(wanted, key=str)}")
    return lines


def faults_of_import(content, wanted, ended, medium, name, bits, late):
    """What is wrong with an import of a bundle with these bits, as lines."""
    lines = content.early + half_visible(content)
    tags = {row for row in content.listing() if row[1] == "tag"}
    if ended.code == -1:
        lines.append("it does not end")
    if ended.code == 0:
        lines += differences(content, wanted)
        if not late and not medium.is_between_blobs(name, bits):
            lines.append("it ends with code 0")
    elif not late and medium.is_between_blobs(name, bits):
        lines += [] if ended.code == DAMAGED else [f"exit code {ended.code}"]
    elif not late and not medium.is_in_content(name, bits):
        lines += [f"{repository}:{tag} is visible" for repository, _, tag, _ in sorted(tags - set(content.held))]
    return lines


class Flips:
    def __init__(self, unit, scenario):
        self.unit, self.scenario, self.medium = unit, scenario, Medium(unit, scenario)
        self.target, self.wanted = Ours(unit, scenario), unit.corpus.listing(scenario)
        self.seconds = 0.0

    def wrong(self, title, lines, name, bits, command):
        where = ", ".join(f"{offset} (block {offset // BLOCK}) bit {bit}" for offset, bit in bits)
        self.unit.finding(f"{self.scenario.name}: {title}", [f"flipped: {name} at {where}", *lines], command,
                          {"bundle": self.medium.directory, "output.txt": self.unit.log})

    def verify(self, name, bits):
        command = command_of_verify(self.unit, self.scenario, self.medium)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE, check=False,
                              env=self.unit.corpus.environment(self.unit.scratch / "state"))
        self.unit.log.write_bytes(done.stdout + done.stderr)
        lines = faults_of_verify(self.medium, name, bits, done.returncode, done.stdout)
        if lines:
            self.wrong("verify does not say what is damaged", lines, name, bits, command)

    def import_(self, name, bits, late):
        """`late`: the share of an import's time after which the bits flip, or None: they have."""
        this = Round(self.unit, self.scenario, self.target, self.wanted)
        this.command = self.unit.corpus.import_(self.scenario, self.medium.directory, self.target.address)
        content = self.target.content()
        content.held = {row for row in content.listing() if row[1] == "tag"}
        timer = threading.Timer((late or 0) * self.seconds, self.medium.flip, (name, bits))
        if late is not None:
            timer.start()
        ended = this.import_()
        if late is not None:
            timer.join()
        lines = faults_of_import(content, self.wanted, ended, self.medium, name, bits, late is not None)
        if lines:
            lines += ended.output.splitlines()[-4:]
            self.wrong("the import takes what is damaged", lines, name, bits, this.command)

    def undisturbed(self):
        """Measures the time of an import, which must be right."""
        this = Round(self.unit, self.scenario, self.target, self.wanted)
        ended = this.import_()
        self.seconds = ended.seconds
        return this.check(ended)


def work(unit):
    scenario, rng = scenario_of(unit, SCENARIOS), unit.rng
    flips = Flips(unit, scenario)
    if not flips.undisturbed():
        return
    for number in range(unit.options.amount):
        if unit.over():
            break
        name, bits = flips.medium.choose(rng)
        late = rng.uniform(0, 1) if number % 4 == 3 else None
        if late is None:
            flips.medium.flip(name, bits)
            flips.verify(name, bits)
            unit.add("verified")
        flips.import_(name, bits, late)
        flips.medium.flip(name, bits)
        unit.add("imported late" if late is not None else "imported")
    # What was flipped was flipped back: nothing but the bits made the difference.
    if files(flips.medium.directory) != files(unit.corpus.bundle(scenario.name)):
        raise SystemExit("soak: the medium is not what it was")
