"""Videos that are behind, and their missing events."""

from __future__ import annotations

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


def test_positions_are_compared_by_epoch_and_number() -> None:
    position = ReplicaPosition("o", "e1", 5)
    assert contains(position, ReplicationBatch("v", "dc2", "e1", 4, 9, [b"a", b"b"]))
    assert not contains(position, ReplicationBatch("v", "dc2", "e1", 5, 9, [b"a", b"b"]))
    assert not contains(position, ReplicationBatch("v", "dc2", "e2", 1, 9, [b"a"]))
    heads = [None, Mark("e1", 5), Mark("e1", 7), Mark("e2", 3)]
    assert [missing_events(position, head) for head in heads] == [0, 0, 2, 3]
