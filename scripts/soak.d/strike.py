"""Runs a command and kills it at a chosen moment; and what units of work have in common.

A unit is some work of one kind, with a number. The seed of the soak, the kind and the number decide all
that is random in it. It tells what it does in lines of JSON on its standard output, as it goes:
{"add": {WHAT: NUMBER}} for the counts of the report, {"finding": FOLDER, "lines": [...]} for what is wrong.
"""

import json
import os
import pathlib
import random
import select
import shlex
import shutil
import signal
import subprocess
import time

# The longest that a small export or import may take on a busy machine.
PATIENCE = 180


class Ended:
    """How a command ended: `code` is None when it was killed here, -1 when it did not end at all."""

    def __init__(self, code, seconds, output):
        self.code, self.seconds, self.output = code, seconds, output


def wait_for(descriptor, seconds, watch):
    """Waits for the end of a process, at most so long after `watch` is true; whether it ended."""
    begun = time.monotonic()
    while watch and not watch():
        if select.select([descriptor], [], [], 0.0003)[0]:
            return True
        if time.monotonic() - begun > PATIENCE:
            return False
    return bool(select.select([descriptor], [], [], max(0, seconds))[0])


def run(command, environment, log, kill_after=None, watch=None):
    """Runs a command in a process group of its own, for at most so many seconds (after `watch` is true)."""
    begun = time.monotonic()
    with open(log, "wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=environment,
                                   start_new_session=True)
        ended = killed = False
        try:
            descriptor = os.pidfd_open(process.pid)
            try:
                ended = wait_for(descriptor, PATIENCE if kill_after is None else kill_after, watch)
            finally:
                os.close(descriptor)
        finally:
            # Not reaped yet, so the group is still this one's.
            if not ended:
                os.killpg(process.pid, signal.SIGKILL)
                killed = True
            code = process.wait()
    seconds = time.monotonic() - begun
    output = pathlib.Path(log).read_bytes()[-4000:].decode("utf-8", "replace")
    if killed and code == -signal.SIGKILL:
        code = None if kill_after is not None else -1
    return Ended(code, seconds, output)


class Unit:
    """One unit of work, while it is done."""

    def __init__(self, kind, number, options, corpus):
        self.kind, self.number, self.options, self.corpus = kind, number, options, corpus
        self.rng = random.Random(f"{options.seed}/{kind}/{number}")
        self.scratch = corpus.scratch
        self.log = self.scratch / "output"
        self.found = 0

    def over(self):
        return time.time() >= self.options.until

    @staticmethod
    def say(**line):
        print(json.dumps(line), flush=True)

    def add(self, what, number=1):
        self.say(add={what: number})

    def finding(self, title, lines, command, kept=()):
        """Keeps the inputs (name to path) and says what is wrong with them."""
        self.found += 1
        folder = pathlib.Path(self.options.findings) / f"{self.kind}-{self.number}-{self.found}"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, path in dict(kept).items():
            if os.path.isdir(path):
                shutil.copytree(path, folder / name, symlinks=True)
            elif os.path.exists(path):
                shutil.copy(path, folder / name)
        state = folder.parent.parent
        again = f"scripts/soak --again {self.kind}:{self.number} --resume {shlex.quote(str(state))}"
        text = [title, *lines, "", "The command: " + shlex.join(command), "The same random moments again: " + again]
        (folder / "what.txt").write_text("\n".join(text) + "\n")
        self.say(finding=str(folder), lines=[title, *lines[:6]], again=again)

    def clear(self, *names):
        """Removes these in the scratch folder; returns their paths."""
        paths = [self.scratch / name for name in names]
        for path in paths:
            shutil.rmtree(path, ignore_errors=True)
        return paths[0] if len(paths) == 1 else paths


def scenario_of(unit, scenarios):
    """The scenario of a unit: in turn, as often as its shares say."""
    turns = [scenario for scenario in scenarios for _ in range(scenario.shares)]
    # Neighbouring numbers get different ones.
    random.Random(len(turns)).shuffle(turns)
    return turns[unit.number % len(turns)]
