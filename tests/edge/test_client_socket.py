"""The socket of a client: bytes are sent whole, in time, or not at all."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from liveserver.edge.client_socket import LINGER_SECONDS, ClientSocket

SETTINGS = SimpleNamespace(header_timeout=10.0, write_timeout=5.0, min_write_rate=1_000)
SERVER: Any = SimpleNamespace(settings=SETTINGS)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setblocking(False)
        each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[socket.socket, socket.socket]


def drained(sock: socket.socket) -> bytes:
    found = b""
    try:
        while data := sock.recv(1 << 16):
            found += data
    except BlockingIOError:
        pass
    return found


async def test_the_first_request_has_to_come_in_time(pair: Pair, mock_clock: MockClock) -> None:
    assert ClientSocket(pair[0], SERVER).deadline == trio.current_time() + 10


async def test_bytes_are_received_as_they_come_and_none_at_the_end(pair: Pair) -> None:
    client = ClientSocket(pair[0], SERVER)
    pair[1].send(b"hello")
    assert await client.receive() == b"hello"
    pair[1].shutdown(socket.SHUT_WR)
    assert await client.receive() == b""


async def test_a_write_returns_when_all_is_sent(pair: Pair, mock_clock: MockClock) -> None:
    client = ClientSocket(pair[0], SERVER)
    before = client.deadline
    await client.write(b"short")
    assert client.deadline == before, "what fits at once needs no time"
    data = bytes(range(256)) * 400
    received = drained(pair[1])
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.write, data)
        while len(received) < len(data) + 5:
            await wait_all_tasks_blocked()
            received += drained(pair[1])
    assert received == b"short" + data


async def test_a_client_that_reads_in_sips_has_a_last_moment(pair: Pair, mock_clock: MockClock) -> None:
    client = ClientSocket(pair[0], SERVER)
    size = 20_000
    begun = trio.current_time()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(client.write, b"x" * size)
        await wait_all_tasks_blocked()
        assert client.deadline == begun + SETTINGS.write_timeout
        latest = 0.0
        for _ in range(6):
            mock_clock.jump(4)
            drained(pair[1])
            await wait_all_tasks_blocked()
            latest = max(latest, client.deadline)
            if client.deadline <= trio.current_time():
                break
        nursery.cancel_scope.cancel()
    assert latest <= begun + SETTINGS.write_timeout + size / SETTINGS.min_write_rate


async def test_closing_wakes_waiting_tasks_and_may_be_repeated(pair: Pair) -> None:
    client = ClientSocket(pair[0], SERVER)
    ended: list[str] = []

    async def receive() -> None:
        try:
            await client.receive()
        except trio.ClosedResourceError:
            ended.append("closed")

    async with trio.open_nursery() as nursery:
        nursery.start_soon(receive)
        await wait_all_tasks_blocked()
        client.close()
        client.close()
    assert ended == ["closed"]
    with pytest.raises(trio.ClosedResourceError):
        await client.receive()


async def test_a_released_socket_stays_open_and_is_swept_no_more(pair: Pair) -> None:
    client = ClientSocket(pair[0], SERVER)
    assert client.release() is pair[0]
    assert client.deadline == math.inf
    client.close()
    pair[1].send(b"still here")
    assert pair[0].recv(99) == b"still here"


async def test_a_refused_client_may_still_read_for_a_while(pair: Pair, autojump_clock: MockClock) -> None:
    client = ClientSocket(pair[0], SERVER)
    begun = trio.current_time()
    pair[1].send(b"the rest of a request")
    await client.linger()
    assert trio.current_time() - begun == LINGER_SECONDS
    assert pair[1].recv(9) == b"", "nothing more is sent"
    pair[1].shutdown(socket.SHUT_WR)
    begun = trio.current_time()
    with trio.move_on_after(60):
        while await client.receive():
            pass
    assert trio.current_time() == begun
