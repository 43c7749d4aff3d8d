"""The state of a video at each position of a log, compared with a fold of all that came before it."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver import state
from liveserver.frontend.history.state_history import MAX_RENDERED, StateHistory
from liveserver.state import Keyed, State


def event(key: str, at: int, data: object = 1, *, kind: str = "t", is_internal: bool = False) -> Keyed:
    head = state.head(kind, key, None, at, is_cleared=data is None, is_internal=is_internal)
    return state.read(head + b" " + msgspec.json.encode({"id": f"{key}-{at}", "data": data}))


def shown(events: list[Keyed]) -> bytes:
    return b",".join(each.data for each in State(events).shown(internal=False))


STEPS = st.lists(
    st.tuples(st.sampled_from("abc"), st.integers(1, 9), st.sampled_from([1, 2, None])), max_size=15
)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), max_size=4), STEPS, st.integers(0, 15))
def test_each_position_has_the_state_of_what_precedes_it(
    start: list[tuple[str, int]], steps: list[tuple[str, int, int | None]], trimmed: int
) -> None:
    history = StateHistory()
    before = [event(key, at) for key, at in start]
    history.start_at(before)
    events = [event(key, at, data) for key, at, data in steps]
    for position, each in enumerate(events):
        history.fold(each, position)
    for position in range(len(events) + 1):
        if len(State([*before, *events])):
            assert history.rendered(position) == shown([*before, *events[:position]])
    history.trim(trimmed)
    for position in range(trimmed, len(events) + 1):
        assert history.rendered(position) == shown([*before, *events[:position]])
    assert all(position >= trimmed for position, _ in history.changes)


def test_a_state_is_rendered_once_and_of_few_positions() -> None:
    history = StateHistory()
    for position in range(3 * MAX_RENDERED):
        history.fold(event("a", position + 1, position), position)
    tip = history.rendered(3 * MAX_RENDERED)
    assert history.rendered(3 * MAX_RENDERED + 7) is tip, "the same bytes for all that begin at the tip"
    for position in range(3 * MAX_RENDERED):
        history.rendered(position)
        assert len(history._rendered) <= MAX_RENDERED


def test_only_moderators_are_sent_what_is_internal_and_filters_apply() -> None:
    history = StateHistory()
    history.fold(event("ban/ada", 1, {"user": "ada"}, kind="ban", is_internal=True), 0)
    history.fold(event("score", 2), 1)
    assert history.rendered(2) == event("score", 2).data
    assert b"ban/ada" in history.rendered(2, internal=True)
    assert history.rendered(2, internal=True, types=frozenset((b"ban",))).count(b'"id"') == 1
    assert history.rendered(2, types=frozenset((b"other",))) == b""


def test_without_any_state_there_is_nothing() -> None:
    history = StateHistory()
    assert history.rendered(0) == b""
    history.fold(event("a", 1), 0)
    history.clear()
    assert (history.rendered(5), history.changes) == (b"", [])


def test_stale_events_change_nothing() -> None:
    history = StateHistory()
    history.fold(event("a", 5, "new"), 0)
    history.fold(event("a", 4, "old"), 1)
    assert len(history.changes) == 1
    assert b"new" in history.rendered(9)


def test_users_banned_or_cleared_since_are_listed_without_those_readmitted() -> None:
    history = StateHistory()
    history.start_at([event("ban/eve", 1, {"user": "eve"}, kind="ban", is_internal=True)])
    assert history.banned == set(), "who was banned before has no stream"
    assert "eve" in history.rules.bans
    history.fold(event("ban/ada", 2, {"user": "ada"}, kind="ban", is_internal=True), 0)
    history.fold(event("ban/eve", 3, None, kind="ban", is_internal=True), 1)
    assert history.banned == {"ada"}
    assert not history.cleared
    history.fold(event("clear/ada", 4, {"user": "ada"}, kind="clear"), 2)
    assert history.cleared


def test_the_newest_of_a_prefix_are_those_that_hold() -> None:
    history = StateHistory()
    for number, data in enumerate((1, None, 2)):
        history.fold(event(f"likes/{number}", number + 1, data), number)
    history.fold(event("pin", 9), 5)
    assert [each.key for each in history.newest("likes/")] == ["likes/0", "likes/2"]


@pytest.mark.parametrize("position", [-3, -2, -1])
def test_positions_that_were_read_later_have_only_what_was_before_them(position: int) -> None:
    older = [(-3, event("a", 1, "first")), (-2, event("b", 2, "second"))]
    history = StateHistory()
    history.start_at([each for _, each in older] + [event("c", 3, "from the bus")])
    history.prepend(older)
    found = history.rendered_exactly(position)
    assert [text in found for text in (b"first", b"second")] == [position > -3, position > -2]
    assert b"from the bus" in found
    assert history.rendered_exactly(0) == history.rendered(0)
