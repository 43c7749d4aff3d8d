"""WebSockets under Trio: opened in time, or a reason; closed without a trace."""

from __future__ import annotations

import anyio
import pytest
import trio
import trio.testing
from trio_websocket import WebSocketRequest, serve_websocket

from liveserver.client import (
    Disconnected,
    Refused,
)
from liveserver.client.tokens import Tokens
from liveserver.client.websocket import WebSocketSource
from tests.client.test_websocket import served, take


async def test_a_server_that_does_not_upgrade_is_refused() -> None:
    async def handle(request: WebSocketRequest) -> None:
        await request.reject(403, body=b'{"detail":"not you"}')

    async with trio.open_nursery() as nursery:
        server = await nursery.start(serve_websocket, handle, "127.0.0.1", 0, None)
        with pytest.raises(Refused, match="not you"):
            await take(f"http://127.0.0.1:{server.port}", 1)
        nursery.cancel_scope.cancel()


async def test_a_refused_connection_is_a_disconnect(autojump_clock: trio.testing.MockClock) -> None:
    (lost,) = await take("http://127.0.0.1:1", 1)
    assert isinstance(lost, Disconnected)


async def test_closing_that_is_cancelled_leaves_no_stream_open() -> None:
    async with served(lambda side: side.ready(1)) as (url, _), anyio.create_task_group() as tasks:
        source = WebSocketSource(tasks, url, "v1", None, Tokens(None))
        assert len(await source.receive()) == 1
        with trio.CancelScope() as scope:
            scope.cancel()
            await source.aclose()
        assert scope.cancelled_caught
        assert source._messages is not None
        assert source._messages.statistics().open_receive_streams == 0
