"""Parameters of requests are checked against limits; cached results are the same."""

from __future__ import annotations

import pytest

from liveserver.config import FrontendSettings
from liveserver.cursor import Cursor
from liveserver.edge.request import Request
from liveserver.errors import BadRequest
from liveserver.frontend.parameters import KNOWN_QUERIES, ParameterReader, PollParameters


def request(query: str, *lines: str) -> Request:
    return Request(
        "\r\n".join([f"GET /v1/videos/v/poll?{query} HTTP/1.1", "Host: x", *lines, "", ""]).encode()
    )


def test_a_poll_is_read_the_same_the_second_time() -> None:
    reader = ParameterReader(FrontendSettings())
    asked = request("cursor=dc1-a-7&wait=2.5&limit=3&replay=1&behind=12.4s")
    expected = PollParameters(Cursor.parse("dc1-a-7"), 2.5, 3, 1, 12, None)
    assert [reader.poll(asked) for _ in range(3)] == [expected] * 3


def test_a_malformed_poll_is_refused_each_time() -> None:
    reader = ParameterReader(FrontendSettings())
    for _ in range(3):
        with pytest.raises(BadRequest):
            reader.poll(request("cursor=nonsense"))
        with pytest.raises(BadRequest):
            reader.poll(request("wait=1e9"))


@pytest.mark.parametrize("name", ["lastEventId", "lastEventID", "last-event-id", "Last-Event-ID"])
def test_a_long_poll_is_resumed_by_what_resumes_a_stream(name: str) -> None:
    reader = ParameterReader(FrontendSettings())
    for read in (reader.poll, reader.watch):
        assert read(request(f"cursor=dc1-a-1&{name}=dc1-a-7")).cursor == Cursor.parse("dc1-a-7")
        assert read(request(f"cursor=dc1-a-1&{name}=")).cursor == Cursor.parse("dc1-a-1")
        by_header = request(f"wait=1&{name}=dc1-a-7" if read == reader.poll else "", "Last-Event-ID: dc1-a-8")
        for _ in range(2):  # the query is cached, the header is not
            assert read(by_header).cursor == Cursor.parse("dc1-a-8")
        with pytest.raises(BadRequest):
            read(request("cursor=dc1-a-1", "Last-Event-ID: nonsense"))
    assert reader.poll(request("wait=1&lastEventId=dc1-a-7")).cursor == Cursor.parse("dc1-a-7")


def test_queries_with_tokens_and_long_ones_are_not_kept_and_others_are_bounded() -> None:
    reader = ParameterReader(FrontendSettings())
    assert reader.poll(request("token=secret")).token == "secret"
    assert reader.poll(request("wait=1&_=" + "x" * 300)).wait == 1
    assert not reader._polls
    for number in range(KNOWN_QUERIES + 10):
        reader.poll(request(f"cursor=dc1-a-{number}"))
    assert 0 < len(reader._polls) <= KNOWN_QUERIES


def test_a_malformed_cursor_is_refused_also_where_another_one_wins() -> None:
    reader = ParameterReader(FrontendSettings())
    assert reader.watch(request("cursor=now", "Last-Event-ID: dc1-a-7")).cursor == Cursor.parse("dc1-a-7")
    with pytest.raises(BadRequest):
        reader.watch(request("cursor=nonsense", "Last-Event-ID: dc1-a-7"))
