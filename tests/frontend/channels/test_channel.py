"""A video as a node follows it: in the log's order, each event once, and a gap where some are lost."""

from __future__ import annotations

from typing import Any

import pytest
import trio
from trio.testing import MockClock

from liveserver.bus.interface import Head, Slice
from liveserver.config import HistorySettings
from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.frontend.channels.channel import STASH, Channel
from liveserver.frontend.delivery.statistics import FanOutStatistics
from liveserver.frontend.history.frames import GAP, SKIP


class Scheduler:
    """The fan-out: notes its calls, and writes nothing."""

    segment_size, max_write, poll_bytes, trace_flushes = 200, 1 << 20, 1 << 20, 10

    def __init__(self) -> None:
        self.counts = FanOutStatistics()
        self.delays: Any = None
        self.delayed: list[Any] = []

    def add_delayed(self, audience: Any) -> None:
        self.delayed.append(audience)

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


def channel(offset: int = 0, epoch: str = "aaa") -> Channel:
    scheduler: Any = Scheduler()
    made = Channel("v", scheduler, HistorySettings())
    made.open(head(offset, epoch))
    assert made.drain_stash()
    return made


def head(offset: int, epoch: str = "aaa") -> Head:
    return Head(epoch, offset, Cursor.parse(f"dc1-{epoch}-{offset}"), Cursor.parse(f"dc1-{epoch}-{offset}"))


def batch(first: int, count: int = 1, epoch: str = "aaa", number: int | None = None) -> Batch:
    start = first if number is None else number
    lines = [b'comment {"id":"c%d"}' % (start + at) for at in range(count)]
    return Batch("v", epoch, first, "dc1", epoch, start, lines)


def numbers(made: Channel) -> list[int | str]:
    return ["gap" if item.event == GAP else item.number for item in made.log.items]


async def test_next_events_are_appended_and_known_ones_dropped() -> None:
    made = channel(offset=5)
    assert made.append_batch(batch(6, 2))
    assert made.append_batch(batch(6, 2))
    assert made.append_batch(batch(7, 3)), "an overlap is cut"
    assert (numbers(made), made.offset) == ([6, 7, 8, 9], 9)
    assert made.append_batch(batch(2)), "an older one as well"
    assert numbers(made) == [6, 7, 8, 9]


async def test_a_missing_range_stops_it_until_it_has_been_read() -> None:
    made = channel()
    assert not made.append_batch(batch(3))
    assert numbers(made) == []
    made.is_backfilling = True
    assert made.append_batch(batch(4)), "it is stashed"
    made.apply_slice(Slice(head(2), 1, [batch(1, 2)]))
    assert made.drain_stash()
    assert numbers(made) == [1, 2, 3, 4]


async def test_a_stash_with_another_hole_is_read_again() -> None:
    made = channel()
    made.is_backfilling = True
    for first in (1, 2, 5):
        assert made.append_batch(batch(first))
    assert not made.drain_stash()
    assert (numbers(made), made.is_backfilling) == ([1, 2], True)


async def test_a_stash_is_bounded() -> None:
    made = channel()
    made.is_backfilling = True
    for first in range(1, STASH + 11):
        made.append_batch(batch(first))
    assert len(made._stash) == STASH


async def test_events_lost_by_the_datacenters_log_are_a_gap() -> None:
    made = channel(offset=2)
    made.apply_slice(Slice(head(9), 8, [batch(8, 2)]))
    assert numbers(made) == ["gap", 8, 9]
    assert made.offset == 9


async def test_another_epoch_begins_with_a_gap_and_counts_as_a_hole() -> None:
    made = channel(offset=2)
    made.append_batch(batch(3))
    assert not made.append_batch(batch(1, epoch="bbb"))
    assert made.is_behind(head(1, "bbb"))
    part = Slice(head(1, "bbb"), 1, [batch(1, epoch="bbb")])
    assert made.loses_state(part)
    made.apply_slice(part)
    assert (numbers(made), made.epoch, made.offset, made.is_complete) == ([3, "gap", 1], "bbb", 1, True)
    assert made.audience.counts.holes == 1


@pytest.mark.parametrize(
    ("since", "kept", "found"),
    [
        (1, 10, ["gap dc1-ccc-0", 8, 10, "skip"]),
        (2, 10, ["gap dc1-ccc-0", 8, 10, "skip"]),
        (3, 10, ["gap dc1-ccc-0", "gap dc2-bbb-3", 8, 10, "skip"]),
        (None, 10, ["gap dc1-ccc-0", "gap dc2-bbb-7", 8, 10, "skip"]),
        (1, 14, ["gap dc1-ccc-0", 8, 10, "gap dc2-bbb-14", "skip"]),
        (None, 2, ["gap dc1-ccc-0", "skip"]),
        (None, 3, ["gap dc1-ccc-0", "gap dc2-bbb-3", "skip"]),
    ],
)
async def test_in_another_epoch_ephemeral_events_of_others_are_no_gap(
    since: int | None, kept: int, found: list[int | str]
) -> None:
    """Of another datacenter 2 was received; the new log has 8, 10 and 11, or no event of it any more."""
    made = channel(offset=1)
    made.log.append(
        Batch("v", "aaa", 2, "dc2", "bbb", 1, [b'comment {"id":"a"}', b'comment {"id":"b"}']), 0, 0
    )
    before = len(made.log.items)
    batches = [
        Batch("v", "ccc", 1, "dc2", "bbb", 8, [b'comment {"id":"c"}'], since),
        Batch("v", "ccc", 3, "dc2", "bbb", 10, [b'comment {"id":"d"}'], 8),
    ]
    after = Head("ccc", 7, Cursor.parse("dc1-ccc-0~dc2-bbb-14"), Cursor.parse(f"dc1-ccc-0~dc2-bbb-{kept}"))
    made.apply_slice(Slice(after, 1, batches if kept >= 10 else []))
    assert [
        f"gap {item.origin}-{item.epoch}-{item.number}" if item.event == GAP
        else "skip" if item.event == SKIP
        else item.number
        for item in made.log.items[before:]
    ] == found  # fmt: skip
    assert str(made.log.cursor) == "dc1-ccc-0~dc2-bbb-14"


async def test_a_head_further_on_reveals_a_lost_last_event() -> None:
    made = channel(offset=5)
    assert [made.is_behind(head(offset)) for offset in (4, 5, 6)] == [False, False, True]
    assert made.is_behind(head(1, "bbb"))


async def test_older_events_are_inserted_before_the_held_ones() -> None:
    made = channel(offset=2)
    made.append_batch(batch(3))
    assert not made.is_complete
    made.prepend([batch(1, 2)])
    assert (numbers(made), made.first, made.is_complete) == ([1, 2, 3], 1, True)
    assert channel(offset=0).is_complete, "a log that was empty has no older ones"


async def test_a_log_reaches_as_far_back_as_it_was_followed(autojump_clock: MockClock) -> None:
    made = channel(offset=2)
    assert not made.reaches_back(5)
    await trio.sleep(5)
    assert made.reaches_back(5)
    assert channel(offset=0).reaches_back(1_000)


@pytest.mark.parametrize(
    ("text", "is_behind", "knows"),
    [
        ("dc1-aaa-3", False, True),
        ("dc1-aaa-4", True, True),
        ("dc2-bbb-9", False, True),
        ("dc1-aab-1", False, False),
        ("dc1-000-9", False, False),
    ],
)
async def test_cursors_that_are_further_and_epochs_that_are_unknown(
    text: str, is_behind: bool, knows: bool
) -> None:
    made = channel(offset=2)
    made.append_batch(batch(3))
    cursor = Cursor.parse(text)
    assert made.is_behind_cursor(cursor, "dc1") is is_behind
    assert made.knows_epoch(cursor, "dc1") is knows


async def test_delays_are_bounded_and_the_nearest_longer_one_is_used() -> None:
    made = channel()
    assert made.audience_behind(0, 2) is made.audience
    five, nine = made.audience_behind(5, 2), made.audience_behind(9, 2)
    assert made.audience_behind(5, 2) is five
    assert made.audience_behind(6, 2) is nine, "rather a longer one"
    assert made.audience_behind(20, 2) is nine
    assert made.audience_behind(1, 2) is five


async def test_a_closed_channel_holds_nothing() -> None:
    made = channel()
    made.append_batch(batch(1))
    made.close()
    assert made.settled.is_set()
    assert (len(made.log.items), len(made._stash)) == (0, 0)
