"""The wire form of a frontend's lease requests: `POST /v1/leases` and `/v1/leases/withdraw`.

Unknown fields are ignored on both sides: they are those of a newer version, which goes without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from liveserver.bus.interface import Head, Lease
from liveserver.cursor import Cursor
from liveserver.viewer_count import ViewerCount

Node = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")]


class LeaseRequest(msgspec.Struct, frozen=True):
    """Subscribe `node` to `videos` (video → viewer count) for `lease` seconds.

    `opening` are the videos whose state should be included.
    """

    node: Node
    lease: float
    videos: dict[str, int]
    opening: list[str] = []  # names that are not in `videos` are ignored


class WithdrawRequest(msgspec.Struct, frozen=True):
    """Unsubscribe `node` from `videos`."""

    node: Node
    videos: list[str]


class WireLease(msgspec.Struct, frozen=True, omit_defaults=True):
    """A head, with the cursor in its text form, the viewer count, and the state's lines if requested."""

    epoch: str
    offset: int
    cursor: str
    kept: str = ""
    datacenter: int = 0
    total: int = 0
    is_announced: bool = True
    state: list[str] = []


class LeaseAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The leases of the videos subscribed to; `origin` is the datacenter's name."""

    heads: dict[str, WireLease]
    origin: str = ""

    @classmethod
    def from_leases(cls, leases: Mapping[str, Lease]) -> LeaseAnswer:
        heads, origin = {}, ""
        for video, lease in leases.items():
            head, viewers = lease.head, lease.viewers
            origin = viewers.origin
            heads[video] = WireLease(
                head.epoch,
                head.offset,
                str(head.cursor),
                str(head.kept or ""),
                viewers.datacenter,
                viewers.total,
                lease.is_announced,
                [line.decode() for line in lease.state],
            )
        return cls(heads, origin)

    def to_leases(self) -> dict[str, Lease]:
        """Return the leases. Raises `CursorError`."""
        return {
            video: Lease(
                Head(wire.epoch, wire.offset, Cursor.parse(wire.cursor), _kept(wire)),
                ViewerCount(video, self.origin, wire.datacenter, wire.total),
                wire.is_announced,
                [line.encode() for line in wire.state],
            )
            for video, wire in self.heads.items()
        }


def _kept(wire: WireLease) -> Cursor | None:
    return Cursor.parse(wire.kept) if wire.kept else None
