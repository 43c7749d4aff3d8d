"""The ops port under connections that never ask, never end, or ask for HTTP/2."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import httpx
import pytest
import trio
from quart_trio import QuartTrio

from liveserver import config
from liveserver.errors import ConfigError
from liveserver.node.listening import serve_ops
from liveserver.ops.app import ops_app

GET = b"GET /healthz HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n"
PRIOR_KNOWLEDGE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


@asynccontextmanager
async def ops_port(*overrides: str, app: QuartTrio | None = None) -> AsyncIterator[int]:
    """The port of an ops listener."""
    settings = config.load(None, ["listen.ops=127.0.0.1:0", *overrides], {})
    async with trio.open_nursery() as nursery:
        pages = app or ops_app({"node": "n"}, {}, dict)
        address = await nursery.start(serve_ops, lambda: pages, settings)
        yield int(address.rpartition(":")[2])
        nursery.cancel_scope.cancel()


async def read_all(stream: trio.SocketStream) -> bytes:
    """What comes until the server closes."""
    received = b""
    with trio.fail_after(60):
        try:
            while data := await stream.receive_some():
                received += data
        except trio.BrokenResourceError:
            pass
    return received


async def test_a_response_ends_its_connection() -> None:
    async with ops_port() as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(GET + GET)
            received = await read_all(stream)
        assert received.startswith(b"HTTP/1.1 200 ")
        assert received.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /healthz HTTP/1.1\r\n",
        b"POST /healthz HTTP/1.1\r\nhost: a\r\ncontent-length: 100\r\n\r\nabc",
    ],
    ids=["silent", "half a head", "half a body"],
)
async def test_a_connection_that_does_not_finish_its_request_is_closed(sent: bytes) -> None:
    async with ops_port("ops.timeout=200ms") as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            if sent:
                await stream.send_all(sent)
            await read_all(stream)


async def test_a_page_that_takes_too_long_is_given_up() -> None:
    app = QuartTrio("slow")

    @app.get("/slow")
    async def slow() -> str:
        await trio.Event().wait()
        return "never"

    async with ops_port("ops.timeout=200ms", app=app) as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(GET.replace(b"healthz", b"slow"))
            assert await read_all(stream) == b""


async def test_connections_are_bounded_and_the_next_ones_are_served_when_those_end() -> None:
    async with ops_port("ops.max_connections=2", "ops.timeout=300ms") as port, AsyncExitStack() as stack:
        for _ in range(4):
            await stack.enter_async_context(await trio.open_tcp_stream("127.0.0.1", port))
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            response = await client.get(f"http://127.0.0.1:{port}/healthz")
        assert response.status_code == 200  # once the silent ones have run out of time, two after two


async def test_http2_without_tls_is_not_offered() -> None:
    async with ops_port() as port:
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(GET.replace(b"\r\n\r\n", b"\r\n" + H2C + b"\r\n"))
            received = await read_all(stream)
        assert b" 101 " not in received
        stream = await trio.open_tcp_stream("127.0.0.1", port)
        async with stream:
            await stream.send_all(PRIOR_KNOWLEDGE)
            received = await read_all(stream)
        assert received.startswith(b"HTTP/1.1 4") or received == b""


async def test_a_port_in_use_is_reported_with_its_setting() -> None:
    async with ops_port() as port:
        settings = config.load(None, [f"listen.ops=127.0.0.1:{port}"], {})
        with pytest.raises(ConfigError, match=r"^listen\.ops: cannot listen at 127\.0\.0\.1:\d+ "):
            await serve_ops(lambda: ops_app({"node": "n"}, {}, dict), settings)
