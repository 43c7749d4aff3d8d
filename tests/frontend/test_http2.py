"""Watching and publishing over HTTP/2: one connection, many streams, and the rules that hold for all."""

from __future__ import annotations

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
import trio
import trio.testing

from tests.edge.authority import Authority
from tests.frontend.http2_harness import over_http2


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_an_event_stream(authority: Authority) -> None:
    async with over_http2(authority) as both, both.watch() as stream:
        headers = stream.response.headers
        assert (headers["content-type"], headers["x-accel-buffering"]) == ("text/event-stream", "no")
        assert "connection" not in headers
        assert len(headers.get_list("date")) == 1
        ready = await stream.event()
        assert ready.type == "ready"
        await both.on.publish(3)
        assert await stream.events(3) == [1, 2, 3]
        assert both.on.frontend.statistics().viewers == 1


async def test_streams_and_polls_are_compressed(authority: Authority) -> None:
    async with over_http2(authority, frontend={"compression": "gzip"}) as both, both.watch() as stream:
        assert stream.response.headers["content-encoding"] == "gzip"
        assert (await stream.event()).type == "ready"
        await both.on.publish(30)
        assert await stream.events(30) == list(range(1, 31))
        page = await both.client.get("/v1/videos/v/poll", params={"cursor": "earliest"})
        assert page.headers["content-encoding"] == "gzip"
        assert len(page.json()["events"]) == 30


async def test_many_streams_on_one_connection(authority: Authority) -> None:
    async with over_http2(authority) as both, AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(both.watch(f"v{n}")) for n in range(20)]
        for stream in streams:
            assert (await stream.event()).type == "ready"
        assert len(both.on.edge.connections) == 21
        for n in range(20):
            await both.on.publish(video=f"v{n}")
        assert [await stream.events(1) for stream in streams] == [[n] for n in range(1, 21)]
        await streams[0].aclose()
        page = await both.client.get("/v1/videos/v1/poll", params={"cursor": "earliest"})
        assert len(page.json()["events"]) == 1


async def test_resuming_over_another_transport_gives_exactly_the_rest(authority: Authority) -> None:
    async with over_http2(authority) as both:
        async with both.watch() as stream:
            await stream.event()
            await both.on.publish(10)
            seen = [await stream.event() for _ in range(4)]
        async with both.watch(headers={"last-event-id": seen[-1].id}) as stream:
            ready = msgspec.json.decode((await stream.event()).data)
            assert (ready["resumed"], ready["gap"]) == (True, False)
            assert await stream.events(6) == [5, 6, 7, 8, 9, 10]
        page = await both.client.get("/v1/videos/v/poll", params={"cursor": seen[-1].id})
        assert [event["n"] for event in page.json()["events"]] == [5, 6, 7, 8, 9, 10]


async def test_json_lines(authority: Authority) -> None:
    async with (
        over_http2(authority) as both,
        both.watch(headers={"accept": "application/x-ndjson"}) as stream,
    ):
        await both.on.publish()
        lines = b""
        while lines.count(b"\n") < 2:
            lines += await anext(stream.chunks)
        assert [msgspec.json.decode(line)["event"] for line in lines.splitlines()] == ["ready", "like"]


async def test_a_gap_is_sent(authority: Authority) -> None:
    async with over_http2(authority, history={"max_events": 10, "ephemeral_types": []}) as both:
        async with both.watch() as stream:
            cursor = (await stream.event()).id
        await both.on.publish(100)
        async with both.watch(params={"cursor": cursor}) as stream:
            assert msgspec.json.decode((await stream.event()).data)["gap"] is True
            first = (await stream.events(1))[0]
            assert first > 1
            assert await stream.events(100 - first) == list(range(first + 1, 101))


async def test_a_poll_waits_for_what_comes(authority: Authority) -> None:
    async with over_http2(authority) as both, trio.open_nursery() as nursery:
        cursor = (await both.client.get("/v1/videos/v/poll")).json()["cursor"]
        pages: list[Any] = []

        async def ask() -> None:
            pages.append((await both.client.get("/v1/videos/v/poll", params={"cursor": cursor})).json())

        nursery.start_soon(ask)
        while not both.on.channel().audience.totals.count:
            await trio.testing.wait_all_tasks_blocked(0.01)
        await both.on.publish()
        while not pages:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert [event["n"] for event in pages[0]["events"]] == [1]


async def test_draining_says_bye_and_ends_the_connection(authority: Authority) -> None:
    async with over_http2(authority, node={"drain_timeout": "200ms"}) as both, both.watch() as stream:
        await stream.event()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(both.on.frontend.drain)
            bye = await stream.event()
            assert (bye.type, msgspec.json.decode(bye.data)["reason"]) == ("bye", "drain")
            assert await stream.is_over()
        async with both.watch() as late:
            assert (await late.event()).type == "bye"
        await both.handoff.end()
        await both.on.edge.finish(5)
        assert not both.on.edge.connections


async def test_a_full_node_says_so(authority: Authority) -> None:
    async with over_http2(authority, edge={"max_connections": 3}) as both, AsyncExitStack() as stack:
        both.on.frontend.is_full = lambda: both.on.edge.is_full
        for _ in range(2):
            stream = await stack.enter_async_context(both.watch())
            assert (await stream.event()).type == "ready"
        stream = await stack.enter_async_context(both.watch())
        assert msgspec.json.decode((await stream.event()).data)["reason"] == "overload"
        assert (await both.client.get("/v1/videos/v/poll")).status_code == 503


async def test_a_reset_stream_is_removed(authority: Authority) -> None:
    async with over_http2(authority) as both:
        async with both.watch() as stream, both.watch() as other:
            await stream.event()
            await other.event()
        await both.client.aclose()
        while both.on.edge.connections:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert both.on.frontend.statistics().viewers == 0


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/videos/-/events", 400),
        ("GET", "/v1/videos/v/events?cursor=x", 400),
        ("GET", "/v1/videos/v/events?nonsense=1", 400),
        ("DELETE", "/v1/videos/v/events", 405),
        ("GET", "/v1/videos/v/events?cursor=" + "x" * 20_000, 431),
        ("GET", "/", 200),
        ("GET", "/liveserver.js", 200),
        ("GET", "/nothing", 404),
        ("POST", "/nothing", 404),
    ],
)
async def test_refusals_and_ordinary_pages_over_http2(
    authority: Authority, method: str, path: str, status: int
) -> None:
    async with over_http2(authority) as both:
        answer = await both.client.request(method, path)
        assert (answer.status_code, answer.http_version) == (status, "HTTP/2")
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["status"] == status


async def test_pages_of_other_origins_are_answered_as_elsewhere(authority: Authority) -> None:
    async with over_http2(authority, edge={"allow_origins": ["https://a.example"]}) as both:
        origin = {"origin": "https://a.example"}
        asked = {**origin, "access-control-request-method": "GET"}
        preflight = await both.client.options("/v1/videos/v/events", headers=asked)
        assert preflight.headers["access-control-allow-origin"] == "https://a.example"
        for path in ("/v1/videos/v/poll", "/v1/videos/v/poll?limit=0"):
            answer = await both.client.get(path, headers=origin)
            assert answer.headers["access-control-allow-origin"] == "https://a.example"


async def test_a_client_without_alpn_gets_http1(authority: Authority) -> None:
    async with (
        over_http2(authority) as both,
        httpx.AsyncClient(
            http2=False, verify=authority.trust(), base_url=both.client.base_url, trust_env=False
        ) as client,
    ):
        answer = await client.get("/v1/videos/v/poll")
        assert (answer.status_code, answer.http_version) == (200, "HTTP/1.1")


# What a connection may cost
