"""What is exported and imported: images in a registry's folder, bundles of undisturbed runs.

Made once for each folder of a soak, below `corpus/`:

    key.pem, key.pub      the exporter's
    source/               the folder of a docker-registry with the images
    bundles/NAME          the bundle of an undisturbed export, one for each scenario
    begun/NAME            what lies in the bundle's directory before the export, where it is not empty
    listing/NAME.json     what an undisturbed import leaves on an empty target: (repository, kind, name, digest)
    held/NAME             the folder of a target that holds the scenario's base
    address               where the docker-registry with the images listens

A bundle says where its images were fetched, so the registry has one address as long as the folder is used.
The images are those of scripts/differential_bundles.py and a large one.
"""

import http.client
import json
import os
import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import differential_bundles as images  # noqa: E402
from registries import DiskStore, Registry, own_address  # noqa: E402

HOST = "registry.example.com"
# More than what is flushed, journalled or sent at once (64, 64 and 32 MiB).
LARGE = 72 << 20


class Scenario:
    """An export and the import of its bundle. `shares`: how many of the kills are its own."""

    def __init__(self, name, arguments, shares, base=None, begun=None, code=0, importing=(), to=""):
        self.name, self.arguments, self.shares, self.base, self.begun = name, arguments, shares, base, begun
        self.code, self.importing, self.to = code, list(importing), to


TEAM = ["team/one:1", "team/one:2", "team/app:1.4", "team/windows:1", images.LONG, "team/nested:1"]


def names(*paths):
    return [f"{HOST}/{path}" for path in paths]


SCENARIOS = [
    Scenario("team", names(*TEAM) + ["--chunk-size", "5MB"], 5),
    Scenario("large", names("team/large:1", "team/one:2"), 4),
    Scenario("increment", names("team/one:2", "team/one:3"), 1, base="team"),
    Scenario("second", names("team/one:2", "team/later:1") + ["--keep-going", "--chunk-size", "5MB"], 1,
             begun="first"),
    Scenario("catalog", ["--catalog", f"{HOST}/ops/catalog:latest", "--operator", "etcd:stable=2.0.0",
                         "--keep-going"], 2, code=(0, 5), importing=["--allow-incomplete"]),
    Scenario("release", ["--release", f"{HOST}/okd/release:4.18.0", "--allow-unsigned-release"], 1,
             importing=["--allow-unsigned-release"], to="/okd"),
]


class Pushed(images.Registry):
    """The pushing half of scripts/differential_bundles.py, to a registry that is there already."""

    def __init__(self, address):
        self.address = HOST                                # what documents name
        self.connection = http.client.HTTPConnection(address, timeout=60)

    def request(self, method, path, body=b"", kind=None):
        self.connection.request(method, path, body, {"Content-Type": kind} if kind else {})
        response = self.connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise SystemExit(f"soak: {method} {path}: {response.status} {answer[:300]!r}")
        place = response.getheader("Location")
        return "/" + place.split("/", 3)[3] if place else None


class Corpus:
    """The folder, and the commands that are run with it. `scratch` is for what nobody keeps."""

    def __init__(self, folder, airferry, scratch):
        self.folder, self.airferry, self.scratch = pathlib.Path(folder), str(airferry), pathlib.Path(scratch)
        self.key, self.trust = self.folder / "key.pem", self.folder / "key.pub"
        self.conf = self.folder / "registries.conf"

    def environment(self, state):
        """Nothing of this machine's configuration; what airferry remembers goes to `state`."""
        home = self.scratch / "home"
        home.mkdir(exist_ok=True)
        kept = {name: os.environ[name] for name in ("PATH", "TMPDIR", "LANG") if name in os.environ}
        return {**kept, "HOME": str(home), "XDG_STATE_HOME": str(state), "NO_COLOR": "1"}

    def bundle(self, name):
        return self.folder / "bundles" / name

    def source(self):
        """The registry with the images."""
        return Registry(self.folder / "source", (self.folder / "address").read_text())

    def export(self, scenario, directory):
        """The command of an export."""
        base = ["--base", self.bundle(scenario.base)] if scenario.base else []
        command = [self.airferry, "export", "-q", *scenario.arguments, *base, "--to", directory, "--key", self.key,
                   "--registries-conf", self.conf]
        return [str(word) for word in command]

    def import_(self, scenario, bundle, target):
        """The command of an import."""
        command = [self.airferry, "import", "-q", bundle, "--to", target + scenario.to, "--trust", self.trust,
                   "--tls-verify=false", *scenario.importing]
        return [str(word) for word in command]

    def run(self, command, wanted=0, state=None):
        """Runs a command undisturbed."""
        wanted = wanted if isinstance(wanted, tuple) else (wanted,)
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              env=self.environment(state or self.scratch / "state"), check=False)
        if done.returncode not in wanted:
            raise SystemExit(f"soak: {' '.join(command)}: {done.returncode}\n{done.stdout.decode(errors='replace')}")

    def make(self):
        """Fills the folder, if that was not done to its end."""
        if (self.folder / "listing").is_dir():
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        (self.folder / "begun").mkdir(parents=True)
        self.run([self.airferry, "keygen", "--out", str(self.folder / "key")])
        address = own_address()
        (self.folder / "address").write_text(address)
        self.conf.write_text(f'[[registry]]\nprefix = "{HOST}"\nlocation = "{address}"\ninsecure = true\n')
        with self.source() as source:
            self.push_and_export(source)
        self.import_all()

    def push_and_export(self, source):
        pushed = Pushed(source.address)
        images.push_team(pushed)
        pushed.image("team/large", [images.noise(50, LARGE), images.noise(51, 300_000)], "1")
        images.push_catalog(pushed)
        images.push_release(pushed)
        pushed.image("team/one", [images.noise(1, 3000), images.noise(20, 40)], "3")
        second = next(s for s in SCENARIOS if s.begun)
        self.run(self.export(second, self.folder / "begun" / second.begun), 5)
        pushed.image("team/later", [images.noise(30, 6_000_000)], "1")
        for scenario in SCENARIOS:
            directory = self.bundle(scenario.name)
            if scenario.begun:
                shutil.copytree(self.folder / "begun" / scenario.begun, directory)
            self.run(self.export(scenario, directory), scenario.code)

    def import_all(self):
        """Undisturbed imports, for what they leave; last the folder that says that all is made."""
        listings = {}
        (self.folder / "held").mkdir()
        with Registry(self.scratch / "target") as target:
            for scenario in SCENARIOS:
                base = next((s for s in SCENARIOS if s.name == scenario.base), None)
                target.fill(None)
                if base:
                    self.run(self.import_(base, self.bundle(base.name), target.address))
                    shutil.copytree(target.store, self.folder / "held" / scenario.name)
                self.run(self.import_(scenario, self.bundle(scenario.name), target.address), scenario.code)
                listings[scenario.name] = sorted(DiskStore(target.store).listing())
        (self.folder / "listing.tmp").mkdir()
        for name, rows in listings.items():
            (self.folder / "listing.tmp" / f"{name}.json").write_text(json.dumps(rows))
        (self.folder / "listing.tmp").rename(self.folder / "listing")

    def make_and_serve(self):
        """Makes what is missing, and starts the registry with the images."""
        self.make()
        try:
            return self.source()
        except SystemExit:
            # Its address is somebody else's now: other images' bundles, made once more.
            shutil.rmtree(self.folder)
            self.make()
            return self.source()

    def listing(self, scenario):
        rows = json.loads((self.folder / "listing" / f"{scenario.name}.json").read_text())
        return {tuple(row) for row in rows}

    def held(self, scenario):
        """The folder of a target that holds the base, or None."""
        return self.folder / "held" / scenario.name if scenario.base else None


def files(directory):
    """All files of a bundle but the signatures, whose statement holds the time: path to bytes."""
    found = {}
    for top, _, names_here in os.walk(directory):
        for name in names_here:
            path = os.path.join(top, name)
            relative = os.path.relpath(path, directory)
            if not relative.startswith("signatures" + os.sep):
                with open(path, "rb") as file:
                    found[relative] = file.read()
    return found


def unlike(directory, other):
    """How two bundles differ, as lines."""
    one, two = files(directory), files(other)
    lines = [f"only in one: {name}" for name in sorted(set(one) ^ set(two))]
    return lines + [f"{name} differs" for name in sorted(set(one) & set(two)) if one[name] != two[name]]
