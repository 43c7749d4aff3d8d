"""Sweeps over a peer's videos."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from liveserver.config import RelaySettings, convert
from liveserver.dispatcher.relay.backfill import Backfiller, Backlog
from liveserver.dispatcher.relay.membership import Membership
from liveserver.dispatcher.relay.sweeper import Sweeper
from tests.dispatcher.relay.harness import datacenter, lines, publish


async def test_a_sweep_finds_what_is_behind_and_nothing_else(autojump_clock: MockClock) -> None:
    ours, theirs = datacenter("dc1"), datacenter("dc2")
    settings = convert({"sweep_interval": "10s", "full_sweep_interval": "100s"}, RelaySettings)
    added: list[str] = []
    backlog = Backlog(added.append, lambda video: None, lambda: None)
    backfiller = Backfiller("dc2", theirs, ours, 1_000)
    sweeper = Sweeper("dc2", theirs, settings, 900.0, backfiller, backlog)
    membership = Membership("dc2", ours, "n1", 30.0, sweeper.is_reached, sweeper.request)
    await publish(theirs, "v", "a")
    assert not sweeper.is_reached()
    sweeper.request()
    await sweeper.sweep(membership)
    assert sweeper.is_reached()
    assert added == ["v"]
    await backfiller.backfill(backlog)
    assert await lines(ours, "v", "dc2") == ["a"]
    assert backlog.since is None
    added.clear()
    await sweeper.sweep(membership)  # requested by joining the group
    await sweeper.sweep(membership)  # a regular one
    assert added == []
    await publish(theirs, "w", "b")
    begun = trio.current_time()
    await sweeper.sweep(membership)
    assert added == ["w"]
    assert trio.current_time() - begun >= 10
