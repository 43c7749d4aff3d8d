"""One exact sequence of events over many connections."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import httpx
import pytest
import trio
import trio.testing

from liveserver.client import (
    Bye,
    Disconnected,
    Event,
    Gap,
    Item,
    Omitted,
    ProtocolError,
    Ready,
    Refused,
    Viewers,
    watch,
)
from liveserver.client.items import to_json
from liveserver.client.sources import SILENCE
from liveserver.client.watching import READY_WITHIN, RETRY_LEAST, RETRY_MOST, STREAM_AGAIN, Transport
from tests.client.fakes import (
    Body,
    Servers,
    Step,
    answer,
    block,
    bye,
    cursor,
    event,
    like,
    page,
    problem,
    ready,
    stream,
)

FOREVER = 1e9


async def take(servers: Servers, count: int, **how: Any) -> list[Item]:
    """The first `count` items of v1 from those servers; fewer when it ends."""
    items: list[Item] = []
    how = {"urls": "http://a", "transport": "sse"} | how
    urls = how.pop("urls")
    async with watch(urls, "v1", client=servers.client, **how) as watcher:
        async for item in watcher:
            items.append(item)
            if len(items) == count:
                break
    return items


def numbers(items: list[Item]) -> list[str]:
    return [item.id for item in items if isinstance(item, Event)]


async def test_events_come_as_they_are_sent_with_where_to_resume(
    autojump_clock: trio.testing.MockClock,
) -> None:
    servers = Servers(stream(ready(1), like(2) + like(3), FOREVER))
    first, second, third = await take(servers, 3)
    assert first == Ready(cursor(1), "fe1")
    assert isinstance(second, Event)
    assert (second.id, second.type, second.at, second.cursor) == ("e2", "like", 1763862000002, cursor(2))
    assert isinstance(third, Event)
    assert third.cursor == cursor(3)
    assert servers.asked[0].path == "/v1/videos/v1/events"
    assert servers.asked[0].query == {}


async def test_a_lost_connection_is_resumed_after_the_time_asked_for(
    autojump_clock: trio.testing.MockClock,
) -> None:
    servers = Servers(
        stream(ready(1, retry=2731), like(2), httpx.ReadError("reset")),
        stream(ready(2, resumed=True), like(3), FOREVER),
    )
    items = await take(servers, 5)
    assert items[2] == Disconnected("reset", "http://a", 2.731)
    assert numbers(items) == ["e2", "e3"]
    assert [asked.query.get("cursor") for asked in servers.asked] == [None, cursor(2)]
    assert servers.asked[1].at - servers.asked[0].at == pytest.approx(2.731)


async def test_watching_resumes_at_the_next_url(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(stream(ready(1)), stream(ready(1)), stream(ready(1)))
    await take(servers, 6, urls=["http://a", "http://b/"])
    assert [asked.host for asked in servers.asked] == ["a", "b", "a"]


async def test_an_event_cut_in_the_middle_is_delivered_once(
    autojump_clock: trio.testing.MockClock,
) -> None:
    half = like(3)[:-1]
    servers = Servers(stream(ready(1), like(2) + half), stream(ready(2, resumed=True), like(3), FOREVER))
    assert numbers(await take(servers, 5)) == ["e2", "e3"]
    assert servers.asked[1].query == {"cursor": cursor(2)}


async def test_a_given_cursor_is_where_it_begins(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(httpx.ConnectError("refused"), stream(ready(7, resumed=True), FOREVER))
    await take(servers, 2, cursor=cursor(7))
    assert [asked.query for asked in servers.asked] == [{"cursor": cursor(7)}] * 2


@pytest.mark.parametrize("transport", ["sse", "poll"])
async def test_a_viewer_behind_live_says_so_with_each_request(
    autojump_clock: trio.testing.MockClock, transport: str
) -> None:
    first = stream(ready(1), like(2)) if transport == "sse" else page(1, 2)
    second = stream(ready(2, resumed=True), like(3), FOREVER) if transport == "sse" else page(2, 3)
    servers = Servers(first, second)
    items = await take(servers, 4 if transport == "sse" else 3, transport=transport, behind=12.5)
    assert numbers(items)[-1] == ("e2" if transport == "sse" else "e3")
    assert [asked.query["behind"] for asked in servers.asked] == ["12.500s", "12.500s"]


@pytest.mark.parametrize("behind", [-1.0, float("nan"), float("inf")])
async def test_a_delay_that_is_none_is_refused(behind: float) -> None:
    with pytest.raises(ValueError, match="behind"):
        await take(Servers(), 1, behind=behind)


async def test_a_gap_at_the_start_and_one_later_are_reported_alike(
    autojump_clock: trio.testing.MockClock,
) -> None:
    servers = Servers(stream(ready(4, gap=True), like(5), block("gap", {}, 8), like(9), FOREVER))
    items = await take(servers, 5)
    assert items[0] == Ready(cursor(4), "fe1", gap=True)
    assert items[1] == Gap(cursor(4))
    assert items[3] == Gap(cursor(8))


async def test_viewers_are_yielded_and_unknown_control_words_are_not(
    autojump_clock: trio.testing.MockClock,
) -> None:
    counts = {"video": "v1", "here": 1, "datacenter": 2, "total": 3}
    servers = Servers(stream(ready(1), block("viewers", counts, 1), block("pong", 7, 1), like(2), FOREVER))
    items = await take(servers, 3)
    assert items[1] == Viewers(1, 2, 3)
    assert numbers(items) == ["e2"]


async def test_a_retraction_is_yielded_like_any_event(autojump_clock: trio.testing.MockClock) -> None:
    event = {"id": "r1", "video": "v1", "type": "retract", "at": 1, "data": {"id": "e1"}}
    servers = Servers(stream(ready(1), block("retract", event, 2), FOREVER))
    (item,) = [item for item in await take(servers, 2) if isinstance(item, Event)]
    assert (item.type, item.data, item.cursor) == ("retract", {"id": "e1"}, cursor(2))


async def test_bye_for_good_is_the_end(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(stream(ready(1), bye(1, reconnect=False), FOREVER))
    assert await take(servers, 9) == [Ready(cursor(1), "fe1"), Bye("drain", reconnect=False)]


async def test_bye_for_now_says_when_to_come_back(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(
        stream(ready(1, retry=1000), bye(1, reconnect=True, retry=3300), FOREVER),
        stream(ready(1, resumed=True), FOREVER),
    )
    items = await take(servers, 4)
    assert items[1:3] == [Bye("drain"), Disconnected("the server said bye: drain", "http://a", 3.3)]
    assert servers.asked[1].at - servers.asked[0].at == pytest.approx(3.3)


async def test_bye_of_a_full_node_is_honoured_without_a_ready(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(stream(bye(1, reconnect=True, retry=2500)), stream(ready(1), FOREVER))
    await take(servers, 3, transport="auto")
    assert servers.asked[1].at - servers.asked[0].at == pytest.approx(2.5)
    assert servers.asked[1].path.endswith("/events")


async def test_a_silent_connection_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(stream(ready(1), FOREVER), stream(ready(1, resumed=True), FOREVER))
    began = trio.current_time()
    items = await take(servers, 2)
    assert items[1].reason == "nothing was received for too long"  # type: ignore[union-attr]
    assert trio.current_time() - began == pytest.approx(SILENCE)


async def test_heartbeats_keep_a_quiet_connection(autojump_clock: trio.testing.MockClock) -> None:
    beats: list[Step] = [15.0, b":\n"] * 100
    servers = Servers(stream(ready(1), *beats, like(2), FOREVER))
    assert numbers(await take(servers, 2)) == ["e2"]
    assert len(servers.asked) == 1


async def test_a_server_that_never_answers_is_given_up(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(stream(FOREVER), stream(ready(1), FOREVER))
    began = trio.current_time()
    assert isinstance((await take(servers, 1))[0], Disconnected)
    assert trio.current_time() - began == pytest.approx(SILENCE)


async def test_failures_in_a_row_are_spaced_wider_up_to_a_bound(
    autojump_clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random, "uniform", lambda low, high: high)
    servers = Servers(
        *[httpx.ConnectError("refused")] * 8, stream(ready(1, retry=500)), stream(ready(1), FOREVER)
    )
    items = await take(servers, 11)
    waits = [item.wait for item in items if isinstance(item, Disconnected)]
    assert waits == [1, 2, 4, 8, 16, RETRY_MOST, RETRY_MOST, RETRY_MOST, 0.5]


async def test_a_server_that_ends_each_connection_at_once_is_asked_with_pauses(
    autojump_clock: trio.testing.MockClock,
) -> None:
    """Whatever it says, such as `retry: 0`, which some intermediary may have put there."""
    servers = Servers(*[stream(ready(1, retry=0)) for _ in range(5)], stream(ready(1), FOREVER))
    items = await take(servers, 10)
    waits = [item.wait for item in items if isinstance(item, Disconnected)]
    assert waits == [RETRY_LEAST] * 5


async def test_retry_after_is_a_lower_bound(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(problem(503, "full", retry_after="7"), stream(ready(1), FOREVER))
    items = await take(servers, 2)
    assert isinstance(items[0], Disconnected)
    assert items[0].reason == "503: full"
    assert servers.asked[1].at - servers.asked[0].at >= 7


@pytest.mark.parametrize("transport", ["sse", "poll", "auto"])
async def test_a_permanent_refusal_is_raised(
    autojump_clock: trio.testing.MockClock, transport: Transport
) -> None:
    servers = Servers(problem(400, "a cursor looks like dc1-k3f9a-1532"))
    with pytest.raises(Refused, match="400: a cursor looks like") as caught:
        await take(servers, 1, transport=transport)
    assert caught.value.status == 400


@pytest.mark.parametrize("transport", ["sse", "poll"])
async def test_a_malformed_first_answer_is_raised(
    autojump_clock: trio.testing.MockClock, transport: Transport
) -> None:
    servers = Servers(stream(block("like", {"no": 1}, 1)) if transport == "sse" else answer("hello"))
    with pytest.raises(ProtocolError):
        await take(servers, 1, transport=transport)


async def test_cancelled_in_the_middle_nothing_is_lost(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(
        stream(ready(1), like(2), like(3)[:20], FOREVER), stream(ready(2, resumed=True), like(3), FOREVER)
    )
    seen: list[Item] = []
    async with watch("http://a", "v1", transport="sse", client=servers.client) as watcher:
        with trio.move_on_after(1):
            async for item in watcher:
                seen.append(item)
        assert watcher.cursor == cursor(2)
        seen += [await anext(watcher), await anext(watcher)]
    assert numbers(seen) == ["e2", "e3"]
    assert servers.asked[1].query == {"cursor": cursor(2)}


async def test_polls_begin_at_once_and_then_wait(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(page(1), page(1), page(3, 2, 3))
    items = await take(servers, 3, transport="poll")
    assert items[0] == Ready(cursor(1))
    assert [item.cursor for item in items if isinstance(item, Event)] == [None, cursor(3)]
    assert [asked.query for asked in servers.asked] == [
        {"wait": "0"},
        {"wait": "25", "cursor": cursor(1)},
        {"wait": "25", "cursor": cursor(1)},
    ]


async def test_a_poll_reports_a_gap_before_what_follows_it(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(page(9, 8, 9, gap=True))
    items = await take(servers, 4, transport="poll", cursor=cursor(1))
    assert items[:2] == [Ready(cursor(1), gap=True), Gap(None)]
    assert numbers(items) == ["e8", "e9"]


async def test_polls_from_the_earliest_are_no_resumption(autojump_clock: trio.testing.MockClock) -> None:
    items = await take(Servers(page(2, 1, 2)), 3, transport="poll", cursor="earliest")
    assert items[0] == Ready(None)
    assert numbers(items) == ["e1", "e2"]


async def test_where_no_stream_gets_through_polls_do(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(stream(FOREVER), page(1), page(2, 2))
    items = await take(servers, 3, transport="auto")
    assert [type(item) for item in items] == [Disconnected, Ready, Event]
    assert [asked.path.rpartition("/")[2] for asked in servers.asked] == ["events", "poll", "poll"]
    assert servers.asked[1].at - servers.asked[0].at <= READY_WITHIN + 1


async def test_an_answer_that_is_no_stream_is_followed_by_polls(
    autojump_clock: trio.testing.MockClock,
) -> None:
    servers = Servers(stream(b"<html>", content_type="text/html; charset=utf-8"), page(1))
    items = await take(servers, 2, transport="auto")
    assert items[0].reason == "the answer is text/html, not an event stream"  # type: ignore[union-attr]
    assert items[1] == Ready(cursor(1))


async def test_while_polls_work_a_stream_is_tried_again(autojump_clock: trio.testing.MockClock) -> None:
    def slow_page(at: int, *numbers: int) -> Callable[[httpx.Request], httpx.Response]:
        body = page(at, *numbers)(httpx.Request("GET", "http://a")).content
        return lambda _: httpx.Response(200, stream=Body([25.0, body]))

    servers = Servers(
        stream(FOREVER),
        page(1),
        slow_page(2, 2),
        slow_page(2),
        slow_page(3, 3),
        stream(ready(3, resumed=True), like(4), FOREVER),
    )
    items = await take(servers, 6, transport="auto")
    assert numbers(items) == ["e2", "e3", "e4"]
    assert servers.asked[-1].path.endswith("/events")
    assert servers.asked[-1].query == {"cursor": cursor(3)}
    assert servers.asked[-1].at - servers.asked[0].at >= STREAM_AGAIN


async def test_filtered_watching_resumes_from_a_cursor_that_came_alone(
    autojump_clock: trio.testing.MockClock,
) -> None:
    servers = Servers(
        stream(ready(1), like(2), b"id: %b\n\n" % cursor(9).encode(), httpx.ReadError("broken")),
        stream(ready(9, resumed=True), like(10), FOREVER),
    )
    async with watch("http://a", "v1", client=servers.client, transport="sse", types=["like"]) as watcher:
        async for item in watcher:
            if isinstance(item, Event) and item.id == "e10":
                break
    assert [(asked.query["types"], asked.query.get("cursor")) for asked in servers.asked] == [
        ("like", None),
        ("like", cursor(9)),
    ]


async def test_a_filter_is_asked_for_in_every_poll(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(page(1), page(5), page(7, 7))
    assert numbers(await take(servers, 2, transport="poll", types=["like", "likes"])) == ["e7"]
    assert [asked.query["types"] for asked in servers.asked] == ["like,likes"] * 3
    assert servers.asked[2].query["cursor"] == cursor(5)


async def test_a_sample_is_asked_for_and_says_what_it_leaves_out(
    autojump_clock: trio.testing.MockClock,
) -> None:
    notice = b'id: %b\nevent: omitted\ndata: {"video":"v1","cursor":"%b","omitted":7}\n\n' % (
        (cursor(9).encode(),) * 2
    )
    servers = Servers(
        stream(ready(1), like(2), notice, httpx.ReadError("broken")),
        stream(ready(9, resumed=True), like(10), FOREVER),
    )
    items = await take(servers, 5, transport="sse", rate=5)
    assert items[2] == Omitted(7, cursor(9))
    assert to_json(items[2]) == b'{"cursor":"%b","event":"omitted","data":{"omitted":7,"cursor":"%b"}}' % (
        (cursor(9).encode(),) * 2
    )
    assert [(asked.query["rate"], asked.query.get("cursor")) for asked in servers.asked] == [
        ("5", None),
        ("5", cursor(9)),
    ]
    left_out = answer({"cursor": cursor(9), "gap": False, "omitted": 3, "events": [event(8)]})
    polls = Servers(page(1), left_out, page(9))
    items = await take(polls, 3, transport="poll", rate=5)
    assert [asked.query["rate"] for asked in polls.asked[:2]] == ["5", "5"]
    assert items[-1] == Omitted(3, cursor(9))


async def test_a_filter_is_not_one_text(autojump_clock: trio.testing.MockClock) -> None:
    with pytest.raises(TypeError, match="types"):
        await take(Servers(), 1, types="like")
