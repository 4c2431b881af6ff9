"""Does one unit of work, in a process of its own: unit.py KIND NUMBER, and what scripts/soak passes."""

import argparse
import importlib
import pathlib
import shutil
import signal
import sys
import tempfile

from corpus import Corpus
from strike import Unit

KINDS = {"export": "export_kills", "import": "import_kills", "flips": "flips"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("number", type=int)
    parser.add_argument("--seed", required=True)
    parser.add_argument("--corpus", required=True)
    parser.add_argument("--airferry", required=True)
    parser.add_argument("--findings", required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--amount", type=int, required=True)
    parser.add_argument("--until", type=float, required=True, help="seconds since 1970")
    options = parser.parse_args()
    # An order to end is an exit: what was started ends on the way out.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    scratch = pathlib.Path(tempfile.mkdtemp(prefix=f"soak-{options.kind}-", dir=options.scratch))
    try:
        unit = Unit(options.kind, options.number, options, Corpus(options.corpus, options.airferry, scratch))
        importlib.import_module(KINDS[options.kind]).work(unit)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


if __name__ == "__main__":
    main()
