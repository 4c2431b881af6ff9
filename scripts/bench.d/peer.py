"""What a peer is: another tool that carries images, and the command lines with which it does.

A peer has two scripts: from the source into a folder, and from that folder into a target. Running
the same script again is its re-run; running it for the second month over the same folder and
target is its incremental. Each is written in the way that is fastest for the tool: one invocation
for all images where it has one, one store of blobs for all images where it has one. Where it takes
one invocation for each image there is a second row with four at a time, as people do it with xargs.
"""

import dataclasses
import typing


@dataclasses.dataclass
class Job:
    """What a peer is asked for: references without a registry, and where from and to."""

    references: list
    source: str
    folder: str
    target: str = ""

    def at_source(self, reference):
        return f"{self.source}/{reference}"

    def at_target(self, reference):
        return f"{self.target}/{reference}"


@dataclasses.dataclass
class Peer:
    name: str
    tool: str
    export: typing.Callable
    # None where the tool cannot push what this form of export made.
    import_: typing.Callable | None
    version: list


def flat(reference):
    """A reference as the name of a folder or of a tag in a layout."""
    return reference.replace("/", "-").replace(":", "-")


def in_turn(lines):
    return "set -e\n" + "\n".join(lines)


def four_at_a_time(lines):
    text = "\n".join(lines)
    return f"xargs -d '\\n' -P 4 -I LINE sh -c LINE <<'LINES'\n{text}\nLINES\n"


def for_each(how, line):
    """A script that runs the line of each reference."""
    return lambda job: how(line(job, reference) for reference in job.references)
