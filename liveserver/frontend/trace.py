"""The trace of one event at this node, reconstructed from data that is kept anyway.

Nothing is recorded per event: the log has the arrival time of each item, the flush records have the positions
and the number of viewers, and the segments have their current positions.
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
    "withheld": "had received it at another node, according to its cursor",
    "skipped": "was too slow: the log no longer had the event; received `gap`",
    "late": "its socket was full during the flush; caught up in a task of its own",
    "let go": "accepted nothing for frontend.slow_timeout; received `bye`, and may resume with its cursor",
}


class Accepted(msgspec.Struct, frozen=True):
    """Acceptance by a dispatcher of `datacenter`. `at` is its time, in milliseconds since the epoch."""

    at: int | None
    datacenter: str


class Logged(msgspec.Struct, frozen=True):
    """The event's number in its origin's epoch; `cursor` is the one after it."""

    epoch: str
    number: int
    cursor: str


class Received(msgspec.Struct, frozen=True):
    """Arrival at this node's inbox. Both are None if it was read from the datacenter's log."""

    at: int | None
    after_ms: int | None


class Written(msgspec.Struct, frozen=True):
    """The flushes that wrote the event: their number, viewers, first and last time.

    `is_complete` is false if records of that time have been dropped (`frontend.trace_flushes`).
    """

    viewers: int
    visits: int
    first_at: int | None
    last_at: int | None
    is_complete: bool


class NotWritten(msgspec.Struct, frozen=True):
    """The number of viewers to which a flush did not write the event, and why."""

    what: str
    why: str
    viewers: int
    at: int


class Now(msgspec.Struct, frozen=True):
    """The present viewers: `past` the event, `waiting` for it, or `lagging` before it."""

    viewers: int
    past: int
    waiting: int
    lagging: int


class Trace(msgspec.Struct, frozen=True):
    """The delivery of one event at one node. All times are in milliseconds since the epoch."""

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
    """Converts Trio's times to milliseconds since the epoch.

    The clocks are read once, so order is preserved.
    """

    def __init__(self) -> None:
        self._offset = time.time() - trio.current_time()

    def __call__(self, when: float) -> int:
        return round(1000 * (when + self._offset))


class _Head(msgspec.Struct):
    """The needed fields of an event."""

    at: int | None = None
    accepted: int | None = None


def trace(channel: Channel, event: str, node: str) -> Trace | None:
    """Return the trace of the event with this id; None if it is not in this node's log of the video."""
    log = channel.log
    position = find(channel, event)
    if position is None:
        return None
    item = log.item_at(position)
    at = _at(item.data)
    to_wall = _Clock()
    arrived = log.arrived_at(position)
    received = to_wall(arrived) if arrived is not None else None
    flushes = channel.audience.flush_history
    writing = list(flushes.of(position))
    return Trace(
        video=channel.video,
        id=event,
        type=item.event.decode(),
        node=node,
        accepted=Accepted(at, item.origin),
        logged=Logged(item.epoch, item.number, item.cursor.decode()),
        received=Received(received, received - at if received is not None and at is not None else None),
        written=_written(to_wall, writing, arrived is not None and flushes.reaches_back_to(arrived)),
        not_written=[
            _not_written(to_wall, each) for each in flushes.notes if each.start <= position < each.end
        ],
        now=_now(channel.audience, position),
    )


def find(channel: Channel, event: str) -> int | None:
    """Return the position of the event with this id (of the newest, if there are two), or None."""
    beginning = b'{"id":%b,' % msgspec.json.encode(event)
    log = channel.log
    for at in range(len(log.items) - 1, -1, -1):
        if log.items[at].data.startswith(beginning):
            return log.base + at
    for position, item in zip(reversed(log.older_at), reversed(log.older), strict=True):
        if item.data.startswith(beginning):
            return position
    return None


def _at(data: bytes) -> int | None:
    """Return when a dispatcher accepted the event."""
    try:
        head = msgspec.json.decode(data, type=_Head)
    except msgspec.DecodeError:
        return None
    return head.at if head.accepted is None else head.accepted


def _written(to_wall: _Clock, flushes: Sequence[FlushRecord], is_complete: bool) -> Written:
    return Written(
        viewers=sum(flush.viewers for flush in flushes),
        visits=len(flushes),
        first_at=to_wall(flushes[0].time) if flushes else None,
        last_at=to_wall(flushes[-1].time) if flushes else None,
        is_complete=is_complete,
    )


def _not_written(to_wall: _Clock, note: DeliveryNote) -> NotWritten:
    return NotWritten(note.what, WHY[note.what], note.viewers, to_wall(note.time))


def _now(audience: Audience, position: int) -> Now:
    every = list(audience.all())
    waiting = sum(
        segment.size for each in every for segment in each.segments() if segment.position <= position
    )
    lagging = sum(viewer.position <= position for each in every for viewer in each.lagging)
    viewers = audience.totals.count
    return Now(viewers=viewers, past=viewers - waiting - lagging, waiting=waiting, lagging=lagging)
