"""Retention by kind: ephemeral events are dropped before others, which are sent without a gap."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from liveserver.cursor import Cursor, Mark
from liveserver.event import Batch
from liveserver.frontend.history.frames import GAP, SKIP
from liveserver.frontend.history.log import ChannelLog, Item
from liveserver.transport.ndjson import NDJSON
from liveserver.transport.sse import SSE

NOW = 0.0
ORIGINS = ("dc1", "dc2")


def line(kind: str, number: int) -> bytes:
    return b'%b {"id":"%b%d","type":"%b"}' % (kind.encode(), kind.encode(), number, kind.encode())


def log_at(cursor: str, capacity: int = 100, ephemeral: int = 10) -> ChannelLog:
    start = Cursor.parse(cursor)
    return ChannelLog("v", capacity, 600.0, start, ephemeral=("like",), ephemeral_capacity=ephemeral)


def append(log: ChannelLog, kinds: str, number: int, origin: str = "dc1", since: int | None = None) -> int:
    """Append events of one origin, `l` a like and `c` a comment; return the next number."""
    lines = [line("like" if kind == "l" else "comment", at) for at, kind in enumerate(kinds, number)]
    log.append(Batch("v", "aaa", number, origin, "aaa", number, lines, since), 0, NOW)
    return number + len(kinds)


def sent(log: ChannelLog, form: object, position: int, limit: int = 200) -> bytes:
    """Return all that a viewer at `position` is sent."""
    frames, received = log.frames(form), b""  # type: ignore[arg-type]
    while position < log.tip:
        chunk, position = frames.write(position, limit)
        received += chunk
    return received


def test_a_storm_of_likes_leaves_comments_in_reach() -> None:
    log = log_at("dc1-aaa-0")
    number = append(log, "clc", 1)
    for _ in range(200):
        number = append(log, "l" * 60, number)
        log.trim(NOW, needed=log.tip)
    assert (len(log.older), log.event_count) == (2, 12)
    point = log.locate(Cursor.parse("dc1-aaa-1"))
    assert (point.gap, point.seen, point.skipped) == (False, None, True)
    received = sent(log, SSE, point.position)
    assert received.count(b"event: comment") == 1
    assert received.count(b"event: like") == 10
    assert b"event: gap" not in received
    assert b"id: dc1-aaa-3\nevent: comment" in received


def test_a_viewer_that_saw_all_dropped_events_skips_none() -> None:
    log = log_at("dc1-aaa-0")
    append(log, "c" + "l" * 30, 1)
    log.trim(NOW, needed=log.tip)
    assert log.locate(Cursor.parse("dc1-aaa-21")).skipped is False
    assert log.locate(Cursor.parse("dc1-aaa-20")).skipped is True


def test_comments_over_their_own_bound_are_a_gap() -> None:
    log = log_at("dc1-aaa-0", capacity=3)
    append(log, "clclclcl" + "l" * 30, 1)
    log.trim(NOW, needed=log.tip)
    assert [item.number for item in log.older] == [3, 5, 7]
    assert not log.locate(Cursor.parse("dc1-aaa-1")).gap
    assert log.locate(Cursor.parse("dc1-aaa-0")).gap
    received = sent(log, NDJSON, -1)
    assert received.count(b'"event":"gap"') == 1
    assert received.count(b'"event":"comment"') == 3


def test_replay_counts_what_is_held() -> None:
    log = log_at("dc1-aaa-0")
    append(log, "clcc" + "l" * 30, 1)
    log.trim(NOW, needed=log.tip)
    for count in (1, 10, 11, 12, 13):
        held = log.between(log.before_events(count), log.tip)
        assert len(held) == count
    assert len(log.between(log.before_events(50), log.tip)) == 13
    assert log.after_events(log.before_events(13), 2) == log.before_events(11)


def test_a_retracted_comment_loses_its_content_wherever_it_is_held() -> None:
    log = log_at("dc1-aaa-0")
    text = b'comment {"id":"x","video":"v","type":"comment","at":1,"data":{"text":"oops"}}'
    log.append(Batch("v", "aaa", 1, "dc1", "aaa", 1, [text]), 0, NOW)
    append(log, "l" * 30, 2)
    log.trim(NOW, needed=log.tip)
    assert b"oops" in sent(log, SSE, 0)
    retract = b'retract {"id":"y","video":"v","type":"retract","at":2,"data":{"id":"x"}}'
    log.append(Batch("v", "aaa", 32, "dc1", "aaa", 32, [retract]), 0, NOW)
    assert b"oops" not in sent(log, SSE, 0)


def test_old_events_of_either_kind_are_dropped() -> None:
    log = log_at("dc1-aaa-0")
    append(log, "c" + "l" * 30, 1)
    log.trim(NOW, needed=log.tip)
    assert log.event_count == 11
    log.trim(NOW + 1_000, needed=log.tip)
    assert log.event_count == 0
    assert log.locate(Cursor.parse("dc1-aaa-0")).gap
    point = log.locate(Cursor.parse("dc1-aaa-1"))
    assert (point.gap, point.skipped) == (False, True)


def test_a_hole_of_ephemeral_events_is_a_skip() -> None:
    log = log_at("dc1-aaa-0")
    append(log, "c", 1)
    append(log, "c", 50, since=1)
    log.append_skip(NOW)
    assert [item.event for item in log.items] == [b"comment", b"comment", SKIP]
    point = log.locate(Cursor.parse("dc1-aaa-1"))
    assert (point.position, point.gap, point.skipped) == (1, False, True)
    log = log_at("dc1-aaa-0")
    append(log, "c", 1)
    append(log, "c", 50, since=30)  # the event 30 is lost
    assert [item.event for item in log.items] == [b"comment", GAP, b"comment"]
    assert log.locate(Cursor.parse("dc1-aaa-29")).gap
    assert not log.locate(Cursor.parse("dc1-aaa-30")).gap


class Said(NamedTuple):
    """One event of the model's history."""

    origin: str
    number: int
    is_like: bool
    is_read: bool  # else the datacenter's log did not hold it any more: only likes


# Each step: an origin sends likes (`l`) and comments (`c`); `x` are likes that were dropped before they
# came here; then the log may be trimmed.
STEPS = st.lists(
    st.tuples(st.sampled_from(ORIGINS), st.text("llcx", min_size=1, max_size=9), st.booleans()), max_size=12
)


@given(
    STEPS, st.integers(1, 6), st.integers(1, 6), st.integers(0, 60), st.integers(0, 9), st.integers(1, 500)
)
def test_a_viewer_gets_all_that_is_held_and_a_gap_for_what_is_not(
    steps: list[tuple[str, str, bool]], comments: int, likes: int, seen: int, ahead: int, limit: int
) -> None:
    """Against a model that forgets nothing: each held event after the cursor once, in order; a gap exactly
    when a comment is missing; `skipped` exactly when there is none and a like is."""
    history: list[Said] = []
    log = log_at("dc1-aaa-0~dc2-aaa-0", comments, likes)
    numbers, kept = dict.fromkeys(ORIGINS, 0), dict.fromkeys(ORIGINS, 0)
    for origin, kinds, is_trimmed in steps:
        for kind in kinds:
            numbers[origin] += 1
            number = numbers[origin]
            history.append(Said(origin, number, kind != "c", kind != "x"))
            if kind != "x":
                append(log, kind, number, origin, since=kept[origin])
            if kind == "c":
                kept[origin] = number
        if is_trimmed:
            log.trim(NOW, needed=log.tip)
        assert log.event_count <= 2 * (comments + likes) + 120
    trail = Cursor((origin, Mark("aaa", number)) for origin, number in numbers.items())
    log.append_missing(trail, Cursor((origin, Mark("aaa", kept[origin])) for origin in ORIGINS), NOW)
    log.append_skip(NOW)
    log.trim(NOW, needed=log.tip)

    marks = dict.fromkeys(ORIGINS, 0)
    for said in history[:seen]:
        marks[said.origin] = said.number
    marks["dc2"] = min(max(marks["dc2"], ahead), numbers["dc2"])  # seen in another datacenter
    cursor = Cursor((origin, Mark("aaa", number)) for origin, number in marks.items())
    unseen = [(said.origin, said.number) for said in history if said.number > marks[said.origin]]
    is_like = {(said.origin, said.number): said.is_like for said in history}

    def name(item: Item) -> tuple[str, int]:
        return item.origin, item.number

    held = {name(item) for _, item in log.walk(log.kept_from, log.tip) if item.event not in (GAP, SKIP)}
    assert sum(not is_like[each] for each in held) <= comments
    assert sum(is_like[each] for each in held) <= likes
    point = log.locate(cursor)
    items = [item for _, item in log.walk(point.position, log.tip) if item.event not in (GAP, SKIP)]
    covered = [item for item in items if log.was_seen(item, cursor)]
    assert not covered or point.seen is not None
    assert [name(item) for item in items if item not in covered] == [each for each in unseen if each in held]
    missing = [each for each in unseen if each not in held]
    assert point.gap == any(not is_like[each] for each in missing)
    assert point.skipped == bool(missing and not point.gap)
    assert log.reaches(point.position, cursor) or point.seen is not None

    # What is written is what is held, whatever fits into one write.
    received = sent(log, NDJSON, point.position, limit)
    assert received.count(b'"event":"like"') + received.count(b'"event":"comment"') == len(items)
    assert b'"event":"gap"' not in received


@given(st.lists(st.integers(0, 5), max_size=20), st.integers(5, 60))
def test_when_each_item_came(sizes: list[int], capacity: int) -> None:
    log, number, came = log_at("dc1-aaa-0", capacity), 1, list[float]()
    for when, size in enumerate(sizes):
        if size:
            lines = [line("comment", number + each) for each in range(size)]
            log.append(Batch("v", "aaa", number, "dc1", "aaa", number, lines), 0, float(when))
            number += size
            came += [float(when)] * size
            log.trim(float(when), needed=log.tip)
        for position in range(log.tip):
            expected = came[position] if position >= log.base else None
            assert log.arrived_at(position) == expected
        assert log.arrived_at(log.tip) is None
