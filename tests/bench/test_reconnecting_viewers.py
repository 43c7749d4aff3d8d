"""The storm's viewers come back with their cursors, and see what is wrong with what they then receive."""

from __future__ import annotations

import multiprocessing
import re
import socket
import time
from collections.abc import Callable, Iterator

import pytest

from bench.reconnecting_viewers import ReconnectingViewer, ReconnectingViewers
from tests.bench.test_viewers import chunk, frame

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


def ready(number: int, resumed: bool = False, retry: int = 1) -> bytes:
    word = b"true" if resumed else b"false"
    return HEAD + chunk(
        b'retry: %d\nid: dc1-k3f9a-%d\nevent: ready\ndata: {"resumed":%b}\n\n' % (retry, number, word)
    )


class Stand:
    """One viewer, whose servers are the test."""

    def __init__(self) -> None:
        self.parent, child = multiprocessing.Pipe()
        self.returning = ReconnectingViewers(child)
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.returning.expect(self.listener.getsockname()[1], True)
        self.viewer = ReconnectingViewer(0)
        self.viewer.kept = [[]]
        self.returning._viewers = [self.viewer]
        self.returning._path = "/v1/videos/v/events"
        self.returning._come(self.viewer)
        self.request = self.accept()

    def accept(self) -> bytes:
        """Let it in; what it asked."""
        self.step_until(lambda: bool(self.returning._by_descriptor) and not self.returning._due)
        self.server, _ = self.listener.accept()
        self.returning._step(1.0)
        self.server.settimeout(5)
        return self.server.recv(4096)

    def send(self, *pieces: bytes) -> None:
        """Each piece is one read of the viewer's."""
        for piece in pieces:
            self.server.sendall(piece)
            self.returning._step(5.0)

    def lose(self) -> None:
        self.server.close()
        self.step_until(lambda: bool(self.returning._due))

    def step_until(self, condition: Callable[[], bool]) -> None:
        until = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < until
            self.returning._step(0.01)

    def close(self) -> None:
        self.server.close()
        self.listener.close()
        if self.viewer.socket:
            self.viewer.socket.close()
        self.returning._epoll.close()
        self.parent.close()
        self.returning._control.close()


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.close()


def test_a_viewer_resumes_with_its_last_id(stand: Stand) -> None:
    assert b"Last-Event-ID" not in stand.request
    stand.send(ready(7), chunk(frame(8)), chunk(frame(9), frame(10)))
    half = chunk(frame(11), frame(12))
    stand.send(half[:-40])  # killed in the middle of the twelfth
    stand.lose()
    assert re.search(rb"\r\nLast-Event-ID: dc1-k3f9a-11\r\n", stand.accept())
    stand.send(ready(11, resumed=True) + chunk(frame(12)), chunk(frame(13)))
    assert stand.returning.verify() == []
    assert stand.returning.tally(13) == {"level": 1, "lowest": 13, "highest": 13}
    result = stand.returning.result(time.monotonic() - 60)
    assert (result["back"], result["turned_away"]) == (2, 0)
    assert 59 < result["back_100_s"] <= 60


@pytest.mark.parametrize("cut", [1, 3, 20, 60, 90])
def test_a_read_may_end_anywhere(stand: Stand, cut: int) -> None:
    whole = chunk(frame(8), frame(9))
    stand.send(ready(7), whole[:cut], whole[cut:] + chunk(frame(10)))
    assert (stand.viewer.number, stand.returning.verify()) == (10, [])


@pytest.mark.parametrize(
    ("events", "fault"),
    [
        ([8, 10], "1 events lead from 8 to 10"),
        ([8, 8], "1 events lead from 8 to 8"),
        ([9, 8], "1 events lead from 7 to 9"),
    ],
)
def test_a_hole_a_doubling_and_another_order_are_seen(stand: Stand, events: list[int], fault: str) -> None:
    stand.send(ready(7), *(chunk(frame(number)) for number in events))
    assert any(fault in each for each in stand.returning.verify())


def test_a_wrong_order_is_found_in_the_kept_bytes(stand: Stand) -> None:
    stand.send(ready(7), chunk(frame(8), frame(8), frame(10)))
    assert stand.returning.verify() == ["viewer 0: 8 follows 8", "viewer 0: 10 follows 8"]


@pytest.mark.parametrize("answer", [ready(9, resumed=True), ready(8)])
def test_another_cursor_than_was_asked_from_is_seen(stand: Stand, answer: bytes) -> None:
    stand.send(ready(7), chunk(frame(8)))
    stand.lose()
    stand.accept()
    stand.send(answer)
    assert "asked from b'dc1-k3f9a-8' and received" in stand.returning.verify()[0]


def test_a_refused_viewer_reconnects(stand: Stand) -> None:
    stand.send(ready(7))
    stand.lose()
    stand.accept()
    bye = chunk(b'retry: 1\nid: dc1-k3f9a-7\nevent: bye\ndata: {"reason":"overload"}\n\n')
    stand.send(HEAD + bye)
    stand.lose()
    stand.accept()
    stand.send(ready(7, resumed=True), chunk(frame(8)))
    assert stand.returning.verify() == []
    assert (stand.viewer.number, stand.viewer.turned_away) == (8, 1)
