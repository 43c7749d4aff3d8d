"""Where a viewer begins, and what it is sent first."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from trio.testing import MockClock

from tests.frontend.harness import settings, stage


@pytest.mark.parametrize("how", ["header", "query", "both"])
async def test_resuming_gives_exactly_the_rest(autojump_clock: MockClock, how: str) -> None:
    async with stage() as on:
        await on.ready()
        receipt = await on.publish(5)
        cursor, other = f"dc1-{receipt.epoch}-2", f"dc1-{receipt.epoch}-4"
        query = {"header": "", "query": f"?cursor={cursor}", "both": f"?cursor={other}"}[how]
        headers = [] if how == "query" else [f"Last-Event-ID: {cursor}"]
        client, ready = await on.ready("v", query, *headers)
        assert (ready["resumed"], ready["gap"], ready["cursor"]) == (True, False, cursor)
        assert await client.events(3) == [3, 4, 5]
        await on.publish()
        assert await client.events(1) == [6]


async def test_resuming_on_a_node_that_did_not_watch_reads_the_log(autojump_clock: MockClock) -> None:
    async with stage() as on:
        receipt = await on.publish(5)
        client, ready = await on.ready("v", f"?cursor=dc1-{receipt.epoch}-2")
        assert ready["resumed"]
        assert await client.events(3) == [3, 4, 5]


async def test_resuming_beyond_the_log_is_a_gap(autojump_clock: MockClock) -> None:
    configured = settings(history={"max_events": 3, "ephemeral_types": []})
    async with stage(configured) as on:
        receipt = await on.publish(5)
        client, ready = await on.ready("v", f"?cursor=dc1-{receipt.epoch}-1")
        assert (ready["resumed"], ready["gap"], ready["cursor"]) == (False, True, f"dc1-{receipt.epoch}-2")
        assert await client.events(3) == [3, 4, 5]


async def test_a_cursor_of_another_epoch_gets_a_gap(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.publish(2)
        client, ready = await on.ready("v", "?cursor=dc1-zzzzz-1")
        assert (ready["resumed"], ready["gap"]) == (False, True)
        assert await client.events(2) == [1, 2]


async def test_a_cursor_beyond_the_log_is_made_up(autojump_clock: MockClock) -> None:
    async with stage() as on:
        receipt = await on.publish(2)
        client, ready = await on.ready("v", f"?cursor=dc1-{receipt.epoch}-999")
        assert (ready["resumed"], ready["gap"]) == (False, True)
        assert await client.events(2) == [1, 2]


async def test_events_seen_at_another_datacenter_are_withheld(
    autojump_clock: MockClock,
) -> None:
    async with stage() as on:
        receipt = await on.publish(2)
        seen = f"dc1-{receipt.epoch}-1~dc2-zzzzz-7"
        client, ready = await on.ready("v", f"?cursor={seen}")
        assert (ready["resumed"], ready["cursor"]) == (True, seen)
        event = await client.event()
        assert event.id == f"dc1-{receipt.epoch}-2~dc2-zzzzz-7"
        await on.publish(1)
        assert (await client.event()).id == f"dc1-{receipt.epoch}-3~dc2-zzzzz-7"


@pytest.mark.parametrize("count", [1, 12])
async def test_viewers_from_a_datacenter_without_events_are_level_at_once(
    autojump_clock: MockClock, count: int
) -> None:
    """Nothing of it can come twice: they wait for nothing, and are sent no gap after a while."""
    async with stage() as on:
        receipt = await on.publish(2)
        seen = f"dc1-{receipt.epoch}-1~dc2-zzzzz-0"
        clients = [(await on.ready("v", f"?cursor={seen}"))[0] for _ in range(count)]
        for client in clients:
            assert await client.events(1) == [2]
        assert on.frontend.statistics().lagging == 0
        await trio.sleep(40)
        await on.publish(1)
        for client in clients:
            event = await client.event()
            assert (event.type, event.id) == ("like", f"dc1-{receipt.epoch}-3")
        assert on.frontend.statistics().fanout.gaps == 0


async def test_earliest_and_replay(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.publish(5)
        earliest, _ = await on.ready("v", "?cursor=earliest")
        assert await earliest.events(5) == [1, 2, 3, 4, 5]
        replay, ready = await on.ready("v", "?replay=2")
        assert await replay.events(2) == [4, 5]
        assert not ready["resumed"]
        now, _ = await on.ready("v", "?cursor=now")
        await on.publish()
        assert await now.events(1) == [6]


async def test_ready_says_that_a_gap_follows_later(autojump_clock: MockClock) -> None:
    async with stage() as on:
        stays, _ = await on.ready()
        epoch = (await on.publish(3)).epoch
        assert await stays.events(3) == [1, 2, 3]
        await on.relay_after_gap(b'like {"n":4}', 8)
        assert [(await stays.event()).type for _ in range(2)] == ["gap", "like"]
        for number, follow in ((1, ["like", "like", "gap", "like"]), (3, ["like"])):
            client, ready = await on.ready("v", f"?cursor=dc1-{epoch}-{number}")
            assert (ready["resumed"], ready["gap"]) == (False, True)
            assert [(await client.event()).type for _ in follow] == follow
