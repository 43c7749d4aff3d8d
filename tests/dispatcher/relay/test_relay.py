"""All peers of a datacenter at once, and others while it runs."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext

import pytest
import trio
from trio.testing import MockClock

from liveserver.bus.interface import PeerBus
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import PeerSettings, Settings
from liveserver.dispatcher.relay.relay import OpenPeer, Relay, open_peer
from liveserver.errors import ConfigError
from tests.dispatcher.relay.harness import Link, datacenter, lines, publish


def peered(**urls: str) -> Settings:
    return Settings(peers={name: PeerSettings(url=url) for name, url in urls.items()})


def opening(buses: Mapping[str, MemoryBus], opened: list[str] | None = None) -> OpenPeer:
    """Open peers in memory; their URLs are names of `buses`."""

    def open_link(name: str, settings: Settings) -> AbstractAsyncContextManager[PeerBus]:
        if opened is not None:
            opened.append(name)
        return nullcontext(Link(buses[settings.peers[name].url]))

    return open_link


async def test_each_peer_is_relayed_from(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    ours, peers = datacenter("dc1"), [datacenter("dc2"), datacenter("dc3")]
    buses = {bus.datacenter: bus for bus in peers}
    relay = Relay(ours, "di1", peered(dc2="dc2", dc3="dc3"), opening(buses))
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


async def test_peers_come_go_and_move_while_it_runs(autojump_clock: MockClock, nursery: trio.Nursery) -> None:
    ours = datacenter("dc1")
    buses = {name: datacenter(name) for name in ("dc2", "dc3", "dc4")}
    buses["moved"] = datacenter("dc2")
    opened: list[str] = []
    relay = Relay(ours, "di1", peered(dc2="dc2", dc4="dc4"), opening(buses, opened))
    nursery.start_soon(relay.run)
    await trio.sleep(1)
    await publish(buses["dc4"], "v", "four")
    relay.prepare(peered(dc2="moved", dc3="dc3", dc4="dc4"))()
    await trio.sleep(1)
    assert opened == ["dc2", "dc4", "dc2", "dc3"]  # dc4's stayed
    for name in ("dc2", "moved", "dc3"):
        await publish(buses[name], "v", name)
    await trio.sleep(1)
    assert sorted(await lines(ours, "v")) == ["dc3", "four", "moved"]
    assert sorted(each.peer for each in relay.statistics().peers) == ["dc2", "dc3", "dc4"]
    assert [each.sharing for each in relay.statistics().peers] == [1, 1, 1]
    relay.prepare(peered())()
    await trio.sleep(1)
    await publish(buses["dc4"], "v", "late")
    await trio.sleep(1)
    assert "late" not in await lines(ours, "v")
    assert relay.statistics().peers == []


async def test_prepared_settings_change_nothing_before_they_are_applied(
    autojump_clock: MockClock, nursery: trio.Nursery
) -> None:
    buses = {name: datacenter(name) for name in ("dc2", "dc3")}
    relay = Relay(datacenter("dc1"), "di1", peered(dc2="dc2"), opening(buses))
    nursery.start_soon(relay.run)
    await trio.sleep(1)
    relay.prepare(peered(dc3="dc3"))
    await trio.sleep(1)
    assert [each.peer for each in relay.statistics().peers] == ["dc2"]


def test_a_malformed_url_is_refused_when_it_is_prepared() -> None:
    with pytest.raises(ConfigError, match=r"^peers\.dc2\.url"):
        open_peer("dc2", peered(dc2="redis://host:port"))
