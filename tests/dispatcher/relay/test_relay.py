"""All peers of a datacenter at once."""

from __future__ import annotations

import trio
from trio.testing import MockClock

from liveserver.config import Settings
from liveserver.dispatcher.relay.relay import Relay
from tests.dispatcher.relay.harness import Link, datacenter, lines, publish


async def test_each_peer_is_relayed_from(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    ours, peers = datacenter("dc1"), [datacenter("dc2"), datacenter("dc3")]
    relay = Relay({bus.datacenter: Link(bus) for bus in peers}, ours, "di1", Settings())
    nursery.start_soon(relay.run)
    await trio.sleep(1)
    for bus in peers:
        await publish(bus, "v", bus.datacenter)
    await trio.sleep(1)
    assert sorted(await lines(ours, "v")) == ["dc2", "dc3"]
    statistics = relay.statistics().peers
    assert [(each.peer, each.relayed, each.is_reached) for each in statistics] == [
        ("dc2", 1, True),
        ("dc3", 1, True),
    ]
