"""Frames of what is held, and redaction of what may be rendered already."""

from __future__ import annotations

import msgspec
import pytest

from liveserver import state
from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.transport.compression import STORED
from liveserver.transport.ndjson import NDJSON
from liveserver.transport.sse import SSE
from tests.frontend.history.harness import batch, line, lines, log_at, resumed

NOW = 0.0
SAID = [line("like", "a"), line("comment", "b", '{"text":"oops"}'), line("like", "c")]
TAKEN_BACK = line("retract", "d", '{"id":"b"}')
INSTEAD = b'{"id":"b","video":"v","type":"retract","at":7,"data":{"id":"b"}}'


def test_frames_are_joined_up_to_the_limit_and_at_least_one() -> None:
    log = log_at("dc1-aaa-0")
    log.append(batch(1, 3), 0, NOW)
    frames = log.frames(SSE)
    whole, end = frames.write(0, 10_000)
    assert (whole.count(b"data:"), end) == (3, 3)
    one, end = frames.write(1, 1)
    assert (one.count(b"data:"), end) == (1, 2)


def test_frames_of_trimmed_and_prepended_events() -> None:
    log = log_at("dc1-aaa-10", capacity=4)
    frames = log.frames(NDJSON)
    log.append(batch(11, 2), 0, NOW)
    assert frames.write(0, 10_000)[0].count(b"\n{") == 2 - 1 + 1
    log.prepend([batch(9, 2)], NOW)
    assert b"dc1-aaa-9" in frames.write(-2, 10_000)[0]
    log.append(batch(13, 30), 0, NOW)
    log.trim(NOW, needed=log.tip)
    received, end = frames.write(-2, 10_000)
    assert (b'"event":"gap"' in received, end) == (True, log.base)
    assert frames.write(log.base, 10_000)[1] == log.tip


def test_a_retracted_event_keeps_its_position_without_content() -> None:
    log = log_at("dc1-aaa-0")
    log.append(Batch("v", "aaa", 1, "dc1", "aaa", 1, SAID), 0, NOW)
    frames = log.frames(SSE)
    assert b"oops" in frames.write(0, 10_000)[0]
    log.append(Batch("v", "aaa", 4, "dc1", "aaa", 4, [TAKEN_BACK]), 0, NOW)
    assert lines(log)[1] == (b"retract", INSTEAD)
    assert [item.number for item in log.items] == [1, 2, 3, 4]
    sent, end = frames.write(0, 10_000)
    assert b"oops" not in sent
    assert b"id: dc1-aaa-2\nevent: retract\ndata: " + INSTEAD in sent
    assert end == log.tip
    assert resumed(log, Cursor.parse("dc1-aaa-1"))[0] == [("dc1", "aaa", n) for n in (2, 3, 4)]


def test_a_retracted_event_is_not_in_compressed_frames_either() -> None:
    log = log_at("dc1-aaa-0")
    log.append(Batch("v", "aaa", 1, "dc1", "aaa", 1, SAID), 0, NOW)
    frames = log.frames(NDJSON.gzipped(STORED))  # in which it could be read
    assert b"oops" in frames.write(0, 10_000)[0]
    log.append(Batch("v", "aaa", 4, "dc1", "aaa", 4, [TAKEN_BACK]), 0, NOW)
    assert b"oops" not in frames.write(0, 10_000)[0]


def test_an_event_retracted_before_it_is_read_is_empty_too() -> None:
    log = log_at("dc1-aaa-3")
    log.append(Batch("v", "aaa", 4, "dc1", "aaa", 4, [TAKEN_BACK]), 0, NOW)
    log.prepend([Batch("v", "aaa", 1, "dc1", "aaa", 1, SAID)], NOW)
    assert lines(log)[1] == (b"retract", INSTEAD)
    both = log_at("dc1-aaa-0")
    both.append(Batch("v", "aaa", 1, "dc1", "aaa", 1, [*SAID, TAKEN_BACK]), 0, NOW)
    assert lines(both) == lines(log)


def test_retracting_an_unknown_event_changes_nothing() -> None:
    log = log_at("dc1-aaa-0")
    strange = [line("retract", "d", data) for data in ('{"id":"x"}', '{"id":7}', "[]", '"b"')]
    log.append(Batch("v", "aaa", 1, "dc1", "aaa", 1, [*SAID, *strange, line("retract", "e")]), 0, NOW)
    assert lines(log)[:3] == [(kind, data) for kind, _, data in (each.partition(b" ") for each in SAID)]


def test_every_copy_of_a_retracted_id_loses_its_content() -> None:
    log = log_at("dc1-aaa-0~dc2-bbb-0")
    log.append(Batch("v", "aaa", 1, "dc1", "aaa", 1, SAID), 0, NOW)
    log.append(Batch("v", "aaa", 4, "dc2", "bbb", 1, [SAID[1]]), 0, NOW)
    log.append(Batch("v", "aaa", 5, "dc1", "aaa", 4, [TAKEN_BACK]), 0, NOW)
    assert [item.data for item in log.items if b"oops" in item.data] == []
    assert [item.event for item in log.items] == [b"like", b"retract", b"like", b"retract", b"retract"]


def test_an_event_that_comes_after_its_retraction_has_no_content() -> None:
    log = log_at("dc1-aaa-0~dc2-bbb-0")
    log.append(Batch("v", "aaa", 1, "dc1", "aaa", 1, [TAKEN_BACK]), 0, NOW)
    frames = log.frames(SSE)
    log.append(Batch("v", "aaa", 2, "dc2", "bbb", 1, SAID), 0, NOW)
    assert b"oops" not in frames.write(0, 10_000)[0]
    assert lines(log)[2] == (b"retract", INSTEAD)
    log.trim(NOW + 1000, needed=log.tip)  # the retraction itself is held no more
    log.append(Batch("v", "aaa", 5, "dc2", "bbb", 4, [SAID[1]]), 0, NOW)
    assert lines(log) == [(b"retract", INSTEAD)]


def test_a_retraction_that_is_read_from_the_log_holds_for_later_events() -> None:
    log = log_at("dc1-aaa-1")
    log.append(Batch("v", "aaa", 2, "dc1", "aaa", 2, SAID), 0, NOW)
    log.prepend([Batch("v", "aaa", 1, "dc1", "aaa", 1, [TAKEN_BACK])], NOW)
    assert lines(log)[2] == (b"retract", INSTEAD)


def test_remembered_retractions_are_bounded() -> None:
    log = log_at("dc1-aaa-0", capacity=4)
    said = [line("retract", f"r{n}", f'{{"id":"x{n}"}}') for n in range(50)]
    log.append(Batch("v", "aaa", 1, "dc1", "aaa", 1, said), 0, NOW)
    log.append(Batch("v", "aaa", 51, "dc1", "aaa", 51, [line("like", "x49"), line("like", "x0")]), 0, NOW)
    assert [item.event for item in log.items[-2:]] == [b"retract", b"like"]


def test_joined_frames_are_kept_for_few_positions() -> None:
    log = log_at("dc1-aaa-0")
    log.append(batch(1, 500), 0, NOW)
    frames = log.frames(SSE)
    for position in range(400):
        frames.write(position, 10_000)
    assert len(frames._joined) <= 64


def keyed(key: str, at: int, data: object, *, kind: str = "pin") -> bytes:
    head = state.head(kind, key, None, at, is_cleared=data is None, is_internal=False)
    event = {"id": f"{kind}{at}", "video": "v", "type": kind, "at": at, "key": key, "by": "mo", "data": data}
    return head + b" " + msgspec.json.encode(event)


PINNED = keyed("pin", 8, {"text": "oops", "comment": "b", "user": "u"})
COMMENT = line("comment", "b", '{"text":"kind"}')
CLEARED = keyed("clear/u", 9, {"user": "u"}, kind="clear")


@pytest.mark.parametrize("gone", [TAKEN_BACK, CLEARED])
@pytest.mark.parametrize("is_late", [False, True])
def test_a_pin_of_a_redacted_comment_is_empty_in_log_and_states(gone: bytes, is_late: bool) -> None:
    log = log_at("dc1-aaa-0")
    said = [COMMENT, gone, PINNED] if is_late else [COMMENT, PINNED, gone]
    frames = log.frames(SSE)
    for number, each in enumerate(said, 1):
        log.append(Batch("v", "aaa", number, "dc1", "aaa", number, [each]), 0, NOW)
        if number == 2 and not is_late:
            assert b"oops" in frames.write(0, 10_000)[0]
            assert b"oops" in log.state.rendered(2)
    sent, end = frames.write(0, 10_000)
    assert (b"oops" in sent, end) == (False, 3)
    assert b'"key":"pin","by":"mo","data":null' in sent
    assert not any(b"oops" in log.state.rendered(position) for position in range(4))


def test_a_pin_that_only_the_state_has_is_empty_too() -> None:
    log = log_at("dc1-aaa-0")
    log.start_at(Cursor.parse("dc1-aaa-1"), [PINNED])
    assert b"oops" in log.state.rendered(0)
    log.append(Batch("v", "aaa", 2, "dc1", "aaa", 2, [TAKEN_BACK]), 0, NOW)
    assert not log.state.rendered(0) + log.state.rendered(1)


def test_other_pins_stay() -> None:
    log = log_at("dc1-aaa-0")
    for number, data in enumerate(({"text": "rules"}, {"text": "x", "comment": "other", "user": "u"}), 1):
        log.append(Batch("v", "aaa", number, "dc1", "aaa", number, [keyed("pin", 20 + number, data)]), 0, NOW)
    log.append(Batch("v", "aaa", 3, "dc1", "aaa", 3, [TAKEN_BACK]), 0, NOW)
    log.append(Batch("v", "aaa", 4, "dc1", "aaa", 4, [CLEARED]), 0, NOW)
    sent = log.frames(SSE).write(0, 10_000)[0]
    assert (b'"rules"' in sent, b'"text":"x"' in sent) == (True, True)
    assert log.redactions == 0


def test_a_keyed_event_older_than_the_clearing_of_its_key_brings_nothing_back() -> None:
    log = log_at("dc1-aaa-0")
    log.append(Batch("v", "aaa", 1, "dc1", "aaa", 1, [keyed("score", 9, None, kind="t")]), 0, NOW)
    late = [keyed("score", 8, 1, kind="t"), keyed("score", 10, 2, kind="t")]
    log.append(Batch("v", "aaa", 2, "dc2", "bbb", 1, late), 0, NOW)
    assert [msgspec.json.decode(item.data)["data"] for item in log.items] == [None, None, 2]
