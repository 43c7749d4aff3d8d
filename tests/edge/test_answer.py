"""The status of an answer, as the access log has it; and answers that are given up."""

from __future__ import annotations

import pytest

from liveserver.edge.answer import DeferredResponse, StreamResponse, status_of
from liveserver.edge.request import Request
from liveserver.edge.response import json_response
from liveserver.errors import BadRequest, Unavailable


def request(*headers: bytes) -> Request:
    return Request(b"\r\n".join([b"GET /x HTTP/1.1", b"host: test", *headers, b"", b""]))


class Stream(StreamResponse):
    """An answer that goes on."""

    async def wait_gone(self) -> None:
        """Return at once."""


class Waiting(DeferredResponse):
    """An answer that comes later."""

    def __init__(self) -> None:
        self.abandoned = 0

    @property
    def is_written(self) -> bool:
        return False

    async def wait_written(self) -> None:
        """Return at once."""

    def abandon(self) -> None:
        self.abandoned += 1


@pytest.mark.parametrize("status", [200, 201, 202, 304, 404, 503])
def test_bytes_begin_with_their_status(status: int) -> None:
    assert status_of(request(), json_response(status, b"{}")) == status
    assert status_of(request(b"upgrade: websocket"), json_response(status, b"{}")) == status


def test_streams_and_answers_to_come_are_successes() -> None:
    assert [status_of(request(), answer) for answer in (Stream(), Waiting())] == [200, 200]
    assert status_of(request(b"upgrade: websocket"), Stream()) == 101


def test_a_deferred_answer_that_cannot_be_given_early_is_abandoned() -> None:
    waiting = Waiting()
    waiting.end_early()
    assert waiting.abandoned == 1


def test_a_stream_without_a_reason_does_not_live_beyond_its_deadline() -> None:
    assert Stream().expire() is False


def test_problems_have_their_status_too() -> None:
    for problem in (BadRequest("x"), Unavailable("x")):
        assert status_of(request(), json_response(problem.status, problem.body())) == problem.status
