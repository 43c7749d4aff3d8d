"""A request goes from server to server until one has answered it, and no longer than it may take."""

from __future__ import annotations

import httpx
import pytest
import trio
from trio.testing import MockClock

from liveserver.client import Refused, Unreachable
from liveserver.client.requests import ANSWER_TIMEOUT, GIVE_UP_AFTER, Answer, open_client, request
from tests.client.fakes import Servers, answer, problem


async def test_servers_are_asked_in_turn_from_the_first(autojump_clock: MockClock) -> None:
    servers = Servers(problem(503, "busy"), httpx.ConnectError("refused"), problem(500, ""), answer([1]))
    found = await request(servers.client, "PUT", ["http://a/", "http://b", "http://c/"], "/x", body=b"1")
    assert found == Answer("http://a/x", b"[1]", 4)
    assert [asked.host for asked in servers.asked] == ["a", "b", "c", "a"]
    assert [asked.body for asked in servers.asked] == [1] * 4


async def test_each_failure_is_reported_with_the_pause_that_follows(autojump_clock: MockClock) -> None:
    servers = Servers(problem(503, "busy", retry_after="7"), httpx.ReadError(""), answer([]))
    seen: list[tuple[str, float]] = []
    await request(servers.client, "GET", "http://a", "/x", on_failure=lambda *said: seen.append(said))
    assert [reason for reason, _ in seen] == ["503: busy", "ReadError"]
    first, second, third = [asked.at for asked in servers.asked]
    assert [second - first, third - second] == pytest.approx([pause for _, pause in seen])
    assert second - first >= 7


async def test_a_final_answer_is_not_asked_for_again(autojump_clock: MockClock) -> None:
    servers = Servers(problem(404, "no such video"))
    with pytest.raises(Refused, match="no such video"):
        await request(servers.client, "GET", ["http://a", "http://b"], "/x")
    assert len(servers.asked) == 1


async def test_it_gives_up_rather_than_wait_beyond_its_time(autojump_clock: MockClock) -> None:
    servers = Servers(*[problem(503, "busy")] * 1_000)
    begun = trio.current_time()
    with pytest.raises(Unreachable, match=r"http://a/x: 503: busy; gave up after \d+ attempts"):
        await request(servers.client, "GET", "http://a", "/x")
    assert GIVE_UP_AFTER / 2 < trio.current_time() - begun <= GIVE_UP_AFTER
    asked_to_wait = Servers(problem(503, "busy", retry_after="60"))
    with pytest.raises(Unreachable, match="after 1 attempts"):
        await request(asked_to_wait.client, "GET", "http://a", "/x", give_up_after=30)


async def test_a_server_that_does_not_answer_is_left_for_the_next(autojump_clock: MockClock) -> None:
    async def handle(request: httpx.Request) -> httpx.Response:
        if request.url.host == "silent":
            await trio.sleep_forever()
        return httpx.Response(200, content=b"here")

    client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    begun = trio.current_time()
    found = await request(client, "GET", ["http://silent", "http://b"], "/x")
    assert (found.content, found.attempts) == (b"here", 2)
    assert ANSWER_TIMEOUT <= trio.current_time() - begun < ANSWER_TIMEOUT + 1


async def test_without_servers_there_is_none_to_ask() -> None:
    with pytest.raises(ValueError, match="at least one URL"):
        await request(Servers().client, "GET", [], "/x")


async def test_a_given_client_stays_open_and_an_own_one_is_closed() -> None:
    states: list[bool] = []
    given = httpx.AsyncClient()
    async with open_client(given) as client:
        assert client is given
    states.append(given.is_closed)
    async with open_client(None) as own:
        states.append(own.is_closed)
    states.append(own.is_closed)
    assert states == [False, False, True]
    await given.aclose()


async def test_only_a_body_has_a_type() -> None:
    seen: list[httpx.Headers] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(200)

    client = httpx.AsyncClient(transport=httpx.MockTransport(handle))
    headers = {"x-own": "1"}
    await request(client, "POST", "http://a", "/x", body=b"{}", headers=headers)
    await request(client, "DELETE", "http://a", "/x", headers=headers)
    assert [each.get("content-type") for each in seen] == ["application/json", None]
    assert [each.get("x-own") for each in seen] == ["1", "1"]
    assert headers == {"x-own": "1"}
