"""Videos that are behind, and their missing events."""

from __future__ import annotations

from collections.abc import Collection

import pytest
from trio.testing import MockClock

from liveserver.bus.interface import ReplicaPosition, ReplicationBatch
from liveserver.cursor import Mark
from liveserver.dispatcher.relay import backfill
from liveserver.dispatcher.relay.backfill import Backfiller, Backlog, contains, missing_events
from tests.dispatcher.relay.harness import datacenter, lines, publish


async def test_the_backlog_is_bounded(autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backfill, "MAX_BACKLOG", 2)
    held, level, full = list[str](), list[str](), list[bool]()
    backlog = Backlog(held.append, level.append, lambda: full.append(True))
    backlog.add(["a", "b", "c"])
    assert (held, full) == (["a", "b"], [True])
    assert await backlog.next_videos() == ["a", "b"]
    waiting_since = [backlog.since]
    for video in held:
        backlog.remove(video)
    await backlog.wait_empty()
    assert level == ["a", "b"]
    waiting_since.append(backlog.since)
    assert [since is None for since in waiting_since] == [False, True]
    assert "a" not in backlog


async def test_missing_events_are_read_from_the_peers_log(autojump_clock: MockClock) -> None:
    ours, theirs = datacenter("dc1"), datacenter("dc2")
    for video in ("v", "w"):
        await publish(theirs, video, *(f"{number}" for number in range(25)))
    backlog = Backlog(lambda video: None, lambda video: None, lambda: None)
    backlog.add(["v", "w"])
    backfiller = Backfiller("dc2", theirs, ours, 4)
    await backfiller.backfill(backlog)
    for video in ("v", "w"):
        assert await lines(ours, video, "dc2") == [f"{number}" for number in range(25)]
    assert (backfiller.backfills, backfiller.relayed, backfiller.gaps) == (2, 50, 0)


async def test_a_log_without_losses_needs_no_state(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each batch begins where the last one ended, in one part of the log and over several."""
    ours, theirs = datacenter("dc1"), datacenter("dc2")
    for number in range(5):
        await publish(theirs, "v", f"{number} a", f"{number} b", f"{number} c")
    asked = list[Collection[str]]()
    states = theirs.states

    async def count_states(videos: Collection[str]) -> dict[str, list[bytes]]:
        asked.append(videos)
        return await states(videos)

    monkeypatch.setattr(theirs, "states", count_states)
    backlog = Backlog(lambda video: None, lambda video: None, lambda: None)
    backfiller = Backfiller("dc2", theirs, ours, 6)
    backlog.add(["v"])
    await backfiller.backfill(backlog)
    await publish(theirs, "v", "more", "and more")
    await publish(theirs, "v", "the last")
    asked.clear()
    backlog.add(["v"])
    await backfiller.backfill(backlog)
    assert (await lines(ours, "v", "dc2"))[-3:] == ["more", "and more", "the last"]
    assert asked == []


def test_positions_are_compared_by_epoch_and_number() -> None:
    position = ReplicaPosition("o", "e1", 5)
    assert contains(position, ReplicationBatch("v", "dc2", "e1", 4, 9, [b"a", b"b"]))
    assert not contains(position, ReplicationBatch("v", "dc2", "e1", 5, 9, [b"a", b"b"]))
    assert not contains(position, ReplicationBatch("v", "dc2", "e2", 1, 9, [b"a"]))
    heads = [None, Mark("e1", 5), Mark("e1", 7), Mark("e2", 3)]
    assert [missing_events(position, head) for head in heads] == [0, 0, 2, 3]
