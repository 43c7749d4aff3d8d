"""What travels: a video's events, numbered and immutable once accepted.

Three forms, in the order an event takes them:

- `Publication`: what a publisher sent, parsed and checked.
- a *line*: `type`, a space, and the event's JSON as viewers see it, without a line break. Rendered
  once, by the dispatcher that accepts the event, and carried unchanged to the last frontend.
- `Batch`: consecutive lines of one video and one origin with their numbers; what the inbox, the
  feed and the log's readers speak.
"""

from __future__ import annotations

import re

import msgspec

VIDEO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
TYPE = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
ORIGIN = re.compile(r"[a-z0-9]{1,16}")
RETRACT = "retract"  # an earlier event, data.id, is to disappear
RESERVED_TYPES = frozenset({"ready", "gap", "bye", "events", "viewers", RETRACT})


class Publication(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """One event as its publisher sent it. `data` stays unparsed JSON; empty when absent."""

    type: str
    user: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    id: str | None = None
    video: str | None = None


class Event(msgspec.Struct, omit_defaults=True, gc=False):
    """An event as viewers see it; the field order is the wire's.

    `at` is when it was accepted, in milliseconds since the epoch; `data` is JSON as it came.
    """

    id: str
    video: str
    type: str
    user: str | msgspec.UnsetType = msgspec.UNSET
    at: int = 0
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


class MalformedBatch(ValueError):
    """Bytes on an inbox or a feed that are not a batch."""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Events `first`, `first + 1`, … of one video's log in this datacenter, all of one origin.

    `number` is the origin's own number of the first of them; both count up by one per line.
    """

    video: str
    epoch: str
    first: int
    origin: str
    origin_epoch: str
    number: int
    lines: list[bytes]

    @property
    def last(self) -> int:
        """The offset of the last event."""
        return self.first + len(self.lines) - 1

    def encode(self) -> bytes:
        """`video epoch first origin origin_epoch number` and the lines, LF between them.

        `append.lua` writes the same.
        """
        head = f"{self.video} {self.epoch} {self.first} {self.origin} {self.origin_epoch} {self.number}"
        return b"\n".join([head.encode(), *self.lines])

    @classmethod
    def decode(cls, wire: bytes) -> Batch:
        """The inverse of `encode`. Raises `MalformedBatch`."""
        head, *lines = wire.split(b"\n")
        try:
            video, epoch, first, origin, origin_epoch, number = head.decode("ascii").split(" ")
            batch = cls(video, epoch, int(first), origin, origin_epoch, int(number), lines)
        except ValueError as error:
            raise MalformedBatch(f"a batch begins with six words, not {head[:100]!r}") from error
        if not (
            lines
            and batch.first > 0
            and batch.number > 0
            and VIDEO.fullmatch(video)
            and ORIGIN.fullmatch(origin)
        ):
            raise MalformedBatch(f"a batch has a video, an origin, numbers from 1 and lines: {head[:100]!r}")
        if any(b" " not in line for line in lines):
            raise MalformedBatch("a line is a type, a space and JSON")
        return batch
