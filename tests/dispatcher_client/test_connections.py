"""One connection for each server: kept while it works, made anew when it has ended."""

from __future__ import annotations

import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import httpx
import pytest
import trio

from liveserver.dispatcher_client.connections import KeepAliveTransport

ANSWER = (
    b"HTTP/1.1 202 Accepted\r\ncontent-type: application/json\r\ncontent-length: 14\r\n\r\n"
    + b'{"accepted":1}'
)

Manner = Callable[[trio.SocketStream], Awaitable[None]]


class Server:
    """Answers each request as `manner` says; `received` has what came on each connection."""

    def __init__(self, manner: Manner) -> None:
        self.manner = manner
        self.url = ""
        self.received: list[bytes] = []

    async def serve(self, stream: trio.SocketStream) -> None:
        number = len(self.received)
        self.received.append(b"")
        async with stream:
            with suppress(trio.BrokenResourceError):  # the client has closed it in the middle
                await self._answer(number, stream)

    async def _answer(self, number: int, stream: trio.SocketStream) -> None:
        async for data in stream:
            self.received[number] += data
            if self.received[number].endswith(b"[]"):
                await self.manner(stream)
                if stream.socket.fileno() < 0:
                    return


@asynccontextmanager
async def serving(manner: Manner) -> AsyncIterator[tuple[Server, KeepAliveTransport]]:
    server = Server(manner)
    async with (
        trio.open_nursery() as nursery,
        KeepAliveTransport(ssl.create_default_context()) as connections,
    ):
        listeners = await trio.open_tcp_listeners(0, host="127.0.0.1")
        server.url = f"http://127.0.0.1:{listeners[0].socket.getsockname()[1]}/v1/events"
        nursery.start_soon(trio.serve_listeners, server.serve, listeners)
        yield server, connections
        nursery.cancel_scope.cancel()


def ask(server: Server) -> httpx.Request:
    return httpx.Request("POST", server.url, headers={"x-own": "1"}, content=b"[]")


async def answer(stream: trio.SocketStream) -> None:
    await stream.send_all(ANSWER)


async def test_a_working_connection_is_kept() -> None:
    async with serving(answer) as (server, connections):
        for _ in range(3):
            received = await connections.handle_async_request(ask(server))
            assert (received.status_code, received.json()) == (202, {"accepted": 1})
            assert received.headers["content-type"] == "application/json"
        (content,) = server.received
        assert content.count(b"POST /v1/events HTTP/1.1\r\n") == content.count(b"x-own: 1\r\n") == 3
        assert content.count(server.url.split("/")[2].encode()) == 3


async def test_a_closed_connection_is_replaced() -> None:
    ended = trio.Event()

    async def answer_and_end(stream: trio.SocketStream) -> None:
        await stream.send_all(ANSWER)
        await stream.aclose()
        ended.set()

    async with serving(answer_and_end) as (server, connections):
        for _ in range(2):
            assert (await connections.handle_async_request(ask(server))).status_code == 202
            await ended.wait()
        assert len(server.received) == 2


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 202", b"nonsense\r\n\r\n"])
async def test_no_answer_is_an_error_and_not_the_end(said: bytes) -> None:
    manners: list[Manner] = []

    async def first_badly(stream: trio.SocketStream) -> None:
        await manners.pop()(stream)

    async def badly(stream: trio.SocketStream) -> None:
        await stream.send_all(said)
        await stream.aclose()

    async with serving(first_badly) as (server, connections):
        manners += [answer, badly]
        with pytest.raises(httpx.TransportError):
            await connections.handle_async_request(ask(server))
        assert (await connections.handle_async_request(ask(server))).status_code == 202


async def test_a_refused_connection_is_an_error() -> None:
    async with serving(answer) as (server, connections):
        with socket.create_server(("127.0.0.1", 0)) as closed:
            server.url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1/events"
        for _ in range(2):
            with pytest.raises(httpx.TransportError):
                await connections.handle_async_request(ask(server))


async def test_a_cancelled_request_closes_its_connection() -> None:
    asked = trio.Event()
    manners: list[Manner] = []

    async def one_after_the_other(stream: trio.SocketStream) -> None:
        await manners.pop()(stream)

    async def silence(_: trio.SocketStream) -> None:
        asked.set()

    async with serving(one_after_the_other) as (server, connections):
        manners += [answer, silence]
        async with trio.open_nursery() as nursery:
            nursery.start_soon(connections.handle_async_request, ask(server))
            await asked.wait()
            nursery.cancel_scope.cancel()
        assert (await connections.handle_async_request(ask(server))).status_code == 202
        assert len(server.received) == 2


class CancelAtStep(trio.abc.Instrument):
    """Cancels the scope when the task begins its `step`th step."""

    def __init__(self, step: int, scope: trio.CancelScope) -> None:
        self.left = step
        self._task = trio.lowlevel.current_task()
        self._scope = scope

    def before_task_step(self, task: trio.lowlevel.Task) -> None:
        if task is self._task:
            self.left -= 1
            if self.left == 0:
                self._scope.cancel()


# httpcore leaves the iteration over a request's body half done when it is cancelled.
@pytest.mark.filterwarnings("ignore:Async generator 'httpcore:ResourceWarning")
async def test_a_request_may_be_cancelled_at_any_step() -> None:
    """The next ones are answered, whatever state its connection was in."""
    async with serving(answer) as (server, connections):
        for step in range(1, 100):
            with trio.CancelScope() as scope:
                cancelling = CancelAtStep(step, scope)
                trio.lowlevel.add_instrument(cancelling)
                with suppress(httpx.TransportError):
                    await connections.handle_async_request(ask(server))
            trio.lowlevel.remove_instrument(cancelling)
            for _ in range(2):
                received = await connections.handle_async_request(ask(server))
                assert received.json() == {"accepted": 1}
            if cancelling.left > 0:
                break
        assert 5 < step < 99


async def test_two_requests_at_once_have_a_connection_each_which_both_last() -> None:
    both, asked = trio.Event(), 0

    async def answer_both(stream: trio.SocketStream) -> None:
        nonlocal asked
        asked += 1
        if asked == 2:
            both.set()
        await both.wait()
        await answer(stream)

    async with serving(answer_both) as (server, transport):
        with trio.fail_after(60):
            async with trio.open_nursery() as nursery:
                for _ in range(2):
                    nursery.start_soon(transport.handle_async_request, ask(server))
            for _ in range(4):
                assert (await transport.handle_async_request(ask(server))).status_code == 202
        assert len(server.received) == 2
