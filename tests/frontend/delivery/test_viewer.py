"""A viewer's socket: what is sent without waiting, and the last words on it."""

from __future__ import annotations

import math
import socket
from collections.abc import Iterator
from typing import Any

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from liveserver.config import FrontendSettings, convert
from liveserver.frontend.delivery.viewer import (
    CLOSING_SECONDS,
    MAX_IGNORED,
    State,
    StreamViewer,
    attempt,
    peer_writable,
    random_retry,
    send_last,
)
from liveserver.transport.sse import SSE


class Peer:
    """A client's connection, on a socket of a pair."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.deadline = math.inf
        self.closed = False

    async def wait_readable(self) -> None:
        await trio.lowlevel.wait_readable(self.sock)

    async def wait_writable(self) -> None:
        await trio.lowlevel.wait_writable(self.sock)

    def close(self) -> None:
        self.closed = True
        self.sock.close()


class Audience:
    """Notes who leaves."""

    def __init__(self) -> None:
        self.left: list[Any] = []

    def leave(self, viewer: Any) -> None:
        self.left.append(viewer)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    for each in (ours, theirs):
        each.setblocking(False)
    ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    yield ours, theirs
    ours.close()
    theirs.close()


Pair = tuple[socket.socket, socket.socket]


def viewer(sock: socket.socket) -> tuple[StreamViewer, Audience]:
    audience: Any = Audience()
    return StreamViewer(Peer(sock), audience, SSE, 0, None, 1), audience  # type: ignore[arg-type]


def fill(sock: socket.socket) -> int:
    sent = 0
    while (more := attempt(sock.send, b"x" * 4096)) > 0:
        sent += more
    return sent


def test_an_attempt_sends_what_there_is_room_for(pair: Pair) -> None:
    assert attempt(pair[0].send, b"hello") == 5
    assert fill(pair[0]) > 0
    assert attempt(pair[0].send, b"more") == 0
    pair[1].close()
    assert attempt(pair[0].send, b"more") == -1


def test_retries_are_spread_over_the_settings_range() -> None:
    settings = convert({"retry_min": "1s", "retry_max": "4s"}, FrontendSettings)
    found = [random_retry(settings) for _ in range(500)]
    assert 1_000 <= min(found) < 1_200
    assert 3_800 < max(found) <= 4_000


async def test_the_final_frame_follows_the_unsent_bytes_and_the_stream_ends(
    pair: Pair, mock_clock: MockClock
) -> None:
    size = fill(pair[0])
    peer = Peer(pair[0])
    send_last(peer, memoryview(b"rest,"), b"bye")  # type: ignore[arg-type]
    assert peer.deadline == trio.current_time() + CLOSING_SECONDS
    received = b""
    while data := pair[1].recv(1 << 16):
        received += data
    assert received == b"x" * size + b"rest,bye", "for a client that reads on it is all there"
    assert not peer.closed


async def test_a_client_that_is_gone_is_closed_at_once(pair: Pair) -> None:
    pair[1].close()
    peer = Peer(pair[0])
    send_last(peer, b"", b"bye")  # type: ignore[arg-type]
    assert peer.closed


async def test_room_is_waited_for_so_long(pair: Pair, autojump_clock: MockClock) -> None:
    peer: Any = Peer(pair[0])
    assert await peer_writable(peer, 1.0)
    fill(pair[0])
    begun = trio.current_time()
    assert not await peer_writable(peer, 3.0)
    assert trio.current_time() - begun == 3.0
    pair[1].recv(1 << 20)
    assert await peer_writable(peer, 3.0)


async def test_what_was_not_sent_is_kept_without_a_copy_and_blocks(pair: Pair) -> None:
    one, _ = viewer(pair[0])
    assert (one.is_blocked, one.is_gone, one.state) == (False, False, State.JOINING)
    chunk = b"0123456789"
    one.save_unsent(chunk, 4)
    assert one.is_blocked
    assert one.unsent is not None
    assert (bytes(one.unsent), one.unsent.obj) == (b"456789", chunk)
    one.save_unsent(chunk, 10)
    assert not one.is_blocked


async def test_changing_the_send_method_resets_those_of_the_segment(pair: Pair) -> None:
    one, _ = viewer(pair[0])
    called: list[str] = []

    class Segment:
        def reset_sends(self) -> None:
            called.append("reset")

    one.set_send(lambda chunk: 0)
    one.segment = Segment()  # type: ignore[assignment]
    one.set_send(lambda chunk: 1)
    assert (one.send(b""), called) == (1, ["reset"])


@pytest.mark.parametrize("end", ["closes", "resets", "talks"])
async def test_a_viewer_is_kept_until_its_client_disconnects_or_sends_too_much(pair: Pair, end: str) -> None:
    one, audience = viewer(pair[0])
    with trio.fail_after(60):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(one.wait_gone)
            pair[1].send(b"ignored")
            await trio.testing.wait_all_tasks_blocked()
            assert audience.left == []
            if end == "closes":
                pair[1].shutdown(socket.SHUT_WR)
            elif end == "resets":
                pair[1].close()
            else:
                for _ in range(MAX_IGNORED // 4096 + 1):
                    pair[1].send(b"x" * 4096)
                    await trio.testing.wait_all_tasks_blocked()
    assert audience.left == [one]
