"""The newest event of each key, in any order of arrival."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver import state
from liveserver.event import Batch, MalformedBatch
from liveserver.state import Keyed, MalformedKeyed, State

events = st.builds(
    lambda key, version, at, name, cleared: Keyed(
        key, (version, at, name), b"t", b"%r" % [key, version, at, name, cleared], cleared, False
    ),
    st.sampled_from(["a", "b"]),
    st.integers(-1, 2),
    st.integers(0, 3),
    st.sampled_from([b"x", b"y", b"z"]),
    st.booleans(),
)


@given(st.lists(events), st.randoms())
def test_any_order_ends_in_one_state(said: list[Keyed], chance: object) -> None:
    ranks = {event.key: event.rank for event in State(said)}
    chance.shuffle(said)  # type: ignore[attr-defined]
    assert {event.key: event.rank for event in State(said)} == ranks
    assert ranks == {
        key: max(event.rank for event in said if event.key == key) for key in {event.key for event in said}
    }


@given(events, events)
def test_an_event_is_taken_if_it_is_newer(before: Keyed, after: Keyed) -> None:
    folded = State([before])
    assert folded.fold(after) is (before.key != after.key or after.rank > before.rank)


def test_the_shown_state_is_ordered_without_cleared_or_internal_keys() -> None:
    lines = [
        b';pin;pin;-;30; {"id":"c","data":1}',
        b';ban;ban/u;-;20;i {"id":"b","data":1}',
        b';likes;likes/x;9;10; {"id":"z","data":1}',
        b';likes;likes/y;1;10; {"id":"a","data":1}',
        b';settings;settings;-;40;c {"id":"d","data":null}',
        b';audit;;-;50;i {"id":"e","data":1}',
    ]
    folded = State(map(state.read, lines))
    assert len(folded) == 5  # events without a key are not part of it
    assert [event.key for event in folded.shown(internal=False)] == ["likes/y", "likes/x", "pin"]
    assert [event.key for event in folded.shown(internal=True)] == ["likes/y", "likes/x", "ban/u", "pin"]


def test_a_line_says_what_its_head_was_made_of() -> None:
    head = state.head("ban", "ban/ada", 12, 34, is_cleared=True, is_internal=True)
    line = head + b' {"id":"a b","data":null}'
    event = state.read(line)
    assert event == Keyed("ban/ada", (12, 34, b"a b"), b"ban", b'{"id":"a b","data":null}', True, True)
    assert state.read(state.tombstone(line, event)) == event._replace(data=b'{"id":"a b"}')


@pytest.mark.parametrize(
    "line",
    [
        b";",
        b"; {}",
        b';t;k;-;5 {"id":"a"}',
        b';t;k;-;5;x {"id":"a"}',
        b';t;k;-;5; {"id":"\\u00e9"}',
        b';t;k;-;5; {"id":""}',
        b';t;k;-;5; {"type":"t","id":"a"}',
        b';t;K;-;5; {"id":"a"}',
        b';T;k;-;5; {"id":"a"}',
        b';t;k;01;5; {"id":"a"}',
        b';t;k;-1;5; {"id":"a"}',
        b';t;k;9007199254740992;5; {"id":"a"}',
        b';t;k;;5; {"id":"a"}',
    ],
)
def test_malformed_keyed_lines_are_refused(line: bytes) -> None:
    with pytest.raises(MalformedKeyed):
        state.read(line)
    with pytest.raises(MalformedBatch):
        Batch("v", "e", 1, "dc1", "e", 1, [b"like {}", line]).check()


def test_a_keyed_line_passes_with_others() -> None:
    Batch("v", "e", 1, "dc1", "e", 1, [b"like {}", b';t;k;7;5;c {"id":"a","data":null}']).check()
    with pytest.raises(MalformedBatch):
        Batch("v", "e", 1, "dc1", "e", 1, [b';t;k;7;5;c {"id":"a","data":nul']).check()
