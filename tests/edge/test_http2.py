"""A connection that speaks HTTP/2: what ends it, what it counts as, and what it may cost."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import h2.connection
import h2.events
import pytest
import trio
import trio.testing
from h2.errors import ErrorCodes
from h2.settings import SettingCodes
from structlog.testing import capture_logs

from liveserver.edge import server
from liveserver.edge.connection_limit import ConnectionLimit
from liveserver.edge.http2 import FRAMES, RESETS
from tests.edge.authority import Authority
from tests.frontend.http2_harness import over_http2, raw


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_a_reset_stream_is_removed_and_the_others_continue(authority: Authority) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        settings = await client.until(h2.events.RemoteSettingsChanged)
        assert settings.changed_settings[SettingCodes.ENABLE_CONNECT_PROTOCOL].new_value == 0
        await client.ask(1, "/v1/videos/v/events")
        await client.until(h2.events.DataReceived)
        client.h2.reset_stream(1)
        await client.flush()
        while both.on.frontend.statistics().viewers:
            await trio.testing.wait_all_tasks_blocked(0.01)
        await client.ask(3, "/v1/videos/v/poll")
        assert (await client.until(h2.events.ResponseReceived)).stream_id == 3


async def test_resetting_without_end_is_the_end(authority: Authority) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        await client.ask(1, "/v1/videos/v/poll")
        await client.until(h2.events.ResponseReceived)
        with suppress(trio.BrokenResourceError):
            for stream_id in range(3, 3 + 2 * 2 * RESETS, 2):
                await client.ask(stream_id, "/v1/videos/v/events")
                client.h2.reset_stream(stream_id)
                await client.flush()
        while both.on.edge.connections:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert both.on.edge.statistics().failures == 0


async def test_websockets_are_for_http1(authority: Authority) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        await client.ask(1, "/v1/ws", method="CONNECT", protocol="websocket")
        assert (await client.until(h2.events.StreamReset)).stream_id == 1
        await client.ask(3, "/v1/ws")
        headers = dict((await client.until(h2.events.ResponseReceived)).headers)
        assert headers[b":status"] == b"426"


async def test_priorities_mean_nothing_and_a_flood_of_them_is_the_end(authority: Authority) -> None:
    async with over_http2(authority) as both:
        async with raw(both, authority) as client:
            for number in range(900):
                client.h2.prioritize(1 + 2 * number, weight=1 + number % 256, depends_on=3 + 2 * number)
            await client.ask(2001, "/v1/videos/v/poll")
            assert (await client.until(h2.events.StreamEnded)).stream_id == 2001
            for number in range(5_000):
                client.h2.prioritize(3001 + 2 * number, weight=1)
            with suppress(trio.BrokenResourceError):
                await client.flush()
            await client.until(h2.events.ConnectionTerminated)
        assert both.on.edge.statistics().failures == 0


@pytest.mark.parametrize("frame", ["ping", "settings", "empty data"])
async def test_frames_that_only_cost_are_the_end(authority: Authority, frame: str) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        await client.ask(1, "/v1/videos/v/events", **{"method": "POST", "content-length": "100000"})
        for _ in range(FRAMES + 200):
            if frame == "ping":
                client.h2.ping(b"12345678")
            elif frame == "settings":
                client.h2.update_settings({SettingCodes.MAX_FRAME_SIZE: 16_384 + (_ % 2)})
            else:
                client.h2.send_data(1, b"")
        with suppress(trio.BrokenResourceError):
            await client.flush()
        ended = await client.until(h2.events.ConnectionTerminated)
        assert ended.error_code == ErrorCodes.ENHANCE_YOUR_CALM


async def test_each_stream_counts_for_its_address(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[str] = []

    def acquire(self: ConnectionLimit, peer: str) -> str | None:
        taken.append(peer)
        return "one" if len(taken) <= 3 else None

    monkeypatch.setattr(ConnectionLimit, "acquire", acquire)
    monkeypatch.setattr(ConnectionLimit, "release", lambda self, name: None)
    async with over_http2(authority) as both, raw(both, authority) as client:
        statuses = []
        for number in range(3):
            await client.ask(1 + 2 * number, "/v1/videos/v/events")
            response = await client.until(h2.events.ResponseReceived)
            statuses.append(dict(response.headers)[b":status"])
        assert statuses == [b"200", b"200", b"429"]
        assert taken == ["127.0.0.1"] * 4


async def test_a_connection_without_a_request_is_closed(authority: Authority) -> None:
    async with (
        over_http2(authority, edge={"header_timeout": "300ms"}) as both,
        raw(both, authority) as client,
    ):
        with trio.fail_after(60):
            while await client.stream.receive_some():
                pass
            while both.on.edge.connections:
                await trio.testing.wait_all_tasks_blocked(0.01)


async def test_at_the_limit_connections_without_streams_make_room(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The longest idle is closed, in HTTP/2's way; one with a stream is not."""
    monkeypatch.setattr(server, "GRACE", 0.0)
    monkeypatch.setattr(server, "ACCEPT_BURST", 1)
    async with over_http2(authority, edge={"max_connections": 4}) as both, AsyncExitStack() as stack:
        connect = partial(raw, both, authority)
        watching = await stack.enter_async_context(connect())
        await watching.ask(1, "/v1/videos/v/events")
        await watching.data(1)
        idle = [await stack.enter_async_context(connect()) for _ in range(2)]
        for client in idle:
            await client.ask(1, "/v1/videos/v/poll")
            await client.until(h2.events.StreamEnded)
        # The first of them, and what is idle then: the stream and its connection stay.
        await stack.enter_async_context(connect())
        await idle[0].until(h2.events.ConnectionTerminated)
        assert both.on.edge.statistics().reaped == 1
        await idle[1].ask(3, "/v1/videos/v/poll")
        assert (await idle[1].until(h2.events.ResponseReceived)).stream_id == 3
        await both.on.publish()
        assert await watching.data(1)


async def test_a_client_that_is_gone_after_its_handshake_is_not_a_failure(authority: Authority) -> None:
    class Gone:
        def release(self) -> socket.socket:
            return socket.socket()  # not connected any more

        def set_idle(self, close: Callable[[], None]) -> None:
            """Nothing to note."""

        def set_busy(self, close: Callable[[], None]) -> None:
            """Nothing to note."""

    async with over_http2(authority) as both:
        assert both.on.edge.http2 is not None
        with capture_logs() as logs:
            await both.on.edge.http2(Gone())
        assert "handoff_failed" not in [each["event"] for each in logs]


async def test_an_idle_connection_ends_with_goaway(authority: Authority) -> None:
    async with over_http2(authority, edge={"keep_alive": "100ms"}) as both, raw(both, authority) as client:
        await client.ask(1, "/v1/videos/v/poll")
        await client.until(h2.events.StreamEnded)
        ended = await client.until(h2.events.ConnectionTerminated)
        assert (ended.error_code, ended.last_stream_id) == (ErrorCodes.NO_ERROR, 1)
