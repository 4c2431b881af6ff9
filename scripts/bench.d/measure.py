"""Running commands and measuring them: wall, CPU, peak memory, and what the registries spent.

Everything that was written before is synced first, so that nobody pays for another's dirty pages.
"""

import contextlib
import os
import pathlib
import shlex
import signal
import subprocess
import sys
import tempfile
import time

# What is started so ends with the process that starts it, even if that is killed.
TIED = ["setpriv", "--pdeathsig", "KILL"]
LAUNCH = pathlib.Path(__file__).with_name("launch.py")
DROP_CACHES = pathlib.Path("/proc/sys/vm/drop_caches")


class Failed(Exception):
    """A command that did not do what it was to do; the text is what it said."""


def run_script(script, **options):
    """Runs a shell script, from a file: it may be longer than an argument may."""
    with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
        file.write(script)
        file.flush()
        return run(["sh", file.name], **options)


def run(command, sync=None, registries=(), limit=3600, codes=(0,)):
    """Runs a command, which must end with one of `codes`, and `sync -f` of a folder behind it.

    `wall` includes the sync; `cpu` and `memory` are those of the command and its children (of the
    one with the highest peak); `registry_cpu` is what the registries spent meanwhile. Seconds and
    bytes.
    """
    os.sync()
    spent = sum(registry.cpu() for registry in registries)
    reading, writing = os.pipe()
    process = subprocess.Popen(
        [*TIED, sys.executable, "-I", "-S", str(LAUNCH), str(writing), *TIED, *map(str, command)],
        pass_fds=[writing], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        start_new_session=True,
    )
    os.close(writing)
    try:
        _, errors = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        kill_group(process)
        raise Failed(f"gave up after {limit} s") from None
    except BaseException:
        kill_group(process)
        raise
    finally:
        with os.fdopen(reading) as pipe:
            told = pipe.read().split()
    if not told or int(told[0]) not in codes:
        said = errors.decode(errors="replace").strip()[-800:]
        raise Failed(said or f"exit status {told[0] if told else 'unknown'}")
    result = {"wall": float(told[1]), "cpu": float(told[2]), "memory": int(told[3]) * 1024}
    if sync is not None:
        begin = time.monotonic()
        subprocess.run(["sync", "-f", str(sync)], check=True)
        result["wall"] += time.monotonic() - begin
    if registries:
        result["registry_cpu"] = sum(registry.cpu() for registry in registries) - spent
    return result


def kill_group(process):
    """Ends a command that `run` started, with its children: they are a session of their own."""
    # There is no group to kill when the last of it has ended.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def drop_caches():
    """Empties the page cache. False where only root may, and this is not root."""
    os.sync()
    try:
        DROP_CACHES.write_text("3\n")
    except OSError:
        return False
    return True


def bytes_on_disk(folder):
    """What the files of a folder take up, hard links once."""
    seen, total = set(), 0
    for parent, _, names in os.walk(folder):
        for name in names:
            facts = os.lstat(os.path.join(parent, name))
            if facts.st_ino not in seen:
                seen.add(facts.st_ino)
                total += facts.st_blocks * 512
    return total


def files_of(folder):
    """(path, size) of the regular files of a folder, in the order of their names."""
    found = []
    for parent, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(parent, name)
            if os.path.isfile(path) and not os.path.islink(path):
                found.append((path, os.path.getsize(path)))
    return sorted(found)


def quoted(*words):
    """Words as one command line of the shell."""
    return shlex.join(map(str, words))
