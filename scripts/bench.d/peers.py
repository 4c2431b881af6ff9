"""Which peers take part: those that are on PATH, or of them those that are wanted."""

import shutil

from peers_tried import TRIED
from peers_untried import UNTRIED


def taking_part(wanted):
    """`wanted` is a list of tools with commas between, or None for all."""
    tools = None if wanted is None else wanted.split(",")
    return [peer for peer in TRIED + UNTRIED
            if shutil.which(peer.tool) and (tools is None or peer.tool in tools)]
