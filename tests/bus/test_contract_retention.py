"""Retention by kind, which every bus keeps: ephemeral events have a bound of their own, and those
that are absent are never taken for a loss."""

from __future__ import annotations

import itertools
from typing import Any

import msgspec

from liveserver.bus.interface import AppendRequest, AppendResult, ReplicaPosition, ReplicationBatch, Slice
from tests.bus.harness import OpenBus, WholeBus

KINDS: dict[str, Any] = {"max_events": 200, "ephemeral_types": ["like"], "ephemeral_events": 300}
SLACK = 100  # events that a bus may hold beyond its bounds
_tokens = itertools.count(1)


async def append(bus: WholeBus, *kinds: str, video: str = "v") -> AppendResult:
    lines = [f"{kind} {{}}".encode() for kind in kinds]
    (result,) = await bus.append([AppendRequest(video, f"r{next(_tokens)}", lines, [None] * len(lines))])
    return result


async def read_all(bus: WholeBus, after: int = 0, limit: int = 100) -> Slice:
    """Read a log page by page; the pages as one slice."""
    batches, oldest = [], 0
    while True:
        part = await bus.read("v", after, limit)
        assert sum(len(batch.lines) for batch in part.batches) <= limit
        oldest = oldest or part.oldest
        batches += part.batches
        assert part.end > after or part.end == part.head.offset
        after = part.end
        if after >= part.head.offset:
            return msgspec.structs.replace(part, oldest=oldest, batches=batches)


def kinds(part: Slice) -> dict[str, list[int]]:
    """The offsets of the events of each type."""
    found: dict[str, list[int]] = {}
    for batch in part.batches:
        for offset, line in enumerate(batch.lines, batch.first):
            found.setdefault(line.partition(b" ")[0].decode(), []).append(offset)
    return found


def losses(part: Slice, origin: str, number: int) -> list[tuple[int, int]]:
    """Where a reader that has come to the origin's `number` finds that more than ephemeral events is gone."""
    found = []
    for batch in part.batches:
        if batch.origin == origin:
            if batch.after > number:
                found.append((number, batch.after))
            number = batch.number + len(batch.lines) - 1
    assert part.head.kept is not None
    mark, kept = part.head.cursor.get(origin), part.head.kept.get(origin)
    assert mark is not None
    assert kept is not None
    assert kept.number <= mark.number
    return found + ([(number, kept.number)] if kept.number > number else [])


async def test_a_storm_of_likes_leaves_the_comments(open_bus: OpenBus) -> None:
    async with open_bus(**KINDS) as bus:
        for _ in range(20):
            await append(bus, "comment", *["like"] * 100)
        whole = await read_all(bus)
        found = kinds(whole)
        assert found["comment"] == list(range(1, 2020, 101))
        assert 300 <= len(found["like"]) <= 300 + SLACK
        assert found["like"] == list(range(2021 - len(found["like"]), 2021)) or found["like"][-1] == 2020
        assert (whole.oldest, whole.head.offset) == (1, 2020)
        assert losses(whole, "dc1", 0) == []
        assert losses(await read_all(bus, 1000), "dc1", 1000) == []


async def test_others_are_bounded_by_themselves(open_bus: OpenBus) -> None:
    async with open_bus(**KINDS) as bus:
        await append(bus, *["like"] * 20)
        for _ in range(60):
            await append(bus, *["comment"] * 10)
        whole = await read_all(bus)
        found = kinds(whole)
        assert 200 <= len(found["comment"]) <= 200 + SLACK
        assert found["like"] == list(range(1, 21))
        assert whole.oldest == found["comment"][0]
        lost = found["comment"][0] - 1
        assert losses(whole, "dc1", 20) == [(20, lost)]
        assert losses(await read_all(bus, lost), "dc1", lost) == []


async def test_the_head_says_whether_events_after_the_last_kept_one_are_gone(open_bus: OpenBus) -> None:
    """Of one origin nothing is left, since the others' likes have pushed it out."""
    async with open_bus(**KINDS) as bus:
        await append(bus, "comment", "like", "like")
        for start in range(1, 1000, 100):
            lines = [b"like {}"] * 100
            await bus.relay([ReplicationBatch("v", "dc2", "aaaaa", start, 10 * start, lines)])
        whole = await read_all(bus)
        assert losses(whole, "dc1", 0) == losses(whole, "dc1", 1) == []
        assert losses(whole, "dc2", 0) == []
        assert str(whole.head.kept).endswith("-1~dc2-aaaaa-0")


async def test_relayed_gaps_of_ephemeral_events_are_not_jumps(open_bus: OpenBus) -> None:
    async with open_bus(**KINDS) as bus:
        comments = [b"comment {}"]

        def relayed(number: int, since: int | None, lines: list[bytes] = comments) -> ReplicationBatch:
            return ReplicationBatch("v", "dc2", "aaaaa", number, 10 * number, lines, since=since)

        stood = await bus.relay([relayed(5, 0), relayed(50, 5), relayed(90, 60), relayed(50, 5)])
        assert [place.number for place in stood] == [
            5,
            50,
            50,
            50,
        ]  # between 50 and 61 another one is missing
        assert losses(await read_all(bus), "dc2", 0) == []
        jump = msgspec.structs.replace(relayed(90, 60), instead=stood[-1])
        (place,) = await bus.relay([jump])
        assert place == ReplicaPosition(stood[-1].log, "aaaaa", 90, 900)
        await bus.relay([relayed(91, None, [b"like {}"] * 500), relayed(591, None)])
        whole = await read_all(bus)
        assert [batch.after for batch in whole.batches if batch.number in (5, 50, 90, 591)][:3] == [0, 5, 60]
        assert losses(whole, "dc2", 0) == [(50, 60)]
        assert losses(await read_all(bus, 3), "dc2", 90) == []
        assert kinds(whole)["comment"] == [1, 2, 3, 504]


async def test_leases_say_which_events_were_ephemeral(bus: WholeBus) -> None:
    await append(bus, "comment", "like", "like")
    head = (await bus.subscribe("n", {"v": 1}, 30))["v"].head
    assert head.kept is not None
    assert str(head.kept).endswith("-1")
    assert str(head.cursor).endswith("-3")
