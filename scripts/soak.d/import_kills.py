"""Imports that are killed at random moments, and run again.

Each round begins with an empty target (or one that has the base), is killed once or several times, and then
ends by itself. After each kill every tag that is visible is whole, every blob of it with the right bytes.
In the end the target has what an undisturbed import leaves: every tag, manifest and blob, and no more.

Every second unit imports into Debian's docker-registry, which is read from its disk; the others into a registry
of our own (witness.py) that takes everything and looks at each tag at the moment when it is set.
"""

import shutil

from corpus import SCENARIOS
from registries import DiskStore, Registry, differences, digest, half_visible
from strike import run, scenario_of
from witness import Witness


class Debian:
    """docker-registry as a target."""

    def __init__(self, unit, scenario):
        self.registry, self.held = Registry(unit.scratch / "target"), unit.corpus.held(scenario)
        self.address, self.keep = self.registry.address, {"target": self.registry.store}

    def fresh(self):
        self.registry.fill(self.held)

    def content(self):
        return DiskStore(self.registry.store)

    def unserved(self, wanted):
        """Tags that the registry does not answer as it should: what a cluster would see."""
        lines = []
        for repository, kind, tag, name in sorted(wanted):
            if kind == "tag":
                status, body = self.registry.get(f"/v2/{repository}/manifests/{tag}")
                if status != 200 or digest(body) != name:
                    lines.append(f"{repository}:{tag}: {status}, {digest(body)}")
        return lines

    def stop(self):
        self.registry.stop()


class Ours:
    """The witness as a target."""

    def __init__(self, unit, scenario):
        self.witness, self.base, self.keep = Witness(), None, {}
        self.address = self.witness.address
        base = next((s for s in SCENARIOS if s.name == scenario.base), None)
        if base:
            unit.corpus.run(unit.corpus.import_(base, unit.corpus.bundle(base.name), self.address))
            self.base = self.witness.content

    def fresh(self):
        self.witness.fill(self.base)

    def content(self):
        return self.witness.content

    def unserved(self, _):
        return []

    def stop(self):
        pass


class Round:
    """A target that is imported to."""

    def __init__(self, unit, scenario, target, wanted):
        self.unit, self.scenario, self.target, self.wanted = unit, scenario, target, wanted
        self.state = unit.clear("state")
        target.fresh()
        self.command = unit.corpus.import_(scenario, unit.corpus.bundle(scenario.name), target.address)
        self.codes = scenario.code if isinstance(scenario.code, tuple) else (scenario.code,)

    def import_(self, kill_after=None):
        return run(self.command, self.unit.corpus.environment(self.state), self.unit.log, kill_after)

    def wrong(self, title, lines):
        self.unit.finding(f"{self.scenario.name}: {title}", lines, self.command,
                          {"output.txt": self.unit.log, "state": self.state, **self.target.keep})

    def where(self):
        """How far the import was when it was killed, by what is visible."""
        tags = {row for row in self.wanted if row[1] == "tag"}
        seen = {row for row in self.target.content().listing() if row[1] == "tag"} & tags
        return "all tags visible" if seen == tags else "some tags visible" if seen else "no tag visible"

    def early(self):
        content = self.target.content()
        return getattr(content, "early", []) + half_visible(content)

    def check_visible(self):
        lines = self.early()
        if lines:
            self.wrong("a tag was visible before its content was whole", lines)

    def check(self, ended):
        """True when the import ended well and left what it should."""
        if ended.code not in self.codes:
            self.wrong("the import does not end" if ended.code == -1 else f"exit code {ended.code}",
                       ended.output.splitlines()[-6:])
            return False
        lines = self.early() + differences(self.target.content(), self.wanted) + self.target.unserved(self.wanted)
        if lines:
            self.wrong("the target is not as an undisturbed import leaves it", lines)
        return not lines


def work(unit):
    scenario, rng = scenario_of(unit, SCENARIOS), unit.rng
    wanted = unit.corpus.listing(scenario)
    target = (Debian, Ours)[unit.number % 2](unit, scenario)
    try:
        for _ in range(2):
            # The first may wait for what the machine has not read yet.
            first = Round(unit, scenario, target, wanted)
            ended = first.import_()
            seconds = ended.seconds
            if not first.check(ended):
                return
        kills = 0
        while kills < unit.options.amount and not unit.over():
            this = Round(unit, scenario, target, wanted)
            left = rng.choice((1, 1, 2, 3, 5))
            while True:
                last = left <= 0 or kills >= unit.options.amount
                moment, forget = rng.uniform(0, 1.05) * seconds, rng.random() < 0.2
                ended = this.import_(None if last else moment)
                if ended.code is not None:
                    break
                kills, left = kills + 1, left - 1
                unit.add("kills")
                unit.add("moment " + this.where())
                unit.add("kills into docker-registry" if unit.number % 2 == 0 else "kills into the witness")
                this.check_visible()
                if forget:
                    shutil.rmtree(this.state, ignore_errors=True)
            this.check(ended)
            unit.add("rounds")
    finally:
        target.stop()
