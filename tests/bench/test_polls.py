"""The long-poll viewers follow what they receive, and notice what is wrong with it."""

from __future__ import annotations

import multiprocessing
import select
import socket
import threading
from collections.abc import Iterator

import pytest

from bench.polls import Polls, by_cursor, by_validators

FIRST = b"GET /v1/videos/v/poll HTTP/1.1\r\nHost: h\r\n\r\n"


def answer(number: int, *events: int) -> bytes:
    answer = b",".join(b'{"id":"e%d","user":"u4217","at":1763862000123}' % event for event in events)
    body = b'{"cursor":"dc1-k3f9a-%d","gap":false,"events":[%b]}' % (number, answer)
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)


def test_the_next_poll_asks_with_the_cursor() -> None:
    request = by_cursor(FIRST, answer(7))
    assert request == b"GET /v1/videos/v/poll?cursor=dc1-k3f9a-7&wait=60 HTTP/1.1\r\nHost: h\r\n\r\n"


def test_or_with_the_validators() -> None:
    answer = b"HTTP/1.1 200 OK\r\nLast-Modified: Mon, 1\r\nEtag: 0\r\nContent-Length: 1\r\n\r\nx"
    assert by_validators(FIRST, answer).endswith(
        b"Host: h\r\nIf-Modified-Since: Mon, 1\r\nIf-None-Match: 0\r\n\r\n"
    )


@pytest.mark.parametrize("follow", [by_cursor, by_validators])
def test_refused_polls_are_reported(follow: object) -> None:
    assert callable(follow)
    with pytest.raises(ConnectionError, match="turned away"):
        follow(FIRST, b"HTTP/1.1 503 Service Unavailable\r\n\r\n")


class Stand:
    """One viewer, whose server is the test."""

    def __init__(self) -> None:
        self.parent, child = multiprocessing.Pipe()
        self.polls = Polls(child)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
            accepting = threading.Thread(target=self._accept, args=(listener,))
            accepting.start()
            self.polls.connect("127.0.0.1", port, ["/v1/videos/v/poll"], 1, "", 1)
            accepting.join()
        self.polls.restart()

    def _accept(self, listener: socket.socket) -> None:
        self.server, _ = listener.accept()
        self.server.recv(4096)
        self.server.sendall(answer(7))

    def send(self, *pieces: bytes) -> None:
        """Each piece is one read of the viewer's."""
        for piece in pieces:
            self.server.sendall(piece)
            select.select(self.polls._sockets, [], [], 5.0)  # it may wait for the last one's receipt
            self.parent.send(("tally", (0,)))
            self.polls._watch()
            self.polls._control.recv()

    def close(self) -> None:
        self.server.close()
        for viewer in self.polls._sockets.values():
            viewer.close()
        self.polls._epoll.close()
        self.parent.close()
        self.polls._control.close()


@pytest.fixture
def stand() -> Iterator[Stand]:
    stand = Stand()
    yield stand
    stand.close()


@pytest.mark.parametrize("cut", [1, 20, 50, 100])
def test_counts_an_answer_once_wherever_a_read_ends(stand: Stand, cut: int) -> None:
    whole = answer(9, 8, 9)
    stand.send(whole[:cut], whole[cut:], answer(10, 10))
    assert stand.polls.tally(3)["exact"] == 1
    assert stand.polls.verify(3) == []
    assert stand.polls.window()["reads_per_s"] > 0
    assert b"cursor=dc1-k3f9a-10&" in stand.server.recv(4096)


@pytest.mark.parametrize(
    ("answers", "fault"),
    [
        ([answer(8, 8), answer(10, 10)], "1 events lead from b'dc1-k3f9a-8' to b'dc1-k3f9a-10'"),
        ([answer(8, 8), answer(9, 8)], "2 events, 1 different ones"),
        ([answer(8, 8)], "1 events, 1 different ones, instead of 2"),
    ],
)
def test_notices_the_lost_and_the_doubled(stand: Stand, answers: list[bytes], fault: str) -> None:
    stand.send(*answers)
    assert fault in " ".join(stand.polls.verify(2))
