"""Forty random worlds; `make worlds` plays thousands."""

from __future__ import annotations

import pytest
import structlog

from liveserver.cursor import Cursor
from tests.model.history import History, Published
from tests.model.run import summary
from tests.model.story import Story, Violation
from tests.model.world import play

GROUP = 10


@pytest.mark.slow
@pytest.mark.parametrize("first", range(1, 41, GROUP))
def test_every_viewer_of_every_world_is_sent_each_event_once_or_a_gap(first: int) -> None:
    with structlog.testing.capture_logs():
        for seed in range(first, first + GROUP):
            try:
                play(seed)
            except BaseException as error:
                pytest.fail(f"{summary(error)}\npython -m tests.model.run --seed {seed}", pytrace=False)


def story() -> Story:
    """A viewer's that stands before the three likes of one datacenter."""
    history = History()
    for number in (1, 2, 3):
        history.add(Published("dc1", "00000001", number, number, f"id{number}", "like"))
    received = Story("viewer", history)
    received.begin("---", "dc1")
    received.ready("dc1-00000001-0", resumed=False, gap=False)
    return received


def like(number: int) -> dict[str, object]:
    return {"id": f"id{number}", "type": "like", "data": {"n": number}}


def test_the_judge_sees_an_event_twice_out_of_order_or_missing() -> None:
    received = story()
    received.event(like(1), "dc1-00000001-1")
    for number in (1, 3):
        with pytest.raises(Violation):
            received.event(like(number), f"dc1-00000001-{number}")


def test_the_judge_sees_cursors_that_go_back_or_say_too_much() -> None:
    received = story()
    received.event(like(1), "dc1-00000001-1")
    for cursor in ("dc1-00000001-0", "dc1-00000001-2"):
        with pytest.raises(Violation):
            received.notice(cursor, "viewers")


def test_the_judge_sees_gaps_that_are_not_real() -> None:
    received = story()
    received.event(like(1), "dc1-00000001-1")
    with pytest.raises(Violation):
        received.gap("dc1-00000001-1")
    received.gap("dc1-00000001-2")
    received.event(like(3), "dc1-00000001-3")


def test_the_judge_sees_what_is_missing_at_the_end() -> None:
    received = story()
    received.event(like(1), "dc1-00000001-1")
    with pytest.raises(Violation):
        received.end(Cursor.parse("dc1-00000001-3"))


def test_a_gap_on_a_page_may_be_a_new_epoch_in_its_middle() -> None:
    """Of an origin of which nothing was known, so that neither end of the page says it."""
    history = History()
    for name, epoch in enumerate(("00000001", "00000002"), 1):
        history.add(Published("dc2", epoch, 1, name, f"id{name}", "like"))
    received = Story("viewer", history)
    received.begin("---", "dc1")
    received.page("dc1-00000009-0", [], gap=False, is_first=True)
    received.page("dc1-00000009-0~dc2-00000002-1", [like(1), like(2)], gap=True, is_first=False)


def test_what_was_seen_elsewhere_and_does_not_come_is_given_up_after_a_while() -> None:
    for now, is_allowed in ((29.0, False), (31.0, True)):
        received = story()
        received.event(like(1), "dc1-00000001-1")
        if is_allowed:
            received.gap("dc1-00000001-0", now)
            received.event(like(1), "dc1-00000001-1")
        else:
            with pytest.raises(Violation):
                received.gap("dc1-00000001-0", now)


def test_of_several_copies_that_lost_their_content_the_cursor_names_the_one() -> None:
    history = History()
    for name, epoch in enumerate(("00000001", "00000002"), 1):
        history.add(Published("dc2", epoch, 1, name, "id", "comment"))
    received = Story("viewer", history)
    received.begin("---", "dc1")
    received.ready("dc1-00000009-0", resumed=False, gap=False)
    event = received.event({"id": "id", "type": "retract", "data": {}}, "dc1-00000009-0~dc2-00000002-1")
    assert event.epoch == "00000002"
