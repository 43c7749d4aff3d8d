"""WebSockets under asyncio: opened, or a reason; what a server closes with; closed without a trace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from http import HTTPStatus

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from liveserver.client import Refused
from liveserver.client.connection import ClosedByServer
from liveserver.client.errors import TemporaryError
from liveserver.client.websocket_asyncio import open_connection

Handler = Callable[[ServerConnection], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler, status: HTTPStatus | None = None) -> AsyncIterator[str]:
    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if status is None:
            return None
        return connection.respond(status, '{"detail":"not you"}')

    async with serve(handler, "127.0.0.1", 0, process_request=answer) as server:
        [socket] = server.sockets
        yield f"http://127.0.0.1:{socket.getsockname()[1]}"


def run(main: Callable[[], Awaitable[None]]) -> None:
    async def bounded() -> None:
        async with asyncio.timeout(60):
            await main()

    asyncio.run(bounded())


def test_messages_go_both_ways_and_the_headers_along() -> None:
    seen: list[tuple[str, str | None]] = []

    async def echo(connection: ServerConnection) -> None:
        assert connection.request is not None
        seen.append((connection.request.path, connection.request.headers.get("authorization")))
        async for message in connection:
            await connection.send(message)

    async def main() -> None:
        async with serving(echo) as url, open_connection(url, {"authorization": "Bearer t"}) as connection:
            await connection.send("hello")
            assert await connection.receive() == "hello"

    run(main)
    assert seen == [("/v1/ws", "Bearer t")]


@pytest.mark.parametrize(("code", "reason", "said"), [(4008, "slow", "slow"), (1013, "", "1013")])
def test_a_server_that_closes_says_why(code: int, reason: str, said: str) -> None:
    async def close(connection: ServerConnection) -> None:
        await connection.close(code, reason)

    async def main() -> None:
        async with serving(close) as url, open_connection(url, {}) as connection:
            with pytest.raises(ClosedByServer) as closed:
                await connection.receive()
            assert closed.value.reason == said
            with pytest.raises(ClosedByServer):
                await connection.send("x")

    run(main)


def test_a_connection_that_breaks_has_no_reason() -> None:
    async def break_off(connection: ServerConnection) -> None:
        connection.transport.abort()

    async def main() -> None:
        async with serving(break_off) as url, open_connection(url, {}) as connection:
            with pytest.raises(ClosedByServer) as closed:
                await connection.receive()
            assert closed.value.reason is None

    run(main)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (HTTPStatus.FORBIDDEN, Refused),
        (HTTPStatus.NOT_FOUND, Refused),
        (HTTPStatus.SERVICE_UNAVAILABLE, TemporaryError),
    ],
)
def test_an_answer_instead_of_a_handshake_is_its_problem(status: HTTPStatus, error: type[Exception]) -> None:
    async def never(connection: ServerConnection) -> None:
        raise AssertionError

    async def main() -> None:
        async with serving(never, status) as url:
            with pytest.raises(error, match="not you"):
                async with open_connection(url, {}):
                    pass

    run(main)


def test_a_server_that_is_not_there_may_be_later() -> None:
    async def main() -> None:
        with pytest.raises(TemporaryError):
            async with open_connection("http://127.0.0.1:1", {}):
                pass

    run(main)


def test_an_error_within_the_block_is_not_wrapped_and_the_connection_is_closed() -> None:
    ended = asyncio.Event()

    async def listen(connection: ServerConnection) -> None:
        await connection.wait_closed()
        ended.set()

    async def main() -> None:
        async with serving(listen) as url:
            with pytest.raises(KeyError):
                async with open_connection(url, {}):
                    raise KeyError
            await ended.wait()

    run(main)
