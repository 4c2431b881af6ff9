"""What a soak remembers between two runs: one folder.

    state.json     counts, findings, seed, program: written again and again while it runs
    airferry       the program, copied, so that a build meanwhile changes nothing
    corpus/        what corpus.py makes
    bundles/       what scripts/differential_bundles.py makes
    fuzz/          corpus and artifacts of the fuzz targets
    findings/      one folder for each finding
"""

import datetime
import fcntl
import hashlib
import json
import os
import pathlib
import platform
import shutil
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent


def told(command, otherwise=""):
    """The first line that a command prints."""
    try:
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True)
        return done.stdout.decode(errors="replace").strip().splitlines()[0]
    except (OSError, IndexError, subprocess.CalledProcessError):
        return otherwise


def machine():
    """Processor, cores, memory, kernel."""
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = next((line.split(":", 1)[1].strip() for line in file if line.startswith("model name")),
                     platform.machine())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2 ** 30
    return f"{model}, {os.cpu_count()} cores, {memory:.0f} GiB, Linux {platform.release()}"


def build_of(path):
    """A release or debug build, by where Cargo puts it."""
    name = pathlib.Path(path).resolve().parent.name
    return f"{name} build" if name in ("release", "debug", "dist") else "a build from elsewhere"


def hash_of(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


class State:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder).resolve()
        self.file = self.folder / "state.json"
        self.data = json.loads(self.file.read_text()) if self.file.exists() else None

    def begin(self, airferry, seed):
        """Takes the folder for this process; a new one for this program and seed."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lock = open(self.folder / "lock", "w", encoding="ascii")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SystemExit(f"soak: another run works in {self.folder}") from None
        sha256 = hash_of(airferry)
        if self.data is None:
            shutil.copy(airferry, self.program())
            self.data = {
                "seed": seed if seed is not None else int.from_bytes(os.urandom(4), "big"), "seconds": 0.0,
                "program": sha256, "version": told([str(self.program()), "--version"], "unknown"),
                "build": build_of(airferry),
                "commit": told(["git", "describe", "--always", "--dirty", "--abbrev=12"], "unknown"),
                "machine": machine(), "begun": now(), "kinds": {}, "fuzz": {}, "findings": [], "finished": []}
            self.save()
        if sha256 != self.data["program"]:
            raise SystemExit(
                f"soak: {self.folder} holds the run of another program ({self.data['commit']}).\n"
                f"Remove it, or name another folder with --resume, or go on with --airferry {self.program()}")
        if seed is not None and seed != self.data["seed"]:
            raise SystemExit(f"soak: {self.folder} holds a run with --seed {self.data['seed']}")

    def program(self):
        return self.folder / "airferry"

    def save(self):
        self.data["saved"] = now()
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.data, indent=1))
        temporary.replace(self.file)

    # -- Counts

    def kind(self, name):
        return self.data["kinds"].setdefault(name, {"next": 0, "seconds": 0.0, "counts": {}})

    def count(self, kind, what):
        return self.kind(kind)["counts"].get(what, 0)

    def add(self, kind, what, number):
        counts = self.kind(kind)["counts"]
        counts[what] = counts.get(what, 0) + number

    def take(self, kind):
        """The number of the next unit of a kind. One that is interrupted is not done again."""
        row = self.kind(kind)
        row["next"] += 1
        return row["next"] - 1

    def target(self, name):
        return self.data["fuzz"].setdefault(name, {"next": 0, "seconds": 0.0, "inputs": 0, "time": 0.0})

    def finding(self, kind, folder, lines, again):
        row = {"kind": kind, "folder": str(folder), "lines": lines, "again": again, "time": now()}
        self.data["findings"].append(row)

    def findings(self, kind):
        return sum(row["kind"] == kind for row in self.data["findings"])


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
