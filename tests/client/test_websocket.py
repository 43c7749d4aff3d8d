"""Watching over a WebSocket: an exact sequence, whatever the servers do."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import trio
import trio.testing
from trio_websocket import ConnectionClosed, WebSocketConnection, WebSocketRequest, serve_websocket

from liveserver.client import (
    Bye,
    Disconnected,
    Event,
    Gap,
    Item,
    ProtocolError,
    Ready,
    Refused,
    Viewers,
    watch,
)
from liveserver.client.sources import SILENCE
from tests.client.fakes import cursor, event

Script = Callable[["Side"], Awaitable[None]]


class Side:
    """The server's side of one connection."""

    def __init__(self, connection: WebSocketConnection) -> None:
        self.connection = connection

    async def receive(self) -> Any:
        return msgspec.json.decode(await self.connection.get_message())

    async def say(self, **message: object) -> None:
        await self.connection.send_message(msgspec.json.encode(message).decode())

    async def ready(self, at: int, **more: bool) -> None:
        said = {"video": "v1", "node": "fe1", "cursor": cursor(at), "resumed": False, "gap": False} | more
        await self.say(ready=said)

    async def events(self, *numbers: int) -> None:
        events = [event(number) for number in numbers]
        await self.say(events={"video": "v1", "cursor": cursor(numbers[-1]), "events": events})

    async def rest(self) -> None:
        """Nothing more, until the client closes."""
        with pytest.raises(ConnectionClosed):
            await self.connection.get_message()


@asynccontextmanager
async def served(*scripts: Script) -> AsyncIterator[tuple[str, list[Any]]]:
    """A server whose connections go by the scripts in turn; its URL, and what was asked for."""
    asked: list[Any] = []
    left = list(scripts)

    async def handle(request: WebSocketRequest) -> None:
        side = Side(await request.accept())
        asked.append(await side.receive())
        await left.pop(0)(side)

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, handle, "127.0.0.1", 0, None)
        yield f"http://127.0.0.1:{server.port}", asked
        nursery.cancel_scope.cancel()


async def take(url: str, count: int, **how: Any) -> list[Item]:
    items: list[Item] = []
    with trio.fail_after(600):
        async with watch(url, "v1", transport="ws", **how) as watcher:
            async for item in watcher:
                items.append(item)
                if len(items) == count:
                    break
    return items


def numbers(items: list[Item]) -> list[tuple[str, str | None]]:
    return [(item.id, item.cursor) for item in items if isinstance(item, Event)]


async def test_everything_a_server_says() -> None:
    async def script(side: Side) -> None:
        await side.ready(3, gap=True)
        await side.events(4, 5)
        await side.say(viewers={"video": "v1", "here": 1, "datacenter": 2, "total": 3})
        await side.say(gap={"video": "v1", "cursor": cursor(9)})
        await side.say(tomorrow={})
        await side.say(bye={"reason": "drain", "reconnect": False, "retry": 1})

    async with served(script) as (url, asked):
        items = await take(url, 99, cursor=cursor(1))
    assert items == [
        Ready(cursor(3), "fe1", gap=True),
        Gap(cursor(3)),
        items[2],
        items[3],
        Viewers(1, 2, 3),
        Gap(cursor(9)),
        Bye("drain", reconnect=False),
    ]
    assert numbers(items) == [("e4", None), ("e5", cursor(5))]
    assert asked == [{"subscribe": {"video": "v1", "cursor": cursor(1)}}]


async def test_a_viewer_behind_live_says_so_when_it_subscribes() -> None:
    async def script(side: Side) -> None:
        await side.ready(3)
        await side.rest()

    async with served(script) as (url, asked):
        await take(url, 1, behind=12.5, rate=5)
    assert asked == [{"subscribe": {"video": "v1", "behind": 12.5, "rate": 5}}]


async def test_a_lost_connection_is_resumed_after_the_last_message(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def first(side: Side) -> None:
        await side.ready(1)
        await side.events(2, 3)
        await side.connection.aclose(1011, "oh")

    async def second(side: Side) -> None:
        await side.ready(3, resumed=True)
        await side.say(bye={"reason": "drain", "reconnect": True, "retry": 1500})

    async def third(side: Side) -> None:
        await side.ready(3, resumed=True)
        await side.events(4)
        await side.rest()

    async with served(first, second, third) as (url, asked):
        items = await take(url, 9)
    assert [query["subscribe"].get("cursor") for query in asked] == [None, cursor(3), cursor(3)]
    lost = [item for item in items if isinstance(item, Disconnected)]
    assert [each.reason for each in lost] == ["the server closed: oh", "the server said bye: drain"]
    assert lost[1].wait == 1.5
    assert numbers(items)[-1] == ("e4", cursor(4))


@pytest.mark.parametrize(("status", "error"), [(400, Refused), (403, Refused), (503, None)])
async def test_an_error_ends_the_watching_unless_it_is_for_now(
    autojump_clock: trio.testing.MockClock, status: int, error: type[Exception] | None
) -> None:
    async def script(side: Side) -> None:
        await side.say(error={"title": "No", "status": status, "detail": "because", "video": "v1"})
        await side.rest()

    async with served(script) as (url, _):
        if error is None:
            (lost,) = await take(url, 1)
            assert isinstance(lost, Disconnected)
            assert "503: because" in lost.reason
        else:
            with pytest.raises(error, match="because"):
                await take(url, 1)


async def test_a_server_that_is_not_liveserver_is_refused() -> None:
    async def script(side: Side) -> None:
        await side.connection.send_message("hello")
        await side.rest()

    async with served(script) as (url, _):
        with pytest.raises(ProtocolError):
            await take(url, 1)


async def test_a_full_server_s_goodbye_is_heard(autojump_clock: trio.testing.MockClock) -> None:
    """It may have closed before it is asked for anything."""

    async def handle(request: WebSocketRequest) -> None:
        side = Side(await request.accept())
        await side.say(bye={"reason": "overload", "reconnect": True, "retry": 2500})
        await side.connection.aclose(1013, "overload")

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, handle, "127.0.0.1", 0, None)
        bye, lost = await take(f"http://127.0.0.1:{server.port}", 2)
        nursery.cancel_scope.cancel()
    assert bye == Bye("overload", reconnect=True)
    assert isinstance(lost, Disconnected)
    assert lost.wait >= 2.5


async def test_a_quiet_server_is_asked_and_a_silent_one_given_up(
    autojump_clock: trio.testing.MockClock,
) -> None:
    async def script(side: Side) -> None:
        await side.ready(1)
        for _ in range(3):
            assert await side.receive() == {"ping": {}}
            await side.say(pong={})
        assert await side.receive() == {"ping": {}}
        await trio.sleep_forever()

    async with served(script) as (url, _):
        began = trio.current_time()
        items = await take(url, 2)
    assert items[1:] == [Disconnected("nothing was received for too long", url, items[1].wait)]  # type: ignore[union-attr]
    assert 3 * 15 + SILENCE <= trio.current_time() - began < 4 * 15 + SILENCE


async def watch_and_fail(url: str) -> None:
    async with watch(url, "v1", transport="ws") as watcher:
        async for _ in watcher:
            raise KeyError("mine")


async def test_an_exception_raised_while_watching_is_not_wrapped() -> None:
    async with served(lambda side: side.ready(1)) as (url, _):
        with pytest.raises(KeyError, match="mine"):
            await watch_and_fail(url)
        with trio.move_on_after(0.1) as scope:
            async with watch(url, "v1", transport="ws"):
                await trio.sleep_forever()
        assert scope.cancelled_caught
