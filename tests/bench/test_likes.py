"""The bench's publisher sends what it says, and reads answers however they come."""

from __future__ import annotations

import json
import socket
import time

import pytest

from bench.http_client import is_whole
from bench.likes import LIKE, STAMP, Line, RequestTemplate, batch_of

ANSWER = b'HTTP/1.1 202 Accepted\r\nContent-Length: 14\r\n\r\n{"accepted":1}'


CHUNKED = b"HTTP/1.1 202 Accepted\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"


@pytest.mark.parametrize("answer", [ANSWER, CHUNKED])
def test_an_answer_is_whole_only_with_its_last_byte(answer: bytes) -> None:
    assert not any(is_whole(answer[:cut]) for cut in range(len(answer)))
    assert is_whole(answer)


@pytest.mark.parametrize("batch", [1, 100])
def test_a_request_promises_the_body_it_has(batch: int) -> None:
    head, _, body = next(batch_of(batch).requests()).partition(b"\r\n\r\n")
    assert f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body) == (LIKE if batch == 1 else [LIKE] * batch)


def test_videos_are_liked_in_turn() -> None:
    requests = RequestTemplate(paths=("/a", "/b")).requests()
    assert [next(requests).split(b" ")[1] for _ in range(4)] == [b"/a", b"/b", b"/a", b"/b"]


def test_a_like_says_when_it_was_sent() -> None:
    before = time.time_ns() // 1000
    request = next(RequestTemplate(body=b'{"user":"t%b"}' % STAMP).requests())
    head, _, body = request.partition(b"\r\n\r\n")
    assert before <= int(json.loads(body)["user"][1:]) <= time.time_ns() // 1000
    assert f"Content-Length: {len(body)}".encode() in head


@pytest.mark.parametrize(
    ("answer", "accepted"),
    [
        (ANSWER, 1),
        (b'HTTP/1.1 202 Accepted\r\nContent-Length: 14\r\n\r\n{"accepted":7}', 7),
        (b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\n\r\n", 5),  # nothing is said: all of them
    ],
)
def test_accepted_likes_are_counted(answer: bytes, accepted: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        template = RequestTemplate(events=5)
        line = Line(listener.getsockname()[1], 1, template)
        server, _ = listener.accept()
        line.send(next(template.requests()))
        for cut in (slice(0, 30), slice(30, None)):
            server.sendall(answer[cut])
            line.receive(5.0)
        server.close()
        line.close()
        assert line.result()["accepted"] == accepted


def test_refusals_are_no_measurement() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = Line(listener.getsockname()[1], 1, RequestTemplate())
        server, _ = listener.accept()
        line.send(b"x")
        server.sendall(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
        line.receive(5.0)
        server.close()
        line.close()
    with pytest.raises(RuntimeError, match="1 publishes were refused"):
        line.result()


def test_a_connection_that_is_closed_after_its_answer_is_opened_anew() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        line = Line(listener.getsockname()[1], 2, RequestTemplate())
        answer = b"HTTP/1.1 201 Created\r\ncontent-length: 0\r\nConnection: close\r\n\r\n"
        for expected in range(1, 4):
            line.send(b"x")
            server, _ = listener.accept()
            server.sendall(answer)
            server.shutdown(socket.SHUT_WR)
            server.recv(10)
            server.close()
            while line.answered < expected:
                line.receive(5.0)
        line.close()
    result = line.result()
    assert (result["accepted"], result["reopened"]) == (3, 1)
