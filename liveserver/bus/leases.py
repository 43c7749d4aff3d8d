"""How a frontend asks a dispatcher for leases, on the wire: `POST /v1/leases` and `/v1/leases/withdraw`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from liveserver.bus.interface import Head, Lease
from liveserver.cursor import Cursor
from liveserver.viewer_count import ViewerCount

Node = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")]


class LeaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Subscribe `node` to `videos` (with so many viewers each) for `lease` seconds.

    `opening` are those of the videos whose state is wanted.
    """

    node: Node
    lease: float
    videos: dict[str, int]
    opening: list[str] = []  # names that are none of `videos` mean nothing


class WithdrawRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unsubscribe `node` from `videos`."""

    node: Node
    videos: list[str]


class WireLease(msgspec.Struct, frozen=True, omit_defaults=True):
    """A head, with the cursor in its text form, how many watch, and the lines of the state if asked for."""

    epoch: str
    offset: int
    cursor: str
    datacenter: int = 0
    total: int = 0
    is_announced: bool = True
    state: list[str] = []


class LeaseAnswer(msgspec.Struct, frozen=True, omit_defaults=True):
    """What there is to know of the videos subscribed to; `origin` is the datacenter's name."""

    heads: dict[str, WireLease]
    origin: str = ""

    @classmethod
    def of(cls, leases: Mapping[str, Lease]) -> LeaseAnswer:
        heads, origin = {}, ""
        for video, lease in leases.items():
            head, tally = lease.head, lease.tally
            origin = tally.origin
            heads[video] = WireLease(
                head.epoch,
                head.offset,
                str(head.cursor),
                tally.datacenter,
                tally.total,
                lease.is_announced,
                [line.decode() for line in lease.state],
            )
        return cls(heads, origin)

    def read(self) -> dict[str, Lease]:
        """The leases again. Raises `CursorError`."""
        return {
            video: Lease(
                Head(wire.epoch, wire.offset, Cursor.parse(wire.cursor)),
                ViewerCount(video, self.origin, wire.datacenter, wire.total),
                wire.is_announced,
                [line.encode() for line in wire.state],
            )
            for video, wire in self.heads.items()
        }
