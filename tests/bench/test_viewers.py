"""The bench's own claims: it counts exactly, however the reads are cut, and it notices what is wrong."""

from __future__ import annotations

import multiprocessing
import socket
import time
from collections.abc import Iterator

import pytest

from bench.http_client import dechunk, split_id, steps
from bench.viewers import READABLE, Viewers

READY = b"id: dc1-k3f9a-7\nevent: ready\ndata: {}\n\n"


def frame(number: int) -> bytes:
    data = b'{"id":"e%d","type":"like","user":"u4217","at":1763862000123}' % number
    return b"id: dc1-k3f9a-%d\nevent: like\ndata: %b\n\n" % (number, data)


def chunk(*frames: bytes) -> bytes:
    body = b"".join(frames)
    return b"%x\r\n%b\r\n" % (len(body), body)


class Stand:
    """One viewer, whose server is the test."""

    def __init__(self) -> None:
        self.parent, child = multiprocessing.Pipe()
        self.viewers = Viewers(child)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            viewer = self.viewers._open("127.0.0.1", port, "", 0)
            self.server, _ = listener.accept()
        self.descriptor = viewer.fileno()
        self.viewers._epoll.register(self.descriptor, READABLE)
        self.viewers._kept[self.descriptor] = []
        self.viewers._numbers[self.descriptor] = b"dc1-k3f9a-7"
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


@pytest.mark.parametrize("cut", range(1, len(chunk(frame(8), frame(9)))))
def test_counts_an_event_once_wherever_a_read_ends(stand: Stand, cut: int) -> None:
    stream = chunk(frame(8), frame(9))
    stand.send(stream[:cut], stream[cut:])
    assert stand.viewers.tally(2)["exact"] == 1
    assert stand.viewers.verify(2) == []


def test_counts_in_reads_of_single_bytes(stand: Stand) -> None:
    stream = chunk(frame(8))
    stand.send(*(stream[i : i + 1] for i in range(len(stream))))
    assert stand.viewers.tally(1)["exact"] == 1


@pytest.mark.parametrize(
    ("numbers", "fault"),
    [
        ((8, 10), "follows b'dc1-k3f9a-8'"),
        ((8, 8), "follows b'dc1-k3f9a-8'"),
        ((9, 8), "follows b'dc1-k3f9a-7'"),
        ((8,), "1 events, 1 different ones, instead of 2"),
    ],
)
def test_notices_the_lost_the_doubled_and_the_swapped(
    stand: Stand, numbers: tuple[int, ...], fault: str
) -> None:
    stand.send(chunk(*map(frame, numbers)))
    assert fault in " ".join(stand.viewers.verify(2))


def test_viewers_with_too_few_or_too_many_events_are_reported(stand: Stand) -> None:
    stand.send(chunk(frame(8), frame(9)))
    assert stand.viewers.tally(1) == {"exact": 0, "too_few": 0, "too_many": 1, "closed": 0, "received": 2}
    assert stand.viewers.tally(3)["too_few"] == 1


def test_notices_a_closed_viewer(stand: Stand) -> None:
    stand.server.close()
    while not stand.viewers.closed:
        stand.parent.send(("tally", (0,)))
        stand.viewers._watch()
        stand.viewers._control.recv()
    assert stand.viewers.tally(0)["exact"] == 0


def test_a_restart_forgets(stand: Stand) -> None:
    stand.send(chunk(frame(8)))
    stand.viewers.restart()
    assert stand.viewers.tally(0)["exact"] == 1
    assert stand.viewers.excerpt(10) == b""


def test_dechunk_joins_and_complains() -> None:
    assert dechunk(chunk(READY) + chunk(frame(8))) == READY + frame(8)
    with pytest.raises(ValueError, match="does not end where it says"):
        dechunk(b"3\r\nabcd\r\n")


def test_a_cursor_ends_with_its_number() -> None:
    assert split_id(b"dc1-k3f9a-1532") == (b"dc1-k3f9a-", 1532)
    assert split_id(b"") == (b"", -1)


@pytest.mark.parametrize(
    ("before", "after", "between"),
    [
        (b"dc1-k3f9a-1", b"dc1-k3f9a-2", 1),
        (b"dc1-k3f9a-1~dc2-p0x1b-0", b"dc1-k3f9a-3~dc2-p0x1b-4", 6),
        (b"dc2-p0x1b-0", b"dc1-k3f9a-1~dc2-p0x1b-0", 1),
        (b"dc1-k3f9a-2", b"dc1-k3f9a-2", 0),
        (b"dc1-k3f9a-2", b"dc1-k3f9a-1", -1),
        (b"dc1-k3f9a-2", b"dc1-other-3", -1),
        (b"dc1-k3f9a-2", b"", -1),
    ],
)
def test_how_many_events_lie_between_two_cursors(before: bytes, after: bytes, between: int) -> None:
    assert steps(before, after) == between


def test_what_another_viewer_has_read_is_no_event_of_this_one() -> None:
    stand = Stand()
    try:
        stand.send(chunk(frame(8)))  # leaves its bytes in the buffer
        stand.viewers.restart()
        stand.server.sendall(b"2\r\n:\n\r\n")
        assert not stand.viewers.lone(0.1)
    finally:
        stand.close()


def test_an_event_that_is_awaited_is_no_other_one() -> None:
    stand = Stand()
    try:
        stand.server.sendall(chunk(frame(8)))
        assert not stand.viewers.lone(0.1, b'"id":"e9"')
        stand.server.sendall(chunk(frame(9)))
        began = time.monotonic()
        [moment] = stand.viewers.lone(10.0, b'"id":"e9"')
        assert began <= moment <= time.monotonic()
    finally:
        stand.close()
