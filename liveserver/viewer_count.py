"""Viewer counts, which nodes and datacenters exchange beside the events.

They are not numbered or stored: each count is complete, so a lost one is replaced by the next.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec

MARK = b"#"  # how a count on an inbox or feed begins; batches do not
_NUMBER = rb"(0|[1-9][0-9]{0,14})"
_WORDS = re.compile(
    rb"#([A-Za-z0-9][A-Za-z0-9._-]{0,127}) ([a-z0-9]{1,16}) "
    + b" ".join([_NUMBER, _NUMBER, _NUMBER])
    + rb"(?: [!-~]{1,128}){0,8}"  # words of a newer version, which are ignored
)


class AudienceReport(msgspec.Struct, frozen=True):
    """A node's addition to a video's audience: users who have watched it, and the most viewers at once."""

    video: str
    users: Sequence[str]
    peak: int


class AudienceSize(msgspec.Struct, frozen=True):
    """About how many users have watched a video in this datacenter, and its most viewers at once."""

    unique: int = 0
    peak: int = 0


class MalformedViewerCount(ValueError):
    """Bytes that begin with the mark and are malformed."""


class ViewerCount(msgspec.Struct, frozen=True, gc=False):
    """`datacenter` viewers at the nodes of `origin`, and `total` in all the datacenters it has heard of.

    `hold`: for how many seconds another datacenter may count on the first of them.
    """

    video: str
    origin: str
    datacenter: int = 0
    total: int = 0
    hold: float = 0.0

    def encode(self) -> bytes:
        """Return `#video origin datacenter total hold`, the last in ms, as `tally.lua` does."""
        return b"#%b %b %d %d %d" % (
            self.video.encode(), self.origin.encode(), self.datacenter, self.total, round(self.hold * 1000),
        )  # fmt: skip

    @classmethod
    def decode(cls, wire: bytes) -> ViewerCount:
        """Parse the result of `encode`. Raises `MalformedViewerCount`."""
        words = _WORDS.fullmatch(wire)
        if words is None:
            raise MalformedViewerCount(f"not a video, an origin and three numbers: {wire[:100]!r}")
        video, origin, *numbers = words.groups()
        datacenter, total, hold = map(int, numbers)
        return cls(video.decode(), origin.decode(), datacenter, total, hold / 1000)
