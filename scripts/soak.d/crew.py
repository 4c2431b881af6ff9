"""Decides what is done next, and does several units of work at a time, each in a process of its own."""

import hashlib
import json
import os
import pathlib
import queue
import re
import shlex
import signal
import subprocess
import sys
import threading
import time

from registries import TIED
from report import number
from state import ROOT

HERE = pathlib.Path(__file__).resolve().parent
SCRIPTS = HERE.parent
# What is counted towards the goal of a kind, and how much of it one unit does.
COUNTED = {"export": ("kills", 25), "import": ("kills", 25), "flips": ("verified", 25), "mutations": ("inputs", 250)}
FUZZ_SECONDS = 60
# A program that fails always need not fail a thousand times.
TOO_MANY = 20


def number_of(text):
    """A seed that follows from a text."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")


class Task:
    """A unit of work: kind, number, the goal's share that it does, and its command."""

    def __init__(self, kind, number_, amount, command, target=None):
        self.kind, self.number, self.amount, self.command, self.target = kind, number_, amount, command, target
        self.process, self.begun, self.stopped = None, time.monotonic(), False

    def label(self):
        return f"{self.kind}:{self.number}" if not self.target else f"fuzz {self.target}"


class Crew:
    """`goals`: kind to number; for fuzz seconds a target. `until`: when to stop, in seconds since 1970."""

    def __init__(self, state, corpus, scratch, goals, until, show):
        self.state, self.corpus, self.scratch, self.goals = state, corpus, scratch, dict(goals)
        self.until, self.show = until, show
        self.running, self.events, self.interrupted = [], queue.SimpleQueue(), False

    # -- What is next

    def done(self, kind):
        """What was done of a kind or is being done, as a share of its goal."""
        if kind != "fuzz":
            under_way = sum(task.amount for task in self.running if task.kind == kind)
            return (self.state.count(kind, COUNTED[kind][0]) + under_way) / self.goals[kind]
        return min(self.done_of_target(name) for name in self.targets())

    def done_of_target(self, name):
        under_way = sum(task.amount for task in self.running if task.target == name)
        return (self.state.target(name)["seconds"] + under_way) / self.goals["fuzz"]

    def targets(self):
        names = sorted(path.stem for path in (ROOT / "fuzz/fuzz_targets").glob("*.rs"))
        return [name for name in names if f"fuzz {name}" not in self.state.data["finished"]]

    def open_kinds(self):
        return [kind for kind in self.goals if kind not in self.state.data["finished"]
                and (kind != "fuzz" or self.targets())]

    def next_task(self, rounds):
        """The kind of which the smallest share was done goes on, so all end together."""
        shares = sorted((self.done(kind), kind) for kind in self.open_kinds())
        if not shares or shares[0][0] >= rounds:
            return None
        kind = shares[0][1]
        if kind == "fuzz":
            return self.fuzz_task(rounds)
        left = self.goals[kind] * rounds - self.state.count(kind, COUNTED[kind][0])
        left -= sum(task.amount for task in self.running if task.kind == kind)
        amount = min(COUNTED[kind][1], left)
        # Not every mutation can be built upon, so the last of them take a few more tries.
        amount = max(25, amount) if kind == "mutations" else amount
        return unit_task(self.state, self.scratch, kind, self.state.take(kind), amount, self.until)

    def fuzz_task(self, rounds):
        name = min(self.targets(), key=self.done_of_target)
        row = self.state.target(name)
        seconds = min(FUZZ_SECONDS, self.goals["fuzz"] * rounds - row["seconds"], max(1, self.until - time.time()))
        row["next"] += 1
        seed = number_of(f"{self.state.data['seed']}/{name}/{row['next']}")
        command = [str(SCRIPTS / "fuzz"), "--built", "--in", str(self.state.folder / "fuzz"), "--seed", str(seed | 1),
                   str(max(1, round(seconds))), name]
        return Task("fuzz", row["next"], max(1, round(seconds)), command, name)

    # -- Doing it

    def start(self, task):
        error = open(self.scratch / f"error-{task.kind}-{task.number}", "w+b")
        # It ends with this process, and cleans up.
        tied = [*TIED[:-1], "TERM", *task.command]
        environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
        task.process = subprocess.Popen(tied, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=error,
                                        cwd=ROOT, start_new_session=True, env=environment)
        task.error = error
        self.running.append(task)
        threading.Thread(target=self.listen, args=(task,), daemon=True).start()

    def listen(self, task):
        lines = []
        for line in task.process.stdout:
            text = line.decode("utf-8", "replace").rstrip("\n")
            lines = (lines + [text])[-400:]
            if task.kind not in ("fuzz", "mutations"):
                self.events.put((task, "line", text))
        task.process.wait()
        self.events.put((task, "end", lines))

    def stop(self):
        """Ends what runs; what it told so far stays counted."""
        for task in self.running:
            task.stopped = True
            # Python programs clean up after either; libFuzzer and differential.py after this one.
            os.killpg(task.process.pid, signal.SIGINT if task.kind in ("fuzz", "mutations") else signal.SIGTERM)
        while self.running:
            self.handle(self.events.get())

    def interrupt(self, *_):
        """Ctrl-C, also when it comes twice: no more is begun, and what runs is ended in good order."""
        self.interrupted = True
        self.events.put(None)

    def run(self, jobs, endless):
        """Until all goals are reached; `endless`: until the time is over, in further rounds."""
        rounds, saved = 1, time.monotonic()
        for number_ in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number_, self.interrupt)
        try:
            while not self.interrupted:
                while len(self.running) < jobs and time.time() < self.until:
                    task = self.next_task(rounds)
                    if task is None and endless and not self.running and self.open_kinds():
                        rounds += 1
                        continue
                    if task is None:
                        break
                    self.start(task)
                if not self.running:
                    return
                try:
                    self.handle(self.events.get(timeout=1))
                except queue.Empty:
                    pass
                passed = time.monotonic() - saved
                if passed >= 2:
                    saved += passed
                    self.state.data["seconds"] += passed
                    self.state.save()
                    self.show(self.line())
        finally:
            self.stop()
            self.state.data["seconds"] += time.monotonic() - saved
            self.state.save()

    def line(self):
        """What was done, in one line."""
        shares = [f"{kind} {min(1, self.state.count(kind, COUNTED[kind][0]) / self.goals[kind]):.0%}"
                  for kind in self.goals if kind != "fuzz"]
        if "fuzz" in self.goals and self.targets():
            seconds = [min(1, self.state.target(name)["seconds"] / self.goals["fuzz"]) for name in self.targets()]
            shares.append(f"fuzz {sum(seconds) / len(seconds):.0%}")
        return ", ".join(shares) + f", findings {number(len(self.state.data['findings']))}"

    # -- What it tells

    def handle(self, event):
        if event is None:
            return
        task, event, told = event
        if event == "line":
            self.take_line(task, told)
            return
        self.running.remove(task)
        task.error.seek(0)
        errors = task.error.read()[-3000:].decode("utf-8", "replace").splitlines()
        task.error.close()
        code, seconds = task.process.returncode, time.monotonic() - task.begun
        if task.kind == "fuzz":
            self.end_of_fuzz(task, code, seconds, told, errors)
        elif task.kind == "mutations":
            self.end_of_mutations(task, code, told, errors)
        elif code and not task.stopped:
            self.broken(task, code, errors)
        if task.kind != "fuzz":
            self.state.kind(task.kind)["seconds"] += seconds

    def take_line(self, task, text):
        line = json.loads(text)
        for what, count in line.get("add", {}).items():
            self.state.add(task.kind, what, count)
            if what == COUNTED[task.kind][0]:
                task.amount = max(0, task.amount - count)
        if "finding" in line:
            self.found(task.kind, line["finding"], line["lines"], line["again"])

    def found(self, kind, folder, lines, again):
        self.state.finding(kind, folder, lines, again)
        self.state.save()
        self.show("\n".join([f"FINDING, {kind}: {lines[0] if lines else ''}", *lines[1:], f"kept: {folder}",
                             f"again: {again}"]), lasting=True)
        if self.state.findings(kind) >= TOO_MANY and kind not in self.state.data["finished"]:
            self.state.data["finished"].append(kind)

    def broken(self, task, code, errors):
        """The check itself failed: as loud as a finding, for nothing was checked."""
        folder = self.state.folder / "findings" / f"broken-{task.label().replace(':', '-').replace(' ', '-')}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "what.txt").write_text("\n".join([f"exit code {code}", shlex.join(task.command), *errors]) + "\n")
        self.found(f"fuzz {task.target}" if task.target else task.kind, folder,
                   [f"the check itself failed with code {code}", *errors[-3:]], shlex.join(task.command))

    def end_of_mutations(self, task, code, told, errors):
        match = re.match(r"(\d+) inputs, (\d+) disagreements", told[-1]) if told else None
        if match:
            self.state.add("mutations", "inputs", int(match[1]))
            if not int(match[1]):
                code = code or -1
        folder = self.state.folder / "findings"
        seed = self.seed_of(task)
        cases = sorted(folder.glob(f"case-{seed}-*"))
        for case in cases:
            lines = (case / "note.txt").read_text(encoding="utf-8", errors="replace").splitlines()
            self.found("mutations", case, lines[:7], f"scripts/soak --again mutations:{task.number}"
                       f" --resume {self.state.folder}")
        if not task.stopped and (not match or code not in (0, 1) or bool(code) != bool(cases)):
            self.broken(task, code, told[-3:] + errors)

    @staticmethod
    def seed_of(task):
        return task.command[task.command.index("--seed") + 1]

    def end_of_fuzz(self, task, code, seconds, told, errors):
        row = self.state.target(task.target)
        inputs = [int(line.rsplit(":", 1)[1]) for line in told if "number_of_executed_units" in line]
        row["inputs"] += sum(inputs)
        row["time"] += seconds
        if code == 0 and inputs:
            row["seconds"] += task.amount
        elif not task.stopped:
            kind, folder = f"fuzz {task.target}", self.state.folder / "fuzz/artifacts" / task.target
            if folder.is_dir() and any(folder.iterdir()):
                shown = [line for line in told if re.search(r"ERROR|panicked|assert|SUMMARY|Test unit written", line)]
                again = f"scripts/fuzz --in {self.state.folder / 'fuzz'} 0 {task.target}"
                self.found(kind, folder, [f"target {task.target}", *(shown or told)[-6:]], again)
            else:
                self.broken(task, code, told[-6:] + errors)
            # What was found is found again at every start: there is no use in going on.
            if kind not in self.state.data["finished"]:
                self.state.data["finished"].append(kind)


def unit_task(state, scratch, kind, number_, amount, until, findings="findings"):
    """The task of one unit, by its number. `findings`: the folder in the state's where inputs are kept."""
    seed, findings = state.data["seed"], str(state.folder / findings)
    if kind == "mutations":
        own = number_of(f"{seed}/mutations/{number_}")
        command = [sys.executable, str(SCRIPTS / "differential.py"), "--airferry", str(state.program()), "--count",
                   str(amount), "--seed", str(own), "--keep", findings]
        for bundle in bundles(state):
            command += ["--bundle", str(bundle), "--key", str(bundle.parent / "key.pem")]
        return Task(kind, number_, amount, command)
    # An export waits for its medium, above all while it seals: in memory that would be over at once.
    if kind == "export":
        scratch = state.folder / "scratch"
        scratch.mkdir(exist_ok=True)
    command = [sys.executable, str(HERE / "unit.py"), kind, str(number_), "--seed", str(seed), "--corpus",
               str(state.folder / "corpus"), "--airferry", str(state.program()), "--findings", findings,
               "--scratch", str(scratch), "--amount", str(amount), "--until", str(until)]
    return Task(kind, number_, amount, command)


def bundles(state):
    """The bundles that are mutated."""
    return sorted(path.parent for path in (state.folder / "bundles").glob("*/manifest.cbor"))
