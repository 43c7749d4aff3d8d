"""The state of a video, as viewers are sent it: behind `ready` and `gap`, by every transport."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto.events import AcceptConnection

from liveserver.cursor import Cursor
from tests.auth.harness import SECRET, Clock, token
from tests.auth.harness import settings as auth_settings
from tests.frontend.fakes import SocketClient, connect
from tests.frontend.harness import Client, Stage, settings, stage

TOKENS = {"viewers": "token", "secret": SECRET}


def shown(data: bytes | str | list[Any]) -> list[tuple[str, int]]:
    """The keys of a state's events and their data."""
    events = msgspec.json.decode(data)["events"] if not isinstance(data, list) else data
    return [(event["key"], event["data"]) for event in events]


async def received(client: Client) -> list[tuple[str, int]]:
    """The state that comes next on an event stream."""
    event = await client.event()
    assert event.type == "state"
    return shown(event.data)


async def some(on: Stage) -> None:
    """Three keys, of which one is cleared again."""
    await on.publish_keyed("b", "1", at=10)
    await on.publish_keyed("a", "2", at=11)
    await on.publish_keyed("b", "3", at=12)
    await on.publish_keyed("c", "4", at=13)
    await on.publish_keyed("c", "null", at=14)


async def test_a_new_viewer_is_sent_ready_and_the_state_in_one_write(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await some(on)  # before there is a viewer
        await on.publish(1)
        client = await on.watch()
        events = client.parser.feed(await client.chunk())
        assert [event.type for event in events] == ["ready"]
        assert b"event: state" in client.raw  # it came with the same read
        state = await client.event()
        assert (state.type, shown(state.data)) == ("state", [("a", 2), ("b", 3)])
        assert state.id == events[0].id == msgspec.json.decode(events[0].data)["cursor"]
        await on.publish_keyed("d", "5", at=20)
        live = await client.event()
        assert (live.type, msgspec.json.decode(live.data)["data"]) == ("t", 5)
        other, _ = await on.ready()
        assert await received(other) == [("a", 2), ("b", 3), ("d", 5)]


async def test_an_exact_resume_gets_events_and_no_state(autojump_clock: MockClock) -> None:
    async with stage() as on:
        stays, ready = await on.ready()
        await some(on)
        client, again = await on.ready("v", f"?cursor={ready['cursor']}")
        assert again["resumed"]
        assert [(await client.event()).type for _ in range(5)] == ["t"] * 5
        assert [(await stays.event()).type for _ in range(5)] == ["t"] * 5


async def test_no_state_is_sent_where_there_is_none(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.publish_keyed("a", "1", at=10)
        await on.publish_keyed("a", "null", at=11)
        client, _ = await on.ready()
        await on.publish(1)
        assert (await client.event()).type == "like"
        poll = on.connect()
        await poll.get("/v1/videos/v/poll")
        assert "state" not in await poll.json()


async def test_the_state_is_that_at_the_viewers_position(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.ready()
        await on.publish_keyed("a", "1", at=10)
        await on.publish(1)
        await on.publish_keyed("a", "2", at=11)
        client, _ = await on.ready("v", "?replay=2")
        assert await received(client) == [("a", 1)]
        assert [(await client.event()).type for _ in range(2)] == ["like", "t"]
        client, _ = await on.ready("v", "?cursor=earliest")
        assert [(await client.event()).type for _ in range(3)] == ["t", "like", "t"]
        poll = on.connect()
        await poll.get("/v1/videos/v/poll?replay=1")
        answer = await poll.json()
        assert (shown(answer["state"]), shown(answer["events"])) == ([("a", 1)], [("a", 2)])


async def test_an_older_version_does_not_change_the_state(autojump_clock: MockClock) -> None:
    async with stage() as on:
        stays, _ = await on.ready()
        await on.publish_keyed("a", "2", at=11)
        line = b';t;a;-;5; {"id":"z","key":"a","data":1}'
        await on.relay_after_gap(line, 1)  # the first of its origin: no gap
        assert [(await stays.event()).type for _ in range(2)] == ["t", "t"]
        client, _ = await on.ready()
        assert await received(client) == [("a", 2)]


async def test_a_gap_is_followed_by_the_state(autojump_clock: MockClock) -> None:
    async with stage() as on:
        stays, _ = await on.ready()
        polls, socket = on.connect(), await connect(on)
        await polls.get("/v1/videos/v/poll")
        cursor = (await polls.json())["cursor"]
        await socket.watch()
        await on.publish_keyed("a", "1", at=10)
        await on.relay_after_gap(b';t;b;-;9; {"id":"x","key":"b","data":2}', 8)
        kinds = [(await stays.event()) for _ in range(4)]
        assert [event.type for event in kinds] == ["t", "gap", "state", "t"]
        assert kinds[2].id == kinds[1].id
        # The bus has it already; the event behind it is not newer, and changes nothing.
        assert shown(kinds[2].data) == [("b", 2), ("a", 1)]
        messages = [await socket.message() for _ in range(4)]
        assert [kind for kind, _ in messages] == ["events", "gap", "state", "events"]
        assert shown(messages[2][1]["events"]) == [("b", 2), ("a", 1)]
        assert messages[2][1]["cursor"] == messages[1][1]["cursor"]
        await polls.get(f"/v1/videos/v/poll?cursor={cursor}")
        answer = await polls.json()
        assert answer["gap"]
        assert shown(answer["state"]) == [("b", 2), ("a", 1)]
        assert len(answer["events"]) == 2


async def test_keys_of_events_lost_in_a_gap_are_in_the_state(autojump_clock: MockClock) -> None:
    async with stage(settings(history={"max_events": 10, "ephemeral_types": []})) as on:
        stays, _ = await on.ready()
        await on.publish(1)
        assert await stays.events(1) == [1]
        on.frontend.receiver.reconnect()  # nothing is heard meanwhile
        await on.publish_keyed("a", "1", at=10)
        await on.publish(40)
        while (event := await stays.event()).type != "gap":
            assert event.type == "like"
        assert await received(stays) == [("a", 1)]


async def test_a_cursor_out_of_reach_gets_the_state(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await some(on)
        for query in ("?cursor=dc1-zzzzz-7", "", "?cursor=now"):
            client, ready = await on.ready("v", query)
            assert not ready["resumed"]
            assert await received(client) == [("a", 2), ("b", 3)]


async def test_over_a_websocket_and_as_json_lines(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await some(on)
        client = await connect(on)
        ready = await client.watch()
        kind, state = await client.message()
        assert (kind, state["video"], state["cursor"]) == ("state", "v", ready["cursor"])
        assert shown(state["events"]) == [("a", 2), ("b", 3)]
        lines = on.connect()
        await lines.get("/v1/videos/v/events", "Accept: application/x-ndjson")
        await lines.head()
        received = [msgspec.json.decode(await lines.chunk()) for _ in range(2)]
        assert [line["event"] for line in received] == ["ready", "state"]
        assert shown(received[1]["data"]["events"]) == [("a", 2), ("b", 3)]
        assert received[1]["cursor"] == ready["cursor"]


async def test_a_poll_without_a_cursor_has_the_state_and_one_with_it_has_none(
    autojump_clock: MockClock,
) -> None:
    async with stage() as on:
        await some(on)
        client = on.connect()
        await client.get("/v1/videos/v/poll")
        answer = await client.json()
        assert list(answer) == ["cursor", "gap", "state", "events"]
        assert (shown(answer["state"]), answer["events"]) == ([("a", 2), ("b", 3)], [])
        await on.publish_keyed("d", "5", at=20)
        await client.get(f"/v1/videos/v/poll?cursor={answer['cursor']}")
        answer = await client.json()
        assert ("state" in answer, shown(answer["events"])) == (False, [("d", 5)])


async def test_a_large_state_is_one_object_for_all(autojump_clock: MockClock) -> None:
    async with stage() as on:
        for number in range(20):
            await on.publish_keyed(f"k{number:02}", f'"{"x" * 10_000}"', at=number)
        clients = [await on.watch(receive_buffer=4096, send_buffer=4096) for _ in range(3)]
        viewers = on.channel().audience.lagging
        assert len({id(viewer.unsent.obj) for viewer in viewers if viewer.unsent}) == 1
        for client in clients:
            assert (await client.event()).type == "ready"
            assert len(await received(client)) == 20
        await on.publish(1)
        for client in clients:
            assert await client.events(1) == [21]


async def test_states_of_positions_that_are_gone_are_let_go(autojump_clock: MockClock) -> None:
    async with stage(settings(history={"max_events": 16, "ephemeral_types": []})) as on:
        stays, _ = await on.ready()
        for number in range(100):
            await on.publish_keyed("a", str(number), at=number)
            await stays.event()
        log = on.channel().log
        assert len(log.state._changes) <= 2 * 16
        client, _ = await on.ready()
        assert await received(client) == [("a", 99)]


# Internal events


@pytest.mark.parametrize("transport", ["sse", "ndjson", "poll", "ws"])
async def test_internal_events_are_for_moderators_only(transport: str, autojump_clock: MockClock) -> None:
    async with stage(auth_settings(auth=TOKENS), clock=Clock()) as on:
        await on.publish_keyed("ban/ada", "1", at=10, kind="ban")
        await on.publish_keyed("a", "2", at=11)
        both, public = [("ban/ada", 1), ("a", 2)], [("a", 2)]
        for at, scope, state, live in (
            (20, "watch moderate", both, [("ban/bob", 3), ("a", 4)]),
            (30, "watch", public, [("a", 4)]),
        ):
            await wait_all_tasks_blocked()  # so that all that was published has arrived
            watching = await Watching.open(on, transport, token(scope=scope, videos=["*"]))
            assert watching.state == state
            await on.publish_keyed("ban/bob", "3", at=at, kind="ban")
            await on.publish_keyed("a", "4", at=at + 1)
            assert await watching.next(len(live)) == live
            assert watching.number == (await on.bus.read("v", 0, 1)).head.offset
            await on.publish_keyed("ban/bob", "null", at=at + 2, kind="ban")
            await on.publish_keyed("a", "2", at=at + 3)


class Watching:
    """A client on any transport: the state it was sent, its events, and the number of its cursor."""

    def __init__(self, on: Stage, transport: str, text: str) -> None:
        self.on, self.transport, self.text = on, transport, text
        self.state: list[tuple[str, int]] = []
        self.socket: SocketClient
        self.client: Client
        self._rest = b""
        self.cursor = ""

    @property
    def number(self) -> int:
        mark = Cursor.parse(self.cursor).get("dc1")
        return mark.number if mark else 0

    @classmethod
    async def open(cls, on: Stage, transport: str, text: str) -> Watching:
        self = cls(on, transport, text)
        bearer = f"Authorization: Bearer {text}"
        if transport == "ws":
            self.socket = SocketClient(on.connect())
            await self.socket.upgrade((b"authorization", f"Bearer {text}".encode()))
            assert isinstance(await self.socket.event(), AcceptConnection)
            await self.socket.watch()
            self.state = shown((await self.socket.message())[1]["events"])
            return self
        self.client = on.connect()
        if transport == "poll":
            await self.client.get("/v1/videos/v/poll", bearer)
            answer = await self.client.json()
            self.state, self.cursor = shown(answer["state"]), answer["cursor"]
            return self
        accept = "application/x-ndjson" if transport == "ndjson" else "text/event-stream"
        await self.client.get("/v1/videos/v/events", bearer, f"Accept: {accept}")
        await self.client.head()
        kinds = [await self._stream(), await self._stream()]
        assert [kind for kind, _ in kinds] == ["ready", "state"]
        self.state = shown(kinds[1][1]["events"])
        return self

    async def next(self, count: int) -> list[tuple[str, int]]:
        found: list[Any] = []
        while len(found) < count:
            if self.transport == "ws":
                kind, message = await self.socket.message()
                if kind == "events":
                    found += message["events"]
                    self.cursor = message["cursor"]
            elif self.transport == "poll":
                path = f"/v1/videos/v/poll?cursor={self.cursor}"
                await self.client.get(path, f"Authorization: Bearer {self.text}")
                answer = await self.client.json()
                found += answer["events"]
                self.cursor = answer["cursor"]
            else:
                kind, data = await self._stream()
                found += [data] if kind in ("t", "ban") else []
        return shown(found)

    async def _stream(self) -> tuple[str, Any]:
        if self.transport == "ndjson":
            while not (chunk := await self._line()):
                pass
            line = msgspec.json.decode(chunk)
            self.cursor = line["cursor"]
            return line["event"], line["data"]
        event = await self.client.event()
        self.cursor = event.id or self.cursor
        return event.type, msgspec.json.decode(event.data)

    async def _line(self) -> bytes:
        if not self._rest:
            self._rest = await self.client.chunk()
        line, _, self._rest = self._rest.partition(b"\n")
        return line
