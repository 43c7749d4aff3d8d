"""Malformed data costs at most one event; watching continues."""

from __future__ import annotations

import httpx
import msgspec
import pytest
import trio
import trio.testing

from liveserver.client import Event, Gap, Ready
from liveserver.client.watching import Transport
from tests.client.fakes import Answer, Servers, cursor, like, page, problem, ready, stream
from tests.client.test_watching import FOREVER, numbers, take

BAD_DATA = [b"1e999", b"-1e999", b"9" * 5000]
DEEP = b"[" * 5000 + b"]" * 5000
BAD_EVENTS = [
    b"{",
    b'{"no":1}',
    b'{"id":1,"video":"v1","type":"like"}',
    b'{"id":"e2","video":"v1","type":"like","at":1e999}',
    b'{"id":"e2","video":"v1","type":"like","at":' + b"9" * 5000 + b"}",
    b"\xff",
    b"null",
    b'{"id":"e2","video":"v1","type":"like","data":' + DEEP + b"}",
]


def raw_block(kind: str, data: bytes, at: int) -> bytes:
    return b"id: %b\nevent: %b\ndata: %b\n\n" % (cursor(at).encode(), kind.encode(), data)


def raw_event(number: int, data: bytes) -> bytes:
    return b'{"id":"e%d","video":"v1","type":"like","at":1,"data":%b}' % (number, data)


def raw_page(at: int, *events: bytes) -> Answer:
    body = b'{"cursor":"%b","gap":false,"events":[%b]}' % (cursor(at).encode(), b",".join(events))
    return lambda _: httpx.Response(200, content=body)


@pytest.mark.parametrize("data", BAD_DATA, ids=lambda data: data[:6].decode())
@pytest.mark.parametrize("transport", ["sse", "poll"])
async def test_data_that_python_cannot_hold_comes_as_its_text(
    autojump_clock: trio.testing.MockClock, transport: Transport, data: bytes
) -> None:
    evil = raw_event(2, data)
    if transport == "sse":
        servers = Servers(stream(ready(1), raw_block("like", evil, 2), like(3), FOREVER))
    else:
        servers = Servers(page(1), raw_page(3, evil, raw_event(3, b"1")))
    items = await take(servers, 3, transport=transport)
    assert numbers(items) == ["e2", "e3"]
    held = items[1].data  # type: ignore[union-attr]
    assert isinstance(held, msgspec.Raw)
    assert bytes(held) == data


@pytest.mark.parametrize("event", BAD_EVENTS, ids=range(len(BAD_EVENTS)))
@pytest.mark.parametrize("transport", ["sse", "poll"])
async def test_an_event_that_is_none_is_a_gap_and_the_next_one_follows(
    autojump_clock: trio.testing.MockClock, transport: Transport, event: bytes
) -> None:
    if transport == "sse":
        servers = Servers(stream(ready(1), raw_block("like", event, 2), like(3), FOREVER))
    elif event in (b"{", b"\xff") or DEEP in event:
        servers = Servers(page(1), raw_page(2, event), page(3, 3))  # the whole answer is none
    else:
        servers = Servers(page(1), raw_page(3, event, raw_event(3, b"1")))
    ready_item, gap, last = await take(servers, 3, transport=transport)
    assert isinstance(ready_item, Ready)
    assert gap in (Gap(cursor(2)), Gap(None))
    assert isinstance(last, Event)
    assert last.cursor == cursor(3)
    assert len(servers.asked) <= 3


@pytest.mark.parametrize("transport", ["sse", "poll"])
async def test_a_malformed_stream_is_retried_once_a_server_has_answered(
    autojump_clock: trio.testing.MockClock, transport: Transport
) -> None:
    """A proxy's page in between, say."""
    html = stream(b"<html>", content_type="text/html")
    if transport == "sse":
        broken = stream(raw_block("ready", b'{"cursor":[]}', 1), FOREVER)
        servers = Servers(stream(ready(1)), html, broken, stream(ready(1), like(2), FOREVER))
    else:
        servers = Servers(page(1), html, page(1), page(2, 2))
    items = await take(servers, 7 if transport == "sse" else 4, transport=transport)
    assert numbers(items) == ["e2"]


@pytest.mark.parametrize("asked_for", ["999999999999999", "86400000"])
async def test_a_server_cannot_send_the_client_away_for_good(
    autojump_clock: trio.testing.MockClock, asked_for: str
) -> None:
    retry = b"retry: %b\n" % asked_for.encode()
    servers = Servers(stream(retry + ready(1)), stream(ready(1), like(2), FOREVER))
    begun = trio.current_time()
    assert numbers(await take(servers, 4)) == ["e2"]
    assert trio.current_time() - begun <= 300
    servers = Servers(problem(503, "later", retry_after=asked_for), stream(ready(1), like(2), FOREVER))
    begun = trio.current_time()
    assert numbers(await take(servers, 3)) == ["e2"]
    assert trio.current_time() - begun <= 400
