"""Which peers take part: those that are on PATH, or of them those that are wanted."""

import shutil

from peers_debian import DEBIAN
from peers_elsewhere import ELSEWHERE


def taking_part(wanted):
    """`wanted` is a list of tools with commas between, or None for all."""
    tools = None if wanted is None else wanted.split(",")
    return [peer for peer in DEBIAN + ELSEWHERE
            if shutil.which(peer.tool) and (tools is None or peer.tool in tools)]
