"""Viewers' tokens at the client, and their renewal."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import trio
import trio.testing

from liveserver.client import Event, Refused, Token, publish, watch
from tests.client.fakes import Servers, answer, bye, cursor, like, page, problem, ready, stream

EXPIRED = problem(401, "the token has expired; get a new one")
BYE = bye(2, reconnect=True, reason="expired", retry=1000)


async def ids(servers: Servers, token: Token, count: int, transport: str = "sse") -> list[str]:
    found: list[str] = []
    async with watch("http://a", "v1", client=servers.client, token=token, transport=transport) as items:  # type: ignore[arg-type]  # one of the words
        async for item in items:
            if isinstance(item, Event):
                found.append(item.id)
                if len(found) == count:
                    break
    return found


class Desk:
    """Gives out tokens, one after the other."""

    def __init__(self) -> None:
        self._numbers: Iterator[int] = iter(range(1, 100))

    async def ask(self) -> str:
        await trio.lowlevel.checkpoint()
        return f"token-{next(self._numbers)}"


def shown(servers: Servers) -> list[str | None]:
    return [asked.authorization for asked in servers.asked]


async def test_a_token_is_shown_with_every_request(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(stream(ready(1), like(2)), stream(ready(2), like(3)))
    assert await ids(servers, "mine", 2) == ["e2", "e3"]
    assert shown(servers) == ["Bearer mine", "Bearer mine"]
    polls = Servers(page(1), page(2, 2))
    assert await ids(polls, "mine", 1, "poll") == ["e2"]
    assert shown(polls) == ["Bearer mine", "Bearer mine"]


async def test_after_it_has_expired_another_is_asked_for_and_nothing_is_lost(
    autojump_clock: trio.testing.MockClock,
) -> None:
    servers = Servers(stream(ready(1), like(2), BYE), stream(ready(2), like(3)), stream(ready(3), like(4)))
    assert await ids(servers, Desk().ask, 3) == ["e2", "e3", "e4"]
    assert shown(servers) == ["Bearer token-1", "Bearer token-2", "Bearer token-2"]
    assert servers.asked[1].query == {"cursor": cursor(2)}


@pytest.mark.parametrize("transport", ["sse", "poll"])
async def test_a_refusal_of_one_that_has_worked_is_a_reason_to_ask(
    transport: str, autojump_clock: trio.testing.MockClock
) -> None:
    if transport == "sse":
        servers = Servers(stream(ready(1)), EXPIRED, stream(ready(1), like(2)))
    else:
        servers = Servers(page(1), EXPIRED, page(1), page(2, 2))
    assert await ids(servers, Desk().ask, 1, transport) == ["e2"]
    assert shown(servers)[:3] == ["Bearer token-1", "Bearer token-1", "Bearer token-2"]


async def test_a_token_that_stays_invalid_is_refused(
    autojump_clock: trio.testing.MockClock,
) -> None:
    for token in (Desk().ask, "mine"):
        with pytest.raises(Refused, match="has expired"):
            await ids(Servers(EXPIRED), token, 1)
    with pytest.raises(Refused, match="has expired"):
        await ids(Servers(stream(ready(1), BYE), EXPIRED), "mine", 1)
    with pytest.raises(Refused, match="has expired"):
        await ids(Servers(stream(ready(1), BYE), EXPIRED), Desk().ask, 1)


async def test_a_function_may_as_well_answer_at_once(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(stream(ready(1), like(2)))
    assert await ids(servers, lambda: "mine", 1) == ["e2"]


async def test_a_publisher_shows_its_key() -> None:
    servers = Servers(answer({"accepted": 1, "duplicates": 0, "cursor": cursor(1)}))
    await publish("http://a", "v1", [{"type": "like"}], client=servers.client, key="mine")
    assert shown(servers) == ["Bearer mine"]
