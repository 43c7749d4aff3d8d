"""Assigns videos to nodes by rendezvous hashing (Thaler and Ravishankar, 1998).

Each video is relayed by the node with the highest score for it. When a node joins or leaves, only its own
videos are reassigned. If nodes disagree about the members, a video is relayed twice, which is harmless, or
not at all, which the next sweep finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b


def owner(video: str, nodes: Sequence[str]) -> str:
    """Return the one of `nodes` that relays `video`."""
    if len(nodes) == 1:
        return nodes[0]
    return max(nodes, key=lambda node: blake2b(f"{node} {video}".encode(), digest_size=8).digest())
