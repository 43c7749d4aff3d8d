"""A client's state equals the servers', over every transport."""

from __future__ import annotations

import random
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from liveserver.client import Event, Gap, Ready, State, watch
from liveserver.client.state import MAX_CLEARED, LiveState
from liveserver.state import Keyed
from liveserver.state import State as ServerState
from tests.client.fakes import Servers, answer, stream

EVENTS = [
    {"id": "a", "video": "v1", "type": "t", "at": 10, "key": "pin", "data": 1},
    {"id": "b", "video": "v1", "type": "likes", "at": 11, "key": "likes/s", "version": 7, "data": 2},
]


def received(kind: str, data: Any, name: str = "dc1-a-1") -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (name.encode(), kind.encode(), msgspec.json.encode(data))


def keyed(key: str, name: str, at: int, version: int | None = None, data: Any = 1) -> Event:
    return Event(name, "v1", "t", at=at, key=key, version=version, data=data)


async def test_a_stream_brings_the_state_and_live_events_change_it() -> None:
    live = EVENTS[0] | {"id": "c", "at": 12, "data": 3}
    older = EVENTS[1] | {"id": "d", "at": 99, "version": 6}
    body = [
        received("ready", {"video": "v1", "cursor": "dc1-a-1", "node": "n", "resumed": False, "gap": False}),
        received("state", {"events": EVENTS}),
        received("t", live, "dc1-a-2"),
        received("likes", older, "dc1-a-3"),
        received("t", live | {"id": "e", "at": 13, "data": None}, "dc1-a-4"),
    ]
    seen: list[dict[str, Any]] = []
    async with watch("http://a", "v1", transport="sse", client=Servers(stream(*body)).client) as watcher:
        async for item in watcher:
            if isinstance(item, State):
                assert (item.cursor, [event.id for event in item.events]) == ("dc1-a-1", ["a", "b"])
                assert (item.events[1].key, item.events[1].version) == ("likes/s", 7)
            seen.append({key: event.data for key, event in watcher.state.items()})
            if len(seen) == 5:
                break
    assert seen == [
        {},
        {"pin": 1, "likes/s": 2},
        {"pin": 3, "likes/s": 2},
        {"pin": 3, "likes/s": 2},
        {"likes/s": 2},
    ]


async def test_a_poll_brings_it_before_its_events(autojump_clock: MockClock) -> None:
    page = {"cursor": "dc1-a-2", "gap": False, "state": EVENTS, "events": [EVENTS[0] | {"id": "c", "at": 12}]}
    servers = Servers(answer(page), answer({"cursor": "dc1-a-2", "gap": True, "state": [], "events": []}))
    async with watch("http://a", "v1", transport="poll", client=servers.client) as watcher:
        items = [await anext(watcher) for _ in range(3)]
        assert [type(item) for item in items] == [Ready, State, Event]
        assert watcher.state["pin"].id == "c"
        assert watcher.cursor == "dc1-a-2"
        assert isinstance(await anext(watcher), Gap)


def test_behind_a_gap_without_a_state_there_is_none() -> None:
    live = LiveState()
    live.apply(State("c", [keyed("a", "1", 5)]))
    live.apply(Ready("c", resumed=True))
    assert live.events
    live.apply(Gap("c"))
    live.apply(Gap("c"))
    assert live.events  # a state may follow
    live.apply(Event("x", "v1", "like"))
    assert not live.events


def test_a_state_clears_missing_keys_and_keeps_newer_ones() -> None:
    live = LiveState()
    live.apply(State("c", [keyed("a", "1", 5), keyed("b", "2", 50)]))
    live.apply(Gap("c"))
    live.apply(State("c", [keyed("b", "1", 6)]))
    assert {key: event.at for key, event in live.events.items()} == {"b": 50}


@given(
    st.lists(
        st.tuples(
            st.sampled_from("ab"),
            st.sampled_from("xyz"),
            st.integers(0, 3),
            st.none() | st.integers(0, 2),
            st.none() | st.just(1),
        )
    ),
    st.integers(),
)
def test_the_rule_is_the_servers(said: list[tuple[str, str, int, int | None, int | None]], seed: int) -> None:
    """Also where a stale event comes last: from another datacenter, after a link was down."""
    ordered = [keyed(*each) for each in said]
    live, server = LiveState(), ServerState()
    for event in ordered:
        rank = (-1 if event.version is None else event.version, event.at, event.id.encode())
        server.fold(Keyed(event.key or "", rank, b"t", b"", event.data is None, False))
        live.apply(event)
    assert {key: event.id for key, event in live.events.items()} == {
        event.key: event.rank[2].decode() for event in server.shown(internal=True)
    }
    before = dict(live.events)
    for event in random.Random(seed).sample(ordered, len(ordered)):
        live.apply(event)  # an event that comes twice changes nothing
    assert live.events == before


def test_cleared_keys_are_remembered_in_bounded_number() -> None:
    live = LiveState()
    for number in range(MAX_CLEARED + 1):
        live.apply(keyed(f"k{number}", "x", 5, data=None))
    for number in (0, MAX_CLEARED):
        live.apply(keyed(f"k{number}", "x", 4))
    assert list(live.events) == ["k0"]
