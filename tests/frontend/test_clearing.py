"""A cleared user's comments are not sent, in whatever order clearing and comments arrive."""

from __future__ import annotations

import pytest
from trio.testing import MockClock

from liveserver.bus.interface import AppendRequest
from tests.frontend.harness import Stage, stage

CLEAR = b';clear;clear/ada;-;50; {"id":"c","at":50,"key":"clear/ada","data":{"user":"ada"}}'


def said(number: int, user: str = "ada", at: int = 10) -> bytes:
    return b'comment {"id":"x%d","video":"v","type":"comment","user":"%b","at":%d,"data":{"text":"t%d"}}' % (
        number,
        user.encode(),
        at,
        number,
    )


async def publish(on: Stage, *lines: bytes) -> None:
    token = f"t{lines[0]!r}"
    await on.bus.append([AppendRequest("v", token, list(lines), [None] * len(lines), is_keyed=True)])


async def shown(on: Stage) -> list[str]:
    """The texts that one who replays is shown."""
    client = on.connect()
    await client.get("/v1/videos/v/poll?cursor=earliest")
    events = (await client.json())["events"]
    return [event["data"]["text"] for event in events if event.get("type") == "comment"]


@pytest.mark.parametrize("is_watched", [True, False])
async def test_comments_before_a_clearing_are_retracted_and_later_ones_kept(
    is_watched: bool, autojump_clock: MockClock
) -> None:
    async with stage() as on:
        if is_watched:
            await on.ready()
        await publish(on, said(1), said(2, "bob"))
        await publish(on, CLEAR)
        await publish(on, said(3, at=60))
        assert await shown(on) == ["t2", "t3"]


async def test_comments_written_before_a_clearing_and_received_later_are_retracted(
    autojump_clock: MockClock,
) -> None:
    async with stage() as on:
        await on.ready()
        await publish(on, CLEAR)
        await on.relay_after_gap(said(1, at=49), 1)
        assert await shown(on) == []


async def test_a_clearing_that_only_the_state_has_holds_behind_a_gap(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client, _ = await on.ready()
        await publish(on, said(1), said(2, "bob"))
        await on.bus.merge_states({"v": [CLEAR]})
        await on.relay_after_gap(b'like {"n":1}', 7)
        while (await client.event()).type != "gap":
            pass
        assert await shown(on) == ["t2"]
