"""How many watch a video: what nodes and datacenters tell each other beside the events.

A tally is unnumbered and nobody keeps it: each one says all there is to say, and whoever misses one
hears the next.
"""

from __future__ import annotations

import msgspec

from liveserver.event import ORIGIN, VIDEO

MARK = b"#"  # in an inbox or a feed: no batch begins so


class MalformedTally(ValueError):
    """Bytes that begin with the mark and are no tally."""


class Tally(msgspec.Struct, frozen=True, gc=False):
    """`datacenter` viewers at the nodes of `origin`, and `total` in all the datacenters it has heard of.

    `hold`: for how many seconds another datacenter may count on the first of them.
    """

    video: str
    origin: str
    datacenter: int = 0
    total: int = 0
    hold: float = 0.0

    def encode(self) -> bytes:
        """`#video origin datacenter total hold`, the last in ms; `tally.lua` writes the same."""
        return b"#%b %b %d %d %d" % (
            self.video.encode(), self.origin.encode(), self.datacenter, self.total, round(self.hold * 1000),
        )  # fmt: skip

    @classmethod
    def decode(cls, wire: bytes) -> Tally:
        """The inverse of `encode`. Raises `MalformedTally`."""
        try:
            video, origin, *numbers = wire.removeprefix(MARK).decode("ascii").split(" ")
            datacenter, total, hold = map(int, numbers)
        except ValueError as error:
            raise MalformedTally(f"a tally is five words, not {wire[:100]!r}") from error
        if not (VIDEO.fullmatch(video) and ORIGIN.fullmatch(origin) and min(datacenter, total, hold) >= 0):
            raise MalformedTally(f"a tally has a video, an origin and numbers from 0: {wire[:100]!r}")
        return cls(video, origin, datacenter, total, hold / 1000)
