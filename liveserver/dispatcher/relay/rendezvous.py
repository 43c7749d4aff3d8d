"""Who relays a video: rendezvous hashing (Thaler and Ravishankar, 1998) over those who are there.

Each video goes to the node that scores highest for it. When one comes or goes, only the videos that it
gets or had change hands. Who disagrees about who is there relays a video twice, which is harmless, or
not at all, which the next sweep finds.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b


def owner(video: str, nodes: Sequence[str]) -> str:
    """The one of `nodes` that relays `video`."""
    if len(nodes) == 1:
        return nodes[0]
    return max(nodes, key=lambda node: blake2b(f"{node} {video}".encode(), digest_size=8).digest())
