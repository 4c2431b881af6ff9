"""Exports that are killed at random moments, and continued by the same command.

Each round begins in a fresh directory, is killed once or several times, and then ends by itself. Then the
bundle's bytes are those of a run that nobody disturbed (signatures apart, which hold the time: they are
checked), and nothing else lies beside them. Before its end no bundle verifies as a good one that is not
that bundle.
"""

import os
import shutil
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
import differential_fast  # noqa: E402
import verify_bundle as v  # noqa: E402
from corpus import SCENARIOS, unlike  # noqa: E402
from strike import run, scenario_of  # noqa: E402


def where(directory, before):
    """How far an export was when it was killed, by what it left. `before`: the manifest that was there."""
    def content(name):
        path = directory / name
        return path.read_bytes() if path.exists() else None

    manifest = content("manifest.cbor")
    if content("export.plan") is None:
        return "after the end" if manifest not in (None, before) else "before the plan"
    if manifest not in (None, before):
        return "sealing"
    return "writing, blocks journalled" if b"block " in (content("export.journal") or b"") else "writing"


def signature_faults(directory, key):
    """What is wrong with the statements of a sealed bundle."""
    raw, lines, right = (directory / "manifest.cbor").read_bytes(), [], 0
    prefix = v.sha256_hex(raw)[:16]
    names = sorted(path.name for path in (directory / "signatures").iterdir())
    for name in names:
        stem, ending = os.path.splitext(name)
        if ending not in (".statement", ".sig") or stem + ".sig" not in names or stem + ".statement" not in names:
            lines.append(f"signatures/{name} does not belong to a pair")
        elif ending == ".statement" and name.startswith(prefix):
            try:
                v.check_statement(key, (directory / "signatures" / name).read_bytes(),
                                  (directory / "signatures" / (stem + ".sig")).read_bytes(), raw)
                right += 1
            except v.Refused as refused:
                lines.append(f"signatures/{name}: {refused}")
    return lines if right else [*lines, "no statement about this manifest"]


class Pace:
    """How long an export takes on this machine now: until there is a plan, from inventory to seal, in all."""

    def __init__(self, round_):
        self.begun, self.path, self.sealing = time.monotonic(), round_.directory / "export.plan", round_.is_sealing()
        self.plan = self.inventory = self.seal = self.seconds = 0.0

    def watch(self):
        """Notes the times; true when the export has removed its plan."""
        now = time.monotonic() - self.begun
        self.plan = self.plan or (now if self.path.exists() else 0.0)
        self.inventory = self.inventory or (now if self.plan and self.sealing() else 0.0)
        self.seal = now - self.inventory
        return bool(self.inventory) and not self.path.exists()

    def moment(self, rng, round_):
        """When to kill: seconds, and what they begin with.

        Half of the moments are anywhere in the run or right behind it, a quarter in what follows the plan, a
        quarter in the sealing, which is a few milliseconds of many steps.
        """
        kind, share = rng.randrange(4), rng.uniform(0, 1.05)
        if kind == 3:
            return share * self.seal, round_.is_sealing()
        first = self.plan if kind == 2 else 0.0
        return first + share * (self.seconds - first), None


class Round:
    """A directory that is exported to."""

    def __init__(self, unit, scenario, key):
        self.unit, self.scenario, self.key = unit, scenario, key
        self.directory, self.state = unit.clear("bundle", "state")
        begun = unit.corpus.folder / "begun" / str(scenario.begun)
        self.before = None
        if scenario.begun:
            shutil.copytree(begun, self.directory)
            self.before = (begun / "manifest.cbor").read_bytes()
        self.whole = unit.corpus.bundle(scenario.name)
        self.command = unit.corpus.export(scenario, self.directory)
        self.codes = scenario.code if isinstance(scenario.code, tuple) else (scenario.code,)

    def export(self, kill_after=None, watch=None):
        return run(self.command, self.unit.corpus.environment(self.state), self.unit.log, kill_after, watch)

    def is_sealing(self):
        """A function that says whether the inventory is there, or another one than before."""
        path = self.directory / "inventory.cbor"

        def number():
            try:
                return os.stat(path).st_ino
            except FileNotFoundError:
                return None

        before = number()
        return lambda: number() not in (None, before)

    def wrong(self, title, lines):
        self.unit.finding(f"{self.scenario.name}: {title}", lines, self.command,
                          {"bundle": self.directory, "undisturbed": self.whole, "output.txt": self.unit.log})

    def check(self, ended):
        """True when the export ended well and left what it should."""
        if ended.code not in self.codes:
            self.wrong("the export does not end" if ended.code == -1 else f"exit code {ended.code}",
                       ended.output.splitlines()[-6:])
            return False
        lines = unlike(self.directory, self.whole) + signature_faults(self.directory, self.key)
        if lines:
            self.wrong("the bundle is not that of an undisturbed run", lines)
        return not lines

    def check_unfinished(self):
        """What a kill left is not taken for a good bundle, unless it is one."""
        command = [self.unit.corpus.airferry, "verify", "-q", str(self.directory), "--trust",
                   str(self.unit.corpus.trust), *self.scenario.importing]
        ended = run(command, self.unit.corpus.environment(self.state), self.unit.log)
        # What a crash leaves of the plan beside a sealed bundle is foreign (bundle-format.md, 9.3, step 7).
        lacks = [line for line in unlike(self.directory, self.whole) if not line.startswith("only in one: export.")]
        whole = (self.directory / "manifest.cbor").exists() and not lacks
        if ended.code == 0 and not whole:
            self.wrong("a bundle that is not whole verifies as good", ended.output.splitlines()[-6:])
        if ended.code < 0:
            self.wrong("verify does not end by itself", ended.output.splitlines()[-6:])


def work(unit):
    differential_fast.install(v)
    key = v.read_key(unit.corpus.trust)
    scenario, rng = scenario_of(unit, SCENARIOS), unit.rng
    # Two runs: what the first reads is in memory for the second, which measures; both have the same bytes.
    for _ in range(2):
        this = Round(unit, scenario, key)
        pace = Pace(this)
        ended = this.export(watch=pace.watch)
        pace.seconds = ended.seconds
        if not this.check(ended):
            return
    kills = 0
    while kills < unit.options.amount and not unit.over():
        this = Round(unit, scenario, key)
        wanted = rng.choice((1, 1, 2, 3, 5))
        while True:
            last = wanted <= 0 or kills >= unit.options.amount
            # All that is random is drawn in any case, so that it does not depend on the machine's speed.
            (moment, watch), verify, forget = pace.moment(rng, this), rng.random() < 0.15, rng.random() < 0.2
            ended = this.export() if last else this.export(moment, watch)
            if ended.code is not None:
                break
            kills, wanted = kills + 1, wanted - 1
            unit.add("kills")
            unit.add("moment " + where(this.directory, this.before))
            if verify:
                this.check_unfinished()
            if forget:
                shutil.rmtree(this.state, ignore_errors=True)
        this.check(ended)
        unit.add("rounds")
