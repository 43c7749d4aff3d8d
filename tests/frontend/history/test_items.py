"""Positions among the items of a log, compared with a plain list of what was appended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.cursor import Cursor, Mark
from liveserver.frontend.history.frames import GAP
from liveserver.frontend.history.items import BREAKS, Item, LogItems, cursor_before
from liveserver.frontend.history.log import ChannelLog
from tests.frontend.history.harness import batch, log_at

START = "dc1-aaa-0"


def filled(steps: list[int]) -> tuple[ChannelLog, list[bytes]]:
    """A log with so many events a step, a gap of 3 numbers for each 0; and the words of its items."""
    log, words, number = log_at(START), [], 0
    for count in steps:
        if count == 0:
            number += 3
            log.append_gap("dc1", Mark("aaa", number), 0.0)
            words.append(GAP)
        else:
            log.append(batch(number + 1, count), 0, 0.0)
            words += [b"like"] * count
            number += count
    return log, words


STEPS = st.lists(st.integers(0, 3), max_size=10)


@given(STEPS, st.integers(0, 20), st.integers(0, 20), st.integers(1, 9))
def test_stretches_are_those_of_the_list(steps: list[int], one: int, other: int, count: int) -> None:
    log, words = filled(steps)
    assert (log.base, log.tip) == (0, len(words))
    start, end = sorted((min(one, len(words)), min(other, len(words))))
    assert [item.event for item in log.between(start, end)] == words[start:end]
    assert [(at, item.event) for at, item in log.walk(start, end)] == list(enumerate(words))[start:end]
    assert log.size_between(start, end) == end - start
    gaps = [at for at in range(start, end) if words[at] in BREAKS]
    assert log.before_gap(start, end) == (gaps[0] if gaps else end)
    assert log.event_count == sum(word not in BREAKS for word in words)
    assert log.count_events(end) == sum(word not in BREAKS for word in words[:end])
    events = [at for at, word in enumerate(words) if word not in BREAKS]
    if len(events) >= count:
        assert log.before_events(count) == events[-count]
    behind = log.after_events(start, count)
    assert sum(word not in BREAKS for word in words[start:behind]) == min(
        count, sum(word not in BREAKS for word in words[start:])
    )


@given(STEPS)
def test_the_cursor_at_a_position_resumes_there(steps: list[int]) -> None:
    log, words = filled(steps)
    for position in range(len(words) + 1):
        cursor = Cursor.parse_trusted(log.cursor_at(position).decode())
        point = log.locate(cursor)
        assert (point.position, point.seen) == (position, None)
        assert point.gap == any(word == GAP for word in words[position:])
        assert log.reaches(position, cursor)
        seen = [log.was_seen(item, cursor) for item in log.between(0, log.tip)]
        assert seen == [True] * position + [False] * (len(words) - position)


def test_an_item_is_found_at_its_position() -> None:
    log, _ = filled([2, 0, 1])
    assert [log.item_at(at).event for at in range(4)] == [b"like", b"like", GAP, b"like"]
    for position in (4, 99):
        with pytest.raises(LookupError):
            log.item_at(position)


def test_before_the_oldest_item_is_the_floor() -> None:
    log = ChannelLog("v", 3, 600.0, Cursor.parse(START))
    log.append(batch(1, 5), 0, 0.0)
    log.trim(0.0, log.tip)
    assert (log.base, log.tip) == (2, 5)
    assert log.cursor_at(0) == log.cursor_at(2) == b"dc1-aaa-2"
    assert log.is_cut(Cursor.parse("dc1-aaa-1"))
    assert not log.is_cut(Cursor.parse("dc1-aaa-2"))
    assert log.locate(Cursor.parse("dc1-aaa-1")).is_cut
    assert log.before_events(9) == 2


def test_events_before_a_cursor_ahead_of_the_log_are_withheld() -> None:
    log, _ = filled([3])
    further = Cursor.parse("dc1-aaa-7")
    assert (log.locate(further).position, log.locate(further).seen) == (3, further)
    assert not log.reaches(3, further)
    unknown = Cursor.parse("dc1-aaa-3~dc2-bbb-0")
    assert log.reaches(3, unknown), "no event of that origin was seen"
    assert not log.reaches(3, Cursor.parse("dc1-aaa-3~dc2-bbb-1"))


def test_epochs_that_a_log_has_been_through_are_in_order() -> None:
    log, _ = filled([2])
    log.append_gap("dc1", Mark("bbb", 0), 0.0)
    assert log.has_epoch("dc1", "aaa")
    assert log.has_epoch("dc1", "bbb")
    assert not log.has_epoch("dc1", "ccc")
    assert not log.has_epoch("dc2", "aaa")
    assert log.is_newer("dc1", "bbb", "aaa") is True
    assert log.is_newer("dc1", "aaa", "bbb") is False


def test_an_event_is_next_unless_its_epoch_is_another() -> None:
    log, _ = filled([1])
    item = log.item_at(0)
    assert log.is_next(item, Cursor(()))
    assert log.is_next(item, Cursor.parse("dc1-aaa-0"))
    assert not log.is_next(item, Cursor.parse("dc1-zzz-9"))


def test_the_cursor_before_batches_is_that_before_the_first_of_each_origin() -> None:
    after = Cursor.parse("dc1-aaa-9~dc2-bbb-5")
    batches = [batch(4, 2, number=6), batch(6, 1, "dc2", 5, "bbb"), batch(7, 2, number=8)]
    assert cursor_before(after, batches) == Cursor.parse("dc1-aaa-5~dc2-bbb-4")
    assert cursor_before(after, []) == after


def test_an_empty_log_has_nothing_anywhere() -> None:
    items = LogItems(Cursor(()))
    assert (items.event_count, items.before_events(5), items.after_events(0, 5)) == (0, 0, 0)
    assert list(items.walk(0, 9)) == []
    assert items.locate(Cursor.parse("dc1-aaa-5")).position == 0
    assert not items.was_seen(Item(b"like", b"{}", b"", "dc1", "aaa", 1), Cursor(()))
