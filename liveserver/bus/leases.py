"""How a frontend asks a dispatcher for leases, on the wire: `POST /v1/leases` and `/v1/leases/withdraw`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from liveserver.bus.interface import Head
from liveserver.cursor import Cursor

Node = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")]


class LeaseRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Subscribe `node` to `videos` (with so many viewers each) for `lease` seconds."""

    node: Node
    lease: float
    videos: dict[str, int]


class WithdrawRequest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Unsubscribe `node` from `videos`."""

    node: Node
    videos: list[str]


class WireHead(msgspec.Struct, frozen=True):
    """A head, with the cursor in its text form."""

    epoch: str
    offset: int
    cursor: str


class LeaseAnswer(msgspec.Struct, frozen=True):
    """The heads of the videos subscribed to."""

    heads: dict[str, WireHead]

    @classmethod
    def of(cls, heads: Mapping[str, Head]) -> LeaseAnswer:
        return cls(
            {video: WireHead(head.epoch, head.offset, str(head.cursor)) for video, head in heads.items()}
        )

    def read(self) -> dict[str, Head]:
        """The heads again. Raises `CursorError`."""
        return {
            video: Head(head.epoch, head.offset, Cursor.parse(head.cursor))
            for video, head in self.heads.items()
        }
