"""Logs and batches to fill them with."""

from __future__ import annotations

from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.frontend.history.frames import GAP
from liveserver.frontend.history.items import Item
from liveserver.frontend.history.log import ChannelLog


def batch(
    first: int, count: int, origin: str = "dc1", number: int | None = None, epoch: str = "aaa"
) -> Batch:
    start = first if number is None else number
    lines = [b'like {"n":"%b-%d"}' % (origin.encode(), start + index) for index in range(count)]
    return Batch("v", "aaa", first, origin, epoch, start, lines)


def log_at(cursor: str, capacity: int = 1000) -> ChannelLog:
    return ChannelLog("v", capacity, 600.0, Cursor.parse(cursor))


def line(kind: str, name: str, data: str = "") -> bytes:
    return b'%b {"id":"%b","video":"v","type":"%b","user":"u","at":7%b}' % (
        kind.encode(), name.encode(), kind.encode(), f',"data":{data}'.encode() if data else b"",
    )  # fmt: skip


def lines(log: ChannelLog) -> list[tuple[bytes, bytes]]:
    return [(item.event, item.data) for item in log.items]


def relayed(first: int, count: int, number: int, epoch: str) -> Batch:
    return batch(first, count, "dc2", number, epoch)


def resumed(log: ChannelLog, cursor: Cursor) -> tuple[list[tuple[str, str, int]], bool]:
    """What a viewer with `cursor` is sent of what is held, and whether it gets a gap at once."""
    place = log.locate(cursor)
    items = [item for item in log.between(place.position, log.tip) if item.event != GAP]
    covered = [item for item in items if log.was_seen(item, cursor)]
    if place.seen is None:
        assert not covered
    return [named(item) for item in items if item not in covered], place.gap


def named(item: Item) -> tuple[str, str, int]:
    return item.origin, item.epoch, item.number
