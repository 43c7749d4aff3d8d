"""Publishing over HTTP: failover to the next dispatcher; refusals are passed on."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial

import httpx
import pytest
import trio
import trio.testing

from liveserver.auth.nodes import UNSIGNED
from liveserver.dispatcher_client.addresses import DispatcherAddresses
from liveserver.dispatcher_client.publish import PublishClient
from liveserver.errors import BadRequest, DispatcherError

Handler = Callable[[httpx.Request], Coroutine[None, None, httpx.Response]]


def dispatchers(handler: Handler, *hosts: str) -> PublishClient:
    addresses = DispatcherAddresses([f"http://{host}/" for host in hosts])
    return PublishClient(httpx.MockTransport(handler), addresses, 3.0, UNSIGNED)


async def test_the_client_stays_with_a_dispatcher_that_answers() -> None:
    asked: list[str] = []

    async def handler(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        assert request.headers["content-type"] == "application/json"
        return httpx.Response(202)

    one = dispatchers(handler, "a", "b", "c")
    for retractions in (False, False, True):
        await one.publish(b"[]", retractions=retractions)
    assert len({url.split("/")[2] for url in asked}) == 1
    assert [url.partition("/v1")[2] for url in asked] == ["/events", "/events", "/retractions"]


@pytest.mark.parametrize("failure", ["status", "connection", "silence"])
async def test_the_next_one_when_one_fails(failure: str, autojump_clock: trio.testing.MockClock) -> None:
    asked: list[str] = []

    async def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.host == "good":
            return httpx.Response(202)
        if failure == "connection":
            raise httpx.ConnectError("refused")
        if failure == "silence":
            await trio.sleep_forever()
        return httpx.Response(503)

    one = dispatchers(handler, "bad", "good")
    for _ in range(3):
        await one.publish(b"[]", retractions=False)
    assert asked[-2:] == ["good", "good"]
    alone = dispatchers(handler, "bad", "worse")
    with pytest.raises(DispatcherError, match=r"http://(bad|worse)/v1/events"):
        await alone.publish(b"[]", retractions=False)


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        (httpx.Response(400, json={"detail": "event 2: no"}), "event 2: no"),
        (httpx.Response(413, content=b"<html>"), "status 413"),
        (httpx.Response(400, json={"detail": 7}), "status 400"),
    ],
)
async def test_a_refusal_is_passed_on(answer: httpx.Response, detail: str) -> None:
    async def handler(_: httpx.Request) -> httpx.Response:
        return answer

    with pytest.raises(BadRequest) as caught:
        await dispatchers(handler, "a").publish(b"[]", retractions=False)
    assert caught.value.detail == detail


async def test_two_requests_that_fail_at_once_both_leave_the_one_that_is_gone() -> None:
    both, asked = trio.Event(), []

    async def handler(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.host)
        if request.url.host == first:
            if asked.count(first) == 2:
                both.set()
            await both.wait()
            return httpx.Response(503)
        return httpx.Response(202)

    client = dispatchers(handler, "a", "b")
    first = (client._dispatchers.first or "").removeprefix("http://")
    async with trio.open_nursery() as nursery:
        for _ in range(2):
            nursery.start_soon(partial(client.publish, b"[]", retractions=False))
    assert asked[2:] == [name for name in ("a", "b") if name != first] * 2
    await client.publish(b"[]", retractions=False)
    assert asked[-1] != first
