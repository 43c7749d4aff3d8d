"""Where cursors resume, compared with a simple model that keeps everything."""

from __future__ import annotations

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from liveserver.cursor import Cursor, Mark
from liveserver.event import CONTROL_WORDS, Batch
from liveserver.frontend.history.log import GAP, ChannelLog, ResumePoint, cursor_before
from liveserver.transport.ndjson import NDJSON
from liveserver.transport.sse import SSE
from liveserver.transport.websocket import SOCKET
from tests.frontend.history.harness import batch, log_at, named, relayed, resumed

NOW = 0.0


def test_an_event_of_a_control_word_s_type_is_never_taken_for_that_word() -> None:
    # Dispatchers refuse such types; an older one, or whatever else writes into Redis, may not have.
    for word in sorted(CONTROL_WORDS):
        log = log_at("dc1-aaa-10")
        text = b'{"id":"1","video":"v","type":"%b"}' % word.encode()
        log.append(Batch("v", "aaa", 11, "dc1", "aaa", 11, [b"%b %b" % (word.encode(), text)]), 0, NOW)
        assert log.before_gap(0, log.tip) == log.tip
        written = {form: log.frames(form).write(0, 1000)[0] for form in (SSE, NDJSON, SOCKET)}
        assert b"event: x-%b\n" % word.encode() in written[SSE]
        assert b'"event":"x-%b"' % word.encode() in written[NDJSON]
        assert written[SOCKET].endswith(
            b'{"events":{"video":"v","cursor":"dc1-aaa-11","events":[%b]}}' % text
        )


def test_a_cursor_at_the_tip_has_nothing_to_come() -> None:
    log = log_at("dc1-aaa-10")
    log.append(batch(11, 5), 0, NOW)
    assert log.locate(Cursor.parse("dc1-aaa-15")) == ResumePoint(log.tip)


def test_a_cursor_in_the_middle_resumes_behind_it() -> None:
    log = log_at("dc1-aaa-10")
    log.append(batch(11, 5), 0, NOW)
    assert log.locate(Cursor.parse("dc1-aaa-12")) == ResumePoint(2)


def test_a_cursor_before_what_is_held_is_a_gap() -> None:
    log = log_at("dc1-aaa-10")
    log.append(batch(11, 5), 0, NOW)
    assert log.locate(Cursor.parse("dc1-aaa-9")) == ResumePoint(0, gap=True, is_cut=True)


def test_a_cursor_of_another_epoch_is_a_gap() -> None:
    log = log_at("dc1-aaa-10")
    log.append(batch(11, 5), 0, NOW)
    assert log.locate(Cursor.parse("dc1-bbb-12")) == ResumePoint(0, gap=True, is_cut=True)


def test_a_cursor_that_is_ahead_withholds() -> None:
    log = log_at("dc1-aaa-10")
    cursor = Cursor.parse("dc1-aaa-12")
    assert log.locate(cursor) == ResumePoint(0, seen=cursor)


def test_a_datacenter_that_is_behind_withholds_what_was_seen_elsewhere() -> None:
    log = log_at("dc1-aaa-0~dc2-bbb-0")
    log.append(batch(1, 2), 0, NOW)
    log.append(batch(3, 2, "dc2", 1, "bbb"), 0, NOW)
    events, gap = resumed(log, Cursor.parse("dc1-aaa-0~dc2-bbb-1"))
    assert events == [("dc1", "aaa", 1), ("dc1", "aaa", 2), ("dc2", "bbb", 2)]
    assert not gap


def test_an_origin_that_the_cursor_does_not_name_is_all_new() -> None:
    log = log_at("dc1-aaa-0")
    log.append(batch(1, 2), 0, NOW)
    log.append(batch(3, 2, "dc2", 1, "bbb"), 0, NOW)
    events, gap = resumed(log, Cursor.parse("dc1-aaa-2"))
    assert (events, gap) == ([("dc2", "bbb", 1), ("dc2", "bbb", 2)], False)


def test_a_jump_in_an_origins_numbers_is_a_gap_for_those_before_it_only() -> None:
    log = log_at("dc1-aaa-0")
    log.append(batch(1, 2), 0, NOW)
    log.append(batch(3, 1, number=10), 0, NOW)
    assert [item.event for item in log.items] == [b"like", b"like", GAP, b"like"]
    assert log.locate(Cursor.parse("dc1-aaa-2")).gap
    assert not log.locate(Cursor.parse("dc1-aaa-9")).gap


def test_a_new_epoch_is_a_gap_in_the_log_and_is_resumed_within() -> None:
    log = log_at("dc1-aaa-0")
    log.append(batch(1, 2), 0, NOW)
    log.append(batch(1, 2, epoch="bbb"), 0, NOW)
    assert [item.event for item in log.items] == [b"like", b"like", GAP, b"like", b"like"]
    assert log.locate(Cursor.parse("dc1-aaa-2")).gap
    assert resumed(log, Cursor.parse("dc1-bbb-1")) == ([("dc1", "bbb", 2)], False)


def test_a_cursor_of_an_epoch_without_events_does_not_receive_the_old_epoch_again() -> None:
    log = log_at("dc1-aaa-0")
    log.append(batch(1, 5), 0, NOW)
    log.append_gap("dc1", Mark("bbb", 0), NOW)
    assert log.locate(Cursor.parse("dc1-bbb-0")) == ResumePoint(log.tip)
    log.append(batch(1, 1, "dc2", epoch="ccc"), 0, NOW)
    assert resumed(log, Cursor.parse("dc1-bbb-0")) == ([("dc2", "ccc", 1)], False)
    log.append(batch(1, 2, epoch="bbb"), 0, NOW)
    dc1 = [("dc1", "bbb", 1), ("dc1", "bbb", 2)]
    assert resumed(log, Cursor.parse("dc1-bbb-0")) == ([("dc2", "ccc", 1), *dc1], False)


def test_a_cursor_of_a_missed_epoch_receives_the_present_epoch_only() -> None:
    """It may have been before the one that is held, or after it, and then that one was seen."""
    log = log_at("dc1-aaa-0")
    log.append(batch(1, 5), 0, NOW)
    log.append_gap("dc1", Mark("ccc", 0), NOW)
    assert resumed(log, Cursor.parse("dc1-bbb-7")) == ([], True)
    log.append(batch(1, 2, epoch="ccc"), 0, NOW)
    dc1 = [("dc1", "ccc", 1), ("dc1", "ccc", 2)]
    assert resumed(log, Cursor.parse("dc1-bbb-7")) == (dc1, True)
    log = log_at("dc1-aaa-0")
    log.append(batch(1, 1, "dc2", epoch="ddd"), 0, NOW)
    log.append(batch(1, 5), 0, NOW)
    log.append_gap("dc1", Mark("ccc", 0), NOW)
    log.append(batch(1, 2, epoch="ccc"), 0, NOW)
    assert resumed(log, Cursor.parse("dc1-bbb-7")) == ([("dc2", "ddd", 1), *dc1], True)


def test_cursors_are_rendered_with_all_origins() -> None:
    log = log_at("dc1-aaa-5~dc3-ccc-7")
    log.append(batch(13, 1, "dc2", 1, "bbb"), 0, NOW)
    log.append(batch(14, 2, number=6), 0, NOW)
    assert [item.cursor.decode() for item in log.items] == [
        "dc1-aaa-5~dc2-bbb-1~dc3-ccc-7",
        "dc1-aaa-6~dc2-bbb-1~dc3-ccc-7",
        "dc1-aaa-7~dc2-bbb-1~dc3-ccc-7",
    ]
    assert log.cursor_at(log.tip) == str(log.cursor).encode()
    assert log.cursor_at(log.base) == b"dc1-aaa-5~dc3-ccc-7"


def test_prepended_events_are_resumed_like_any() -> None:
    log = log_at("dc1-aaa-10")
    log.append(batch(11, 2), 0, NOW)
    log.prepend([batch(5, 3), batch(8, 3)], NOW)
    assert (log.base, log.tip) == (-6, 2)
    assert log.cursor_at(log.base) == b"dc1-aaa-4"
    assert resumed(log, Cursor.parse("dc1-aaa-6")) == ([("dc1", "aaa", n) for n in range(7, 13)], False)
    assert resumed(log, Cursor.parse("dc1-aaa-3"))[1]


def test_trimming_keeps_what_is_needed_until_twice_the_bound() -> None:
    log = log_at("dc1-aaa-0", capacity=8)
    log.append(batch(1, 12), 0, NOW)
    log.trim(NOW, needed=0)
    assert len(log.items) == 12
    log.append(batch(13, 8), 0, NOW)
    log.trim(NOW, needed=0)
    assert len(log.items) == 16
    log.trim(NOW, needed=log.tip)
    assert len(log.items) == 8
    assert log.cursor_at(log.base) == b"dc1-aaa-12"


def test_old_events_are_dropped_once_they_are_an_eighth() -> None:
    log = ChannelLog("v", 1000, 60.0, Cursor.parse("dc1-aaa-0"))
    log.append(batch(1, 2), 0, now=0.0)
    log.append(batch(3, 6), 0, now=100.0)
    log.trim(100.0, needed=log.tip)
    assert log.cursor_at(log.base) == b"dc1-aaa-2"


class Sent(NamedTuple):
    """One event of the model's history: where it is in the log's order, and whether it is held."""

    origin: str
    epoch: str
    number: int
    is_lost: bool


ORIGINS = ("dc1", "dc2", "dc3")

# Each step: an origin sends so many events, before which so many are lost, or begins a new epoch.
STEPS = st.lists(
    st.tuples(st.sampled_from(ORIGINS), st.integers(1, 4), st.integers(0, 2), st.booleans()), max_size=14
)


@given(
    STEPS,
    st.integers(0, 30),
    st.integers(0, 60),
    st.dictionaries(st.sampled_from(ORIGINS), st.integers(0, 30)),
)
def test_a_viewer_gets_each_event_it_has_not_seen_once_or_a_gap(
    steps: list[tuple[str, int, int, bool]], trimmed: int, seen: int, ahead: dict[str, int]
) -> None:
    """Whatever the log went through: all that is held and was not seen, nothing that was, and a gap
    exactly when something after the cursor is not held."""
    history: list[Sent] = []
    log = log_at("dc1-e00-0~dc2-e00-0~dc3-e00-0", capacity=10_000)
    marks = {origin: Mark("e00", 0) for origin in ORIGINS}
    for origin, count, lost, anew in steps:
        epoch, number = marks[origin]
        if anew:
            epoch, number = f"e{int(epoch[1:]) + 1:02}", 0
        history += [Sent(origin, epoch, number + 1 + index, index < lost) for index in range(lost + count)]
        log.append(batch(1, count, origin, number + 1 + lost, epoch), 0, NOW)
        marks[origin] = Mark(epoch, number + lost + count)

    # The viewer saw a beginning of this log, and more of some origins in other datacenters.
    known = {origin: Mark("e00", 0) for origin in ORIGINS}
    for event in history[:seen]:
        known[event.origin] = Mark(event.epoch, event.number)
    for origin, more in ahead.items():
        later = [event for event in history if event.origin == origin][:more]
        if later and (later[-1].epoch, later[-1].number) > (known[origin].epoch, known[origin].number):
            known[origin] = Mark(later[-1].epoch, later[-1].number)
    cursor = Cursor(known.items())

    cut = min(trimmed, len(log.items))
    if cut:
        log.capacity = len(log.items) - cut
        log.trim(NOW, needed=log.tip)
    held = {named(item) for item in log.items if item.event != GAP}

    def was_seen(event: Sent) -> bool:
        mark = known[event.origin]
        return (event.epoch, event.number) <= (mark.epoch, mark.number)

    unseen = [event for event in history if not was_seen(event)]
    events, gap = resumed(log, cursor)
    assert events == [event[:3] for event in unseen if event[:3] in held]
    missing = [event for event in unseen if event[:3] not in held]
    # A new epoch is a gap by itself: the end of the old one is unknown.
    renewed = any(known[event.origin].epoch != event.epoch for event in unseen)
    assert gap == bool(missing or renewed)


@given(st.lists(st.tuples(st.sampled_from(ORIGINS), st.integers(1, 3)), min_size=1, max_size=8))
def test_the_cursor_before_is_the_inverse_of_appending(runs: list[tuple[str, int]]) -> None:
    log = log_at("dc1-e0-7~dc2-e0-7~dc3-e0-7")
    before, batches = log.cursor, []
    for origin, count in runs:
        mark = log.cursor.get(origin)
        assert mark is not None
        batches.append(batch(1, count, origin, mark.number + 1, mark.epoch))
        log.append(batches[-1], 0, NOW)
    assert cursor_before(log.cursor, batches) == before


# Two epochs of dc2, by names that sort by age.
OLD, NEW = "0aaaaaaa", "0aaaaaab"


def test_a_log_that_is_behind_withholds_an_origins_newer_epoch() -> None:
    """The viewer has seen it in another datacenter; what is held here is of the epoch before."""
    log = log_at(f"dc1-aaa-0~dc2-{OLD}-0")
    log.append(relayed(1, 5, 1, OLD), 0, NOW)
    cursor = Cursor.parse(f"dc1-aaa-0~dc2-{NEW}-3")
    assert log.locate(cursor) == ResumePoint(log.tip, seen=cursor)
    log.append(batch(6, 1, number=1), 0, NOW)
    log.append(relayed(7, 1, 6, OLD), 0, NOW)  # the end of the old epoch comes late
    log.append(relayed(8, 5, 1, NEW), 0, NOW)
    assert resumed(log, cursor) == ([("dc1", "aaa", 1), ("dc2", NEW, 4), ("dc2", NEW, 5)], False)


def test_an_epoch_that_went_by_unheard_is_a_gap_and_all_newer_ones_follow() -> None:
    log = log_at(f"dc1-aaa-0~dc2-{OLD}-0")
    log.append(relayed(1, 2, 1, OLD), 0, NOW)
    log.append(relayed(3, 2, 1, "0aaaaaac"), 0, NOW)
    log.append(relayed(5, 2, 1, "0aaaaaad"), 0, NOW)
    later = [("dc2", "0aaaaaac", 1), ("dc2", "0aaaaaac", 2), ("dc2", "0aaaaaad", 1), ("dc2", "0aaaaaad", 2)]
    assert resumed(log, Cursor.parse(f"dc1-aaa-0~dc2-{NEW}-9")) == (later, True)


def test_an_epoch_from_before_all_that_is_held_is_a_gap() -> None:
    log = log_at(f"dc1-aaa-0~dc2-{NEW}-5")
    log.append(relayed(1, 2, 6, NEW), 0, NOW)
    assert resumed(log, Cursor.parse(f"dc1-aaa-0~dc2-{OLD}-9")) == (
        [("dc2", NEW, 6), ("dc2", NEW, 7)],
        True,
    )


def test_the_first_epoch_heard_of_an_origin_is_a_gap_for_a_cursor_of_an_older_one() -> None:
    log = log_at("dc1-aaa-0")
    log.append(relayed(1, 2, 1, NEW), 0, NOW)
    assert resumed(log, Cursor.parse(f"dc1-aaa-0~dc2-{OLD}-9")) == (
        [("dc2", NEW, 1), ("dc2", NEW, 2)],
        True,
    )


def test_an_origin_that_has_published_nothing_is_not_waited_for() -> None:
    """Its own datacenter puts it into cursors from its first viewer on; elsewhere it is unknown."""
    log = log_at("dc1-aaa-0")
    log.append(batch(1, 2), 0, NOW)
    cursor = Cursor.parse("dc1-aaa-1~dc2-bbb-0")
    assert log.locate(cursor) == ResumePoint(1)
    log.append(batch(3, 2, "dc2", 1, "bbb"), 0, NOW)
    assert resumed(log, cursor) == ([("dc1", "aaa", 2), ("dc2", "bbb", 1), ("dc2", "bbb", 2)], False)


def test_an_origins_newer_epoch_without_events_has_seen_the_older_one() -> None:
    log = log_at("dc1-aaa-0")
    log.append(batch(1, 2, "dc2", 1, OLD), 0, NOW)
    cursor = Cursor.parse(f"dc1-aaa-0~dc2-{NEW}-0")
    assert log.locate(cursor).seen == cursor
    assert resumed(log, cursor)[0] == []


def test_a_cursor_of_another_origin_only() -> None:
    log = log_at("dc1-aaa-0")
    log.append(batch(1, 2), 0, NOW)
    assert resumed(log, Cursor.parse("dc7-aaa-3")) == ([("dc1", "aaa", 1), ("dc1", "aaa", 2)], False)
    assert log.locate(Cursor.parse("dc7-aaa-3")).seen is not None
    log.trim(NOW + 1000, needed=log.tip)
    assert resumed(log, Cursor.parse("dc7-aaa-3")) == ([], True)


def test_gaps_are_not_counted_as_events() -> None:
    log = log_at("dc1-aaa-0")
    for number in (1, 5, 9):
        log.append(batch(1, 2, number=number), 0, NOW)
    assert [item.event for item in log.items].count(GAP) == 2
    assert log.event_count == 6
    for count in range(1, 7):
        start = log.before_events(count)
        assert sum(item.event != GAP for item in log.between(start, log.tip)) == count
        end = log.after_events(log.base, count)
        assert sum(item.event != GAP for item in log.between(log.base, end)) == count
    assert (log.before_events(100), log.after_events(log.base, 100)) == (log.base, log.tip)


def test_age_counts_from_when_events_were_read_for_those_that_were_not_received() -> None:
    log = ChannelLog("v", 1000, 60.0, Cursor.parse("dc1-aaa-10"))
    log.prepend([batch(1, 10)], 5.0)
    log.append(batch(11, 1), 0, 30.0)
    log.trim(60.0, needed=log.tip)
    assert log.event_count == 11
    log.trim(66.0, needed=log.tip)
    assert [item.number for item in log.items] == [11]
    log.trim(91.0, needed=log.tip)
    assert log.items == []
    assert log.cursor_at(log.tip) == b"dc1-aaa-11"
    assert log.locate(Cursor.parse("dc1-aaa-11")) == ResumePoint(log.tip)


def test_trimming_within_the_bounds_changes_nothing() -> None:
    for needed in (0, 2, 4):
        log = log_at("dc1-aaa-0", capacity=8)
        log.append(batch(1, 4), 0, NOW)
        log.trim(NOW, needed=needed)
        assert (log.base, str(log.floor), log.event_count) == (0, "dc1-aaa-0", 4)


def test_a_mark_that_the_log_never_reached_is_kept_until_its_epoch_is_over() -> None:
    log = log_at(f"dc1-aaa-0~dc2-{OLD}-0")
    log.append(relayed(1, 4, 1, OLD), 0, NOW)  # the fifth never came
    log.append(batch(5, 2, number=1), 0, NOW)
    log.append(relayed(7, 1, 1, NEW), 0, NOW)
    cursor = Cursor.parse(f"dc1-aaa-1~dc2-{OLD}-5")
    assert log.locate(cursor).seen == cursor
    assert resumed(log, cursor) == ([("dc1", "aaa", 2), ("dc2", NEW, 1)], True)


def test_a_seen_gap_behind_the_position_is_kept_in_the_cursor() -> None:
    log = log_at(f"dc1-aaa-0~dc2-{OLD}-3")
    log.append(batch(1, 2), 0, NOW)
    log.append_gap("dc2", Mark(NEW, 0), NOW)
    cursor = Cursor.parse(f"dc1-aaa-1~dc2-{NEW}-0")
    assert log.locate(cursor) == ResumePoint(1, seen=cursor)
