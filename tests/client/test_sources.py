"""One connection to one server: what is asked for, and what ends it."""

from __future__ import annotations

import httpx
import pytest
import trio
from trio.testing import MockClock

from liveserver.client import Event, Gap, ProtocolError, Ready, Refused
from liveserver.client.errors import TemporaryError
from liveserver.client.sources import SILENCE, PollSource, StreamSource, filters
from liveserver.client.tokens import Tokens
from tests.client.fakes import Servers, answer, block, bye, cursor, event, like, page, problem, ready, stream


def streaming(servers: Servers, at: str | None = None, **more: float) -> StreamSource:
    return StreamSource(servers.client, "http://a", "v1", at, Tokens("t"), **more)  # type: ignore[arg-type]


def polling(servers: Servers, at: str | None = None) -> PollSource:
    return PollSource(servers.client, "http://a", "v1", at, Tokens(None))


def test_only_what_is_asked_for_is_in_the_query() -> None:
    assert filters(0, (), None) == {}
    assert filters(1.2345, ["like", "comment"], 0) == {
        "behind": "1.234s",
        "types": "like,comment",
        "rate": "0",
    }


async def test_a_stream_yields_what_comes_with_each_chunk(autojump_clock: MockClock) -> None:
    servers = Servers(stream(ready(1, retry=2_000), like(2) + like(3), b":\n", like(4)))
    source = streaming(servers, cursor(0))
    kinds = [[type(item) for item in await source.receive()] for _ in range(4)]
    assert kinds == [[Ready], [Event, Event], [], [Event]]
    assert (source.reached, source.retry) == (cursor(4), 2.0)
    assert servers.asked[0].query == {"cursor": cursor(0)}
    assert servers.asked[0].authorization == "Bearer t"
    with pytest.raises(TemporaryError, match="the server ended the stream"):
        await source.receive()
    await source.aclose()


async def test_a_quiet_stream_is_given_up_after_a_while_and_a_slow_first_answer_sooner(
    autojump_clock: MockClock,
) -> None:
    begun = trio.current_time()
    source = streaming(Servers(stream(b":\n", 600.0)), ready_within=5.0)
    assert await source.receive() == []
    with pytest.raises(TemporaryError, match="nothing was received"):
        await source.receive()
    assert trio.current_time() - begun == 5, "heartbeats are no `ready`"
    await source.aclose()
    source = streaming(Servers(stream(ready(1), 600.0)), ready_within=5.0)
    await source.receive()
    begun = trio.current_time()
    with pytest.raises(TemporaryError, match="nothing was received"):
        await source.receive()
    assert trio.current_time() - begun == SILENCE
    await source.aclose()


@pytest.mark.parametrize(
    ("given", "error"),
    [
        (problem(503, "full", retry_after="3"), TemporaryError),
        (problem(401, "no token"), Refused),
        (stream(b"hi", content_type="text/html; charset=utf-8"), TemporaryError),
        (stream(httpx.ReadError("reset")), TemporaryError),
        (httpx.ConnectError("refused"), TemporaryError),
        (stream(block("ready", "nonsense", 1)), ProtocolError),
    ],
)
async def test_what_is_no_stream_ends_it(
    autojump_clock: MockClock, given: object, error: type[Exception]
) -> None:
    source = streaming(Servers(given))  # type: ignore[arg-type]
    with pytest.raises(error):
        await source.receive()
    await source.aclose()


async def test_after_ready_an_unreadable_event_is_a_gap(autojump_clock: MockClock) -> None:
    source = streaming(Servers(stream(ready(1) + block("like", "nonsense", 2) + like(3))))
    first, gap, third = await source.receive()
    assert isinstance(first, Ready)
    assert gap == Gap(cursor(2))
    assert isinstance(third, Event)
    await source.aclose()


async def test_the_time_to_come_back_is_within_bounds(autojump_clock: MockClock) -> None:
    source = streaming(Servers(stream(ready(1, retry=10**12), bye(1, reconnect=True, retry=1))))
    await source.receive()
    assert source.retry == 300
    await source.receive()
    assert source.retry == 0.001
    await source.aclose()


async def test_polls_continue_where_the_last_one_ended_and_only_the_first_does_not_wait() -> None:
    servers = Servers(page(1), page(3, 2, 3), page(3))
    source = polling(servers)
    assert await source.receive() == [Ready(cursor(1), None, False, False)]
    assert [type(item) for item in await source.receive()] == [Event, Event]
    assert await source.receive() == []
    assert [asked.query for asked in servers.asked] == [
        {"wait": "0"}, {"cursor": cursor(1), "wait": "25"}, {"cursor": cursor(3), "wait": "25"},
    ]  # fmt: skip
    assert source.reached == cursor(3)


@pytest.mark.parametrize(
    ("begun_at", "resumed", "at"),
    [(cursor(1), True, cursor(1)), ("now", False, None), ("earliest", False, None), (None, False, None)],
)
async def test_a_poll_resumes_only_from_a_fixed_position(
    begun_at: str | None, resumed: bool, at: str | None
) -> None:
    first, found = await polling(Servers(page(2, 2)), begun_at).receive()
    assert isinstance(first, Ready)
    assert (first.resumed, first.cursor) == (resumed, at)
    assert isinstance(found, Event)


async def test_a_gap_stands_before_the_events_and_has_their_cursor_only_without_any() -> None:
    servers = Servers(page(5, 5, gap=True), page(6, gap=True))
    source = polling(servers, cursor(1))
    first, gap, found = await source.receive()
    assert isinstance(first, Ready)
    assert (first.resumed, first.gap, gap) == (False, True, Gap(None))
    assert isinstance(found, Event)
    assert await source.receive() == [Gap(cursor(6))]


async def test_a_poll_that_is_not_answered_is_given_up(autojump_clock: MockClock) -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        await trio.sleep_forever()
        raise AssertionError

    client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    begun = trio.current_time()
    with pytest.raises(TemporaryError, match="not answered in time"):
        await PollSource(client, "http://a", "v1", None, Tokens(None)).receive()
    assert trio.current_time() - begun == SILENCE


async def test_an_answer_that_is_no_page_is_not_liveservers() -> None:
    with pytest.raises(ProtocolError):
        await polling(Servers(answer({"events": [event(1)]}))).receive()
