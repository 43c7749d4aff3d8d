"""Long-poll answers: pages of a log, each gap reported once, bounded in events and bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.frontend.delivery.poll_pages import PollPages
from liveserver.frontend.history.log import ChannelLog


def batch(first: int, count: int, origin: str = "dc1", number: int | None = None, size: int = 0) -> Batch:
    start = first if number is None else number
    lines = [
        b'like {"n":"%b-%d","p":"%b"}' % (origin.encode(), start + at, b"x" * size) for at in range(count)
    ]
    return Batch("v", "aaa", first, origin, "aaa", start, lines)


def body(response: bytes) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.json.decode(response.partition(b"\r\n\r\n")[2])
    return found


def pages(log: ChannelLog, cursor: str, limit: int, max_bytes: int = 1 << 20) -> list[tuple[list[str], bool]]:
    """What a client gets that polls until nothing is new: of each answer the events, and its `gap`."""
    answers = PollPages(log, max_bytes)
    found: list[tuple[list[str], bool]] = []
    while True:
        point = log.locate(Cursor.parse(cursor))
        answer = answers.answer(point.position, point.seen, limit, is_cut=point.is_cut)
        if answer is None:
            return found
        page = body(answer)
        found.append(([event["n"] for event in page["events"]], page["gap"]))
        cursor = page["cursor"]


def test_a_gap_is_reported_on_one_page_only() -> None:
    log = ChannelLog("v", 1000, 600.0, Cursor.parse("dc1-aaa-0"))
    log.append(batch(1, 5), 0, 0.0)
    log.append(batch(10, 3), 0, 0.0)  # 6 to 9 are missing
    assert pages(log, "dc1-aaa-0", 2) == [
        (["dc1-1", "dc1-2"], False),
        (["dc1-3", "dc1-4"], False),
        (["dc1-5", "dc1-10"], True),
        (["dc1-11", "dc1-12"], False),
    ]


def test_a_client_that_resumes_exactly_among_prepended_events_gets_no_state() -> None:
    log = ChannelLog("v", 1000, 600.0)
    keyed = (
        b';score;score;1;1; {"id":"s","video":"v","type":"score","at":1,"key":"score","version":1,"n":"s"}'
    )
    log.start_at(Cursor.parse("dc1-aaa-3"), [keyed], Cursor.parse("dc1-aaa-0"))
    log.append(Batch("v", "aaa", 4, "dc1", "aaa", 4, [keyed]), 0, 0.0)
    log.prepend([batch(1, 3)], 0.0)
    answers = PollPages(log, 1 << 20)
    for number in range(4):
        point = log.locate(Cursor.parse(f"dc1-aaa-{number}"))
        page = body(answers.answer(point.position, point.seen, 10) or b"")
        assert (len(page["events"]), page["gap"], "state" in page) == (4 - number, False, False)
    point = log.locate(Cursor.parse("dc1-aaa-0"))
    page = body(answers.answer(point.position, point.seen, 10, has_state=True) or b"")
    assert [event["key"] for event in page["state"]] == ["score"]


def test_a_gap_is_reported_on_the_first_page_only() -> None:
    log = ChannelLog("v", 1000, 600.0, Cursor.parse("dc1-aaa-10~dc2-aaa-5"))
    log.append(batch(11, 4), 0, 0.0)
    log.append(batch(15, 1, "dc2", 6), 0, 0.0)
    assert pages(log, "dc1-aaa-10~dc2-aaa-1", 2) == [
        (["dc1-11", "dc1-12"], True),
        (["dc1-13", "dc1-14"], False),
        (["dc2-6"], False),
    ]


def test_a_gap_of_another_origin_is_reported_where_it_lies() -> None:
    log = ChannelLog("v", 1000, 600.0, Cursor.parse("dc1-aaa-0~dc2-aaa-0"))
    log.append(batch(1, 4), 0, 0.0)
    log.append(batch(5, 2, "dc2", 9), 0, 0.0)
    assert pages(log, "dc1-aaa-0~dc2-aaa-0", 3) == [
        (["dc1-1", "dc1-2", "dc1-3"], False),
        (["dc1-4", "dc2-9", "dc2-10"], True),
    ]


def test_a_client_with_withheld_events_gets_a_gap_once_too() -> None:
    log = ChannelLog("v", 1000, 600.0, Cursor.parse("dc1-aaa-0~dc2-aaa-0"))
    log.append(batch(1, 2), 0, 0.0)
    log.append(batch(3, 2, "dc2", 1), 0, 0.0)
    log.append(batch(5, 3, number=9), 0, 0.0)
    assert pages(log, "dc1-aaa-0~dc2-aaa-2", 2) == [
        (["dc1-1", "dc1-2"], False),
        (["dc1-9", "dc1-10"], True),
        (["dc1-11"], False),
    ]


def test_a_cursor_of_an_ended_epoch_gets_the_gap_at_once_though_nothing_follows() -> None:
    log = ChannelLog("v", 1000, 600.0, Cursor.parse("dc1-bbb-0"))
    point = log.locate(Cursor.parse("dc1-aaa-7"))
    answer = PollPages(log, 1000).answer(point.position, point.seen, 10, is_cut=point.is_cut)
    assert answer is not None
    assert body(answer) == {"cursor": "dc1-bbb-0", "gap": True, "events": []}
    assert pages(log, "dc1-aaa-7", 10) == [([], True)]


def test_an_answer_is_bounded_in_bytes_and_has_one_event_at_least() -> None:
    log = ChannelLog("v", 1000, 600.0, Cursor.parse("dc1-aaa-0"))
    log.append(batch(1, 10, size=1000), 0, 0.0)
    assert [len(events) for events, _ in pages(log, "dc1-aaa-0", 500, max_bytes=3500)] == [3, 3, 3, 1]
    assert [len(events) for events, _ in pages(log, "dc1-aaa-0", 500, max_bytes=1)] == [1] * 10
    withholding = pages(log, "dc1-aaa-0~dc9-aaa-7", 500, max_bytes=3500)
    assert [len(events) for events, _ in withholding] == [3, 3, 3, 1]


def test_the_bound_in_bytes_is_exact() -> None:
    log = ChannelLog("v", 1000, 600.0, Cursor.parse("dc1-aaa-0"))
    log.append(batch(1, 5, size=100), 0, 0.0)
    three = sum(len(item.data) for item in log.items[:3])
    for cursor in ("dc1-aaa-0", "dc1-aaa-0~dc9-aaa-7"):
        assert len(pages(log, cursor, 500, max_bytes=three)[0][0]) == 3
        assert len(pages(log, cursor, 500, max_bytes=three - 1)[0][0]) == 2


def test_clients_at_one_position_share_an_answers_bytes() -> None:
    log = ChannelLog("v", 1000, 600.0, Cursor.parse("dc1-aaa-0"))
    log.append(batch(1, 10), 0, 0.0)
    answers = PollPages(log, 1 << 20)
    first = answers.answer(0, None, 4)
    log.append(batch(11, 1), 0, 0.0)
    second = answers.answer(0, None, 4)
    # A new `date` makes new bytes, once a second.
    assert second is first or body(second or b"") == body(first or b"")
    assert len(answers._pages) == 1


def test_a_shared_answer_does_not_show_what_was_retracted_since() -> None:
    log = ChannelLog("v", 1000, 600.0, Cursor.parse("dc1-aaa-0"))
    said = b'comment {"id":"a","video":"v","type":"comment","user":"u","at":7,"data":{"text":"oops"}}'
    log.append(Batch("v", "aaa", 1, "dc1", "aaa", 1, [said]), 0, 0.0)
    answers = PollPages(log, 1 << 20)
    assert b"oops" in (answers.answer(0, None, 1) or b"")
    retraction = b'retract {"id":"b","video":"v","type":"retract","user":"u","at":8,"data":{"id":"a"}}'
    log.append(Batch("v", "aaa", 2, "dc1", "aaa", 2, [retraction]), 0, 0.0)
    assert b"oops" not in (answers.answer(0, None, 1) or b"oops")


def test_kept_answers_are_few() -> None:
    log = ChannelLog("v", 1000, 600.0, Cursor.parse("dc1-aaa-0"))
    log.append(batch(1, 500), 0, 0.0)
    answers = PollPages(log, 1 << 20)
    for position in range(400):
        answers.answer(position, None, 1)
    assert len(answers._pages) <= 16
