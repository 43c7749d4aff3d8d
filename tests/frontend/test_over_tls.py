"""Streams over TLS: the fan-out writes to TLS sockets as to others."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import pytest
import trio
from trio.testing import MockClock

from liveserver.edge.connection import Connection
from liveserver.edge.tls import TLSAcceptor
from tests.edge.authority import Authority
from tests.frontend import test_drain
from tests.frontend.delivery import test_catchup
from tests.frontend.harness import Client, Stage, settings, stage


class TLSEnd(trio.socket.SocketType):
    """The client's end, as far as `Client` uses a socket."""

    def __init__(self, sock: trio.socket.SocketType, authority: Authority) -> None:
        self._sock = sock
        self._stream = trio.SSLStream(trio.SocketStream(sock), authority.trust(), server_hostname="localhost")

    async def send(self, data: bytes, flags: int = 0) -> int:  # type: ignore[override]
        await self._stream.send_all(data)
        return len(data)

    async def recv(self, size: int, flags: int = 0) -> bytes:
        return bytes(await self._stream.receive_some(size))

    def close(self) -> None:
        self._sock.close()


@pytest.fixture(autouse=True)
def over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Clients of the stage come over TLS."""
    authority = Authority(tmp_path)

    def connect(self: Stage, *, receive_buffer: int = 0, send_buffer: int = 0) -> Client:
        ours, theirs = socket.socketpair()
        if receive_buffer:
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if send_buffer:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, send_buffer)
        ours.setblocking(False)
        self._nursery.start_soon(serve, self, Connection(ours, self.edge))
        self.clients.append(Client(TLSEnd(trio.socket.from_stdlib_socket(theirs), authority)))
        return self.clients[-1]

    async def serve(on: Stage, connection: Connection) -> None:
        on.edge.connections.add(connection)
        await TLSAcceptor(authority.settings()).handshake(connection)
        await connection.run()

    monkeypatch.setattr(Stage, "connect", connect)


test_slow = test_catchup.test_a_slow_viewer_lags_alone_and_misses_nothing
test_gap = test_catchup.test_a_viewer_out_of_the_logs_reach_gets_a_gap_and_then_the_oldest_events
test_close = test_catchup.test_a_viewer_out_of_the_logs_reach_is_disconnected_if_so_configured
test_bye = test_catchup.test_a_viewer_that_takes_nothing_gets_bye_and_is_closed
test_gone = test_catchup.test_a_lagging_viewer_that_disconnects_is_removed
test_poll = test_catchup.test_a_big_answer_to_a_slow_poller_arrives_whole
test_drain_of_many = test_drain.test_byes_are_spread_over_the_drain_time
test_drain_of_lagging = test_drain.test_a_lagging_viewer_gets_bye_between_whole_events


@pytest.mark.parametrize("padding", [100, 20_000])
async def test_everything_comes_in_order_however_the_socket_is_cut(
    autojump_clock: MockClock, padding: int
) -> None:
    """Frames larger than a TLS record and smaller ones, through a socket that takes a bit at a time."""
    async with stage(settings(frontend={"slow_timeout": "1h"})) as on:
        narrow, _ = await on.ready("v", "", send_buffer=4096, receive_buffer=4096)
        wide, _ = await on.ready()
        for _ in range(20):
            await on.publish(3, padding=padding)
            await trio.sleep(0.03)
        assert await wide.events(60) == list(range(1, 61))
        assert await narrow.events(60) == list(range(1, 61))
        assert on.frontend.statistics().fanout.fell_behind > 0


async def test_a_chatty_viewer_is_heard_to_its_end(autojump_clock: MockClock) -> None:
    """What a client sends behind its request, in records larger than one read, hides no end."""
    async with stage() as on:
        client, _ = await on.ready()
        await client.sock.send(b"x" * 10_000)
        await on.publish()
        assert msgspec.json.decode((await client.event()).data)["n"] == 1
        client.sock.close()
        await trio.sleep(1)
        assert on.frontend.statistics().viewers == 0
