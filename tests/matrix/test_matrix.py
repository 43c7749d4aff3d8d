"""The promises, each over every transport."""

from __future__ import annotations

import math

import pytest
import trio

from liveserver.edge import server as edge
from tests.matrix.server import TOKENS, serving
from tests.matrix.transports import TRANSPORTS, LongPoll, Transport

pytestmark = pytest.mark.slow

every_transport = pytest.mark.parametrize("transport", TRANSPORTS, ids=lambda each: each.name)


@every_transport
async def test_live(transport: Transport) -> None:
    async with serving() as server, transport.watch(server) as viewer:
        assert not (await viewer.ready())["resumed"]
        await server.publish(2, "other")
        await server.publish(3)
        assert await viewer.events(3) == [3, 4, 5]
        await server.publish(1)
        assert await viewer.events(1) == [6]


@every_transport
@pytest.mark.parametrize("after", TRANSPORTS, ids=lambda each: f"after {each.name}")
async def test_resume_exact(transport: Transport, after: Transport) -> None:
    async with serving() as server:
        async with after.watch(server) as viewer:
            await viewer.ready()
            await server.publish(2)
            received = await viewer.next(), await viewer.next()
        cursor = received[1].cursor
        assert cursor is not None
        await server.publish(3)
        async with transport.watch(server, cursor=cursor) as viewer:
            ready = await viewer.ready()
            assert (ready["resumed"], ready["gap"]) == (True, False)
            assert await viewer.events(3) == [3, 4, 5]
            await server.publish(1)
            assert await viewer.events(1) == [6]


@every_transport
async def test_gap_sent(transport: Transport) -> None:
    async with serving(history={"max_events": 8, "ephemeral_types": []}) as server:
        early = await server.publish(1)
        for _ in range(10):
            await server.publish(8)
        async with transport.watch(server, cursor=early) as viewer:
            ready = await viewer.ready()
            assert (ready["resumed"], ready["gap"]) == (False, True)
            received = await viewer.next()
            assert received.kind == "event"
            assert received.value > 2
            assert await viewer.events(81 - received.value) == list(range(received.value + 1, 82))


@every_transport
async def test_slow_viewer(transport: Transport) -> None:
    async with (
        serving(frontend={"send_buffer": "8KiB", "slow_timeout": "20s"}) as server,
        transport.watch(server, receive_buffer=4096) as slow,
        transport.watch(server) as quick,
    ):
        await slow.ready()
        await quick.ready()
        for step in range(10):
            await server.publish(40, padding=1000)
            assert await quick.events(40) == list(range(40 * step + 1, 40 * step + 41))
        assert await slow.events(400) == list(range(1, 401))
        await server.publish(1)
        assert await slow.events(1) == [401]


@every_transport
async def test_drain(transport: Transport) -> None:
    async with serving() as server, transport.watch(server) as viewer:
        await viewer.ready()
        await server.publish(1)
        assert await viewer.events(1) == [1]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(server.running.drain)
            received = await viewer.next()
        # A poll that waits is answered; one that is asked for while the node drains is refused.
        assert (received.kind, received.value) in (("bye", "drain"), ("refused", 503))


@every_transport
async def test_full_node(transport: Transport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(edge, "PAUSE", 0.0)  # each new connection looks for idle ones
    if isinstance(transport, LongPoll):
        monkeypatch.setattr(edge, "GRACE", math.inf)  # between two polls it is idle
    async with (
        serving(edge={"max_connections": transport.connections}) as server,
        transport.watch(server) as viewer,
    ):
        await viewer.ready()
        async with transport.watch(server) as late:
            received = await late.next()
        assert (received.kind, received.value) in (("bye", "overload"), ("refused", 503))


@every_transport
async def test_expired_token(transport: Transport) -> None:
    async with serving(auth=TOKENS) as server:
        async with transport.watch(server, token=server.token(1)) as viewer:
            cursor = (await viewer.ready())["cursor"]
            await server.publish(1)
            assert await viewer.events(1) == [1]
            assert (await viewer.next()).kind == "bye"  # a poll that waits is answered
        async with transport.watch(server, cursor=cursor, token=server.token(-1)) as viewer:
            assert await viewer.next() == ("refused", 401, None)
        async with transport.watch(server, cursor=cursor, token=server.token()) as viewer:
            assert (await viewer.ready())["resumed"]
            assert await viewer.events(1) == [1]


@every_transport
async def test_forbidden_video(transport: Transport) -> None:
    async with serving(auth=TOKENS) as server:
        token = server.token(600, "v", "concert-*")
        async with transport.watch(server, "w", token=token) as viewer:
            assert await viewer.next() == ("refused", 403, None)
        async with transport.watch(server, "v") as viewer:
            assert await viewer.next() == ("refused", 401, None)
        async with transport.watch(server, "concert-7", token=token) as viewer:
            assert not (await viewer.ready())["gap"]
