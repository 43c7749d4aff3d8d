"""The group of dispatchers that relay from a peer."""

from __future__ import annotations

from collections.abc import Callable

from trio.testing import MockClock

from liveserver.bus.memory.bus import MemoryBus
from liveserver.dispatcher.relay.membership import Membership
from tests.dispatcher.relay.harness import datacenter

VIDEOS = [f"v{number}" for number in range(50)]


def member(
    bus: MemoryBus, node: str, changes: list[str], is_reached: Callable[[], bool] = lambda: True
) -> Membership:
    return Membership("dc2", bus, node, 30.0, is_reached, lambda: changes.append(node))


async def test_each_video_has_one_owner(autojump_clock: MockClock) -> None:
    bus, changes = datacenter("dc1"), list[str]()
    one, two = member(bus, "n1", changes), member(bus, "n2", changes)
    assert not one.is_mine("v1")
    await one.join()
    assert all(map(one.is_mine, VIDEOS))
    assert not one.is_mine("canary.n1")
    await two.join()
    await one.join()
    await one.join()
    assert one.nodes == two.nodes == ["n1", "n2"]
    assert changes == ["n1", "n2", "n1"]
    assert all(one.is_mine(video) != two.is_mine(video) for video in VIDEOS)
    await two.leave()
    await one.renew_lease()
    assert one.nodes == ["n1"]


async def test_a_node_that_does_not_reach_the_peer_is_not_renewed(autojump_clock: MockClock) -> None:
    bus = datacenter("dc1")
    away, other = member(bus, "n1", [], lambda: False), member(bus, "n2", [])
    await away.join()
    for _ in range(4):
        await away.renew_lease()  # waits, and does nothing else
        await other.renew_lease()
    assert other.nodes == ["n2"]
