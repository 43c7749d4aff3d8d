"""What happened to one event at this node, told afterwards from what is kept anyway.

Nothing is written down per event: the log knows when an item came, the visits know how many viewers they
wrote which positions to, and the segments know where they stand now.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

import msgspec
import trio

from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.delivery.audience import Audience
from liveserver.frontend.delivery.flush_history import DeliveryNote, FlushRecord

WHY = {
    "withheld": "had seen it at another node; its cursor said so",
    "skipped": "was too slow and fell out of the log's reach; told `gap`",
    "late": "its socket was full within the visit that wrote this; caught up by itself from there",
    "let go": "took nothing for frontend.slow_timeout; told `bye`, and resumes with its cursor",
}


class Accepted(msgspec.Struct, frozen=True):
    """At a dispatcher of `datacenter`, by its clock. `at` is in milliseconds since the epoch."""

    at: int | None
    datacenter: str


class Logged(msgspec.Struct, frozen=True):
    """Under this number of its origin's epoch; `cursor` is that of a viewer that has seen it."""

    epoch: str
    number: int
    cursor: str


class Received(msgspec.Struct, frozen=True):
    """At this node's inbox. None of both: it was read from the datacenter's log, before or after a hole."""

    at: int | None
    after_ms: int | None


class Written(msgspec.Struct, frozen=True):
    """To how many viewers, in how many visits, and from when to when.

    `is_complete` is false when visits of that time are forgotten (`frontend.trace_flushes`).
    """

    viewers: int
    visits: int
    first_at: int | None
    last_at: int | None
    is_complete: bool


class NotWritten(msgspec.Struct, frozen=True):
    """To so many viewers it was not simply written, and why."""

    what: str
    why: str
    viewers: int
    at: int


class Now(msgspec.Struct, frozen=True):
    """The viewers here at this moment: whether they stand behind the event, or it is still to be written."""

    viewers: int
    past: int
    waiting: int
    lagging: int


class Trace(msgspec.Struct, frozen=True):
    """One event's story at one node. All times are in milliseconds since the epoch."""

    video: str
    id: str
    type: str
    node: str
    accepted: Accepted
    logged: Logged
    received: Received
    written: Written
    not_written: list[NotWritten]
    now: Now


class _Clock:
    """Converts Trio's times to milliseconds since the epoch. Both clocks are read once, so order is kept."""

    def __init__(self) -> None:
        self._offset = time.time() - trio.current_time()

    def __call__(self, when: float) -> int:
        return round(1000 * (when + self._offset))


class _Head(msgspec.Struct):
    """Of an event, what is needed here."""

    at: int | None = None
    accepted: int | None = None


def trace(channel: Channel, event: str, node: str) -> Trace | None:
    """The story of the event with this id; None when it is not in this node's log of the video."""
    log = channel.log
    position = _find(channel, event)
    if position is None:
        return None
    item = log.items[position - log.base]
    at = _at(item.data)
    to_wall = _Clock()
    arrived = log.arrived_at(position)
    received = to_wall(arrived) if arrived is not None else None
    visits = channel.audience.flush_history
    writing = list(visits.of(position))
    return Trace(
        video=channel.video,
        id=event,
        type=item.event.decode(),
        node=node,
        accepted=Accepted(at, item.origin),
        logged=Logged(item.epoch, item.number, item.cursor.decode()),
        received=Received(received, received - at if received is not None and at is not None else None),
        written=_written(to_wall, writing, arrived is not None and visits.reaches_back_to(arrived)),
        not_written=[
            _not_written(to_wall, each) for each in visits.notes if each.start <= position < each.end
        ],
        now=_now(channel.audience, position),
    )


def _find(channel: Channel, event: str) -> int | None:
    """The position of the event with this id; the newest, should there be two."""
    beginning = b'{"id":%b,' % msgspec.json.encode(event)
    items = channel.log.items
    for at in range(len(items) - 1, -1, -1):
        if items[at].data.startswith(beginning):
            return channel.log.base + at
    return None


def _at(data: bytes) -> int | None:
    """Return when a dispatcher accepted the event."""
    try:
        head = msgspec.json.decode(data, type=_Head)
    except msgspec.DecodeError:
        return None
    return head.at if head.accepted is None else head.accepted


def _written(to_wall: _Clock, visits: Sequence[FlushRecord], is_complete: bool) -> Written:
    return Written(
        viewers=sum(visit.viewers for visit in visits),
        visits=len(visits),
        first_at=to_wall(visits[0].time) if visits else None,
        last_at=to_wall(visits[-1].time) if visits else None,
        is_complete=is_complete,
    )


def _not_written(to_wall: _Clock, remark: DeliveryNote) -> NotWritten:
    return NotWritten(remark.what, WHY[remark.what], remark.viewers, to_wall(remark.time))


def _now(audience: Audience, position: int) -> Now:
    every = list(audience.all())
    waiting = sum(
        segment.size for each in every for segment in each.segments() if segment.position <= position
    )
    lagging = sum(viewer.position <= position for each in every for viewer in each.lagging)
    return Now(
        viewers=audience.count, past=audience.count - waiting - lagging, waiting=waiting, lagging=lagging
    )
