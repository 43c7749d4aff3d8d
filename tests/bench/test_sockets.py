"""The bench's own claims over WebSockets: counted exactly, wherever reads end; what is wrong is noticed."""

from __future__ import annotations

import multiprocessing
import socket
from collections.abc import Iterator

import pytest

from bench.sockets import Sockets
from liveserver.transport.websocket import PING, SOCKET


def message(*numbers: int) -> bytes:
    frames = [b'{"id":"e%d","type":"like","user":"u4217","at":1763862000123}' % number for number in numbers]
    return SOCKET.joined("v", b"dc1-k3f9a-%d" % numbers[-1], frames)


class Stand:
    """One viewer, whose server is the test."""

    def __init__(self) -> None:
        self.parent, child = multiprocessing.Pipe()
        self.viewers = Sockets(child)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            viewer = self.viewers._open("127.0.0.1", listener.getsockname()[1], "", 0)
            self.server, _ = listener.accept()
        self.viewers._epoll.register(viewer.fileno())
        self.viewers._kept[viewer.fileno()] = []
        self.viewers._numbers[viewer.fileno()] = b"dc1-k3f9a-7"
        self.viewers.restart()

    def send(self, *pieces: bytes) -> None:
        """Each piece is one read of the viewer's."""
        for piece in pieces:
            before = self.viewers.bytes
            self.server.sendall(piece)
            while self.viewers.bytes == before:
                self.parent.send(("tally", (0,)))
                self.viewers._watch()
                self.viewers._control.recv()

    def close(self) -> None:
        self.server.close()
        for viewer in self.viewers._sockets.values():
            viewer.close()
        self.viewers._epoll.close()
        self.parent.close()
        self.viewers._control.close()


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.close()


@pytest.mark.parametrize("cut", range(1, len(message(8, 9))))
def test_counts_an_event_once_wherever_a_read_ends(stand: Stand, cut: int) -> None:
    stream = message(8, 9)
    stand.send(stream[:cut], stream[cut:])
    assert stand.viewers.tally(2)["exact"] == 1
    assert stand.viewers.verify(2) == []


def test_a_ping_is_answered_and_counts_for_nothing(stand: Stand) -> None:
    stand.send(message(8), PING, message(9))
    assert stand.server.recv(100) == b"\x8a\x80\0\0\0\0"
    assert stand.viewers.tally(2)["exact"] == 1
    assert stand.viewers.verify(2) == []


@pytest.mark.parametrize(
    ("stream", "fault"),
    [
        (message(8) + message(10), "lead from b'dc1-k3f9a-8' to b'dc1-k3f9a-10'"),
        (message(8) + message(8), "lead from b'dc1-k3f9a-8' to b'dc1-k3f9a-8'"),
        (message(8), "1 events, 1 different ones, instead of 2"),
        (message(8, 9)[:-5], "does not end where it says"),
        (b"\x82\x00" + message(8, 9), "a frame begins with 0x82"),
    ],
)
def test_wrong_streams_are_reported(stand: Stand, stream: bytes, fault: str) -> None:
    stand.send(stream)
    assert fault in " ".join(stand.viewers.verify(2))
