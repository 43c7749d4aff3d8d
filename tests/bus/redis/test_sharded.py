"""Sharded pub/sub: in a real Cluster, and how it is decided what the feed needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import redis
import trio
from redis.crc import key_slot
from redis.exceptions import ConnectionError as BrokenLink

from liveserver.bus.interface import Inbox
from liveserver.bus.redis import reporting, sharded
from liveserver.bus.redis.bus import RedisBus
from liveserver.bus.redis.redis_cluster import _lowest_slots
from liveserver.bus.redis.sharded import Routes, shard_channel
from liveserver.config import BusSettings, Duration, HistorySettings
from liveserver.viewer_count import ViewerCount
from tests.bus.deployments import Deployment, clustered, wait
from tests.bus.redis_harness import append_at_last, open_bus, parcel
from tests.conftest import Until

VIDEOS = ["v", "v0", "v1", "v2", "v3"]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with clustered(tmp_path_factory.mktemp("sharded")) as deployment:
        yield deployment


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "BEAT", 0.1)
    monkeypatch.setattr(sharded, "CHECK", 0.1)


def clients(deployment: Deployment) -> list[redis.Redis]:
    return [redis.Redis(port=server.port) for server in deployment.servers]


def calls(deployment: Deployment, command: str) -> int:
    """How often it was called, at all servers."""
    statistics = [client.info("commandstats") for client in clients(deployment)]
    return sum(one.get(f"cmdstat_{command}", {"calls": 0})["calls"] for one in statistics)


def crossed(deployment: Deployment) -> int:
    """Messages of PUBLISH that servers sent to each other."""
    return sum(
        int(client.cluster("info").get("cluster_stats_messages_publish_sent", 0))
        for client in clients(deployment)
    )


@asynccontextmanager
async def former_bus(url: str) -> AsyncIterator[RedisBus]:
    """A node that does not know of sharded pub/sub."""
    settings = BusSettings(url=url, timeout=Duration(60), sharded=False)
    async with RedisBus.open("dc1", settings, HistorySettings(ephemeral_types=[])) as bus:
        yield bus


class Received:
    """What comes to an inbox: each video's offsets; `missed` when something may have been missed."""

    def __init__(self, inbox: Inbox) -> None:
        self._inbox = inbox
        self.offsets: dict[str, list[int]] = {}
        self.missed = 0

    async def until(self, video: str, offset: int) -> None:
        with trio.fail_after(60):
            while offset not in self.offsets.get(video, []):
                batches = await anext(self._inbox)
                self.missed += not batches
                for batch in batches:
                    self.offsets.setdefault(batch.video, []).extend(range(batch.first, batch.last + 1))


async def append_to_all(bus: RedisBus, token: str) -> None:
    await bus.append([parcel(f"{token}{video}", "a", video=video) for video in VIDEOS])


@pytest.mark.process
@pytest.mark.redis
async def test_messages_reach_nodes_without_crossing_the_cluster(cluster: Deployment, until: Until) -> None:
    cluster.empty()
    counts: list[ViewerCount] = []
    async with (
        open_bus(cluster.url) as bus,
        bus.inbox("n", counts.append) as inbox,
        bus.feed() as feed,
    ):
        listener = bus.statistics().listeners[0]
        assert (listener.listening, listener.shards) == (True, 3)
        shards = bus._link.shards()

        async def feed_is_sharded() -> bool:
            return all(bus._routes.to(shard) == f"{shard}:sharded" for shard in shards)

        await until(feed_is_sharded)
        await bus.subscribe("n", dict.fromkeys(VIDEOS, 1), 60)
        before = crossed(cluster), calls(cluster, "publish"), calls(cluster, "spublish")
        at_inbox, at_feed = Received(inbox), Received(feed)
        for number in range(3):
            await append_to_all(bus, f"t{number}")
        for video in VIDEOS:
            await at_inbox.until(video, 3)
            await at_feed.until(video, 3)
        assert at_inbox.offsets == at_feed.offsets == {video: [1, 2, 3] for video in VIDEOS}
        assert (at_inbox.missed, at_feed.missed) == (0, 0)
        assert (crossed(cluster), calls(cluster, "publish")) == before[:2]
        assert calls(cluster, "spublish") == before[2] + 2 * 3 * len(VIDEOS)
        await until(lambda: _is({count.video for count in counts} == set(VIDEOS)))


async def _is(value: bool) -> bool:
    return value


@pytest.mark.process
@pytest.mark.redis
async def test_nodes_of_both_kinds_reach_each_other(cluster: Deployment, until: Until) -> None:
    """As while a cluster is upgraded node by node, in either order. What is published in two ways may
    overtake: receivers read it from the log, and drop it when it comes.
    """
    cluster.empty()
    async with (
        open_bus(cluster.url) as bus,
        former_bus(cluster.url) as former,
        bus.inbox("new") as new_inbox,
        former.inbox("old") as old_inbox,
        bus.feed() as new_feed,
        former.feed() as old_feed,
    ):
        for node in ("new", "old"):
            await bus.subscribe(node, dict.fromkeys(VIDEOS, 1), 60)
        received = [Received(inbox) for inbox in (new_inbox, old_inbox, new_feed, old_feed)]
        for publisher, token in ((bus, "t1"), (former, "t2")):
            await append_to_all(publisher, token)
        for one in received:
            for video in VIDEOS:
                await one.until(video, 1)
                await one.until(video, 2)
                assert sorted(one.offsets[video]) == [1, 2], "each once"
            assert one.missed == 0


@pytest.mark.process
@pytest.mark.redis
async def test_a_user_without_permission_falls_back(cluster: Deployment) -> None:
    """As a Redis 6 does, which does not have the commands."""
    cluster.empty()
    for client in clients(cluster):
        client.execute_command(
            *("ACL", "SETUSER", "former", "on", "nopass", "~*", "&*", "+@all", "-spublish", "-ssubscribe")
        )
    url = cluster.url.replace("://", "://former:x@")
    async with open_bus(url) as bus, bus.inbox("n") as inbox:
        assert bus.statistics().listeners[0].shards == 0
        await bus.subscribe("n", {"v": 1}, 60)
        await append_at_last(bus, "t1", "a")
        received = Received(inbox)
        await received.until("v", 1)
        assert received.missed == 0


def move_slot(deployment: Deployment, slot: int, source: int, target: int) -> None:
    """Move a slot with its keys to another server, as `redis-cli --cluster reshard` does."""
    nodes = clients(deployment)
    names = [node.execute_command("CLUSTER", "MYID").decode() for node in nodes]
    nodes[target].execute_command("CLUSTER", "SETSLOT", slot, "IMPORTING", names[source])
    nodes[source].execute_command("CLUSTER", "SETSLOT", slot, "MIGRATING", names[target])
    while keys := nodes[source].execute_command("CLUSTER", "GETKEYSINSLOT", slot, 100):
        port = deployment.servers[target].port
        nodes[source].execute_command("MIGRATE", "127.0.0.1", port, "", 0, 5000, "KEYS", *keys)
    for number in (target, source, *(n for n in range(3) if n not in (source, target))):
        nodes[number].execute_command("CLUSTER", "SETSLOT", slot, "NODE", names[target])


@pytest.mark.process
@pytest.mark.redis
async def test_slots_move_and_a_replica_takes_over(
    tmp_path_factory: pytest.TempPathFactory, until: Until
) -> None:
    """What is appended meanwhile arrives, or the inbox says that something may be missing."""
    with clustered(tmp_path_factory.mktemp("moving")) as deployment:
        async with open_bus(deployment.url) as bus, bus.inbox("n") as inbox:
            await bus.subscribe("n", {"v": 1}, 60)
            received = Received(inbox)

            async def append_one(offset: int) -> None:
                before = received.missed
                await append_at_last(bus, f"t{offset}", "a")
                assert (await bus.read("v", 0, 100)).head.offset == offset
                with trio.move_on_after(2):
                    await received.until("v", offset)
                assert offset in received.offsets.get("v", []) or received.missed > before

            async def is_sharded_again() -> bool:
                shards = bus._link.shards()
                channels = [shard_channel("ls:inbox:n", shard) for shard in shards]
                found = [client.execute_command("PUBSUB", "SHARDCHANNELS") for client in clients(deployment)]
                listened = {channel.decode() for some in found for channel in some}
                return bus.statistics().listeners[0].shards == len(shards) and listened == set(channels)

            await append_one(1)
            lowest = min(key_slot(shard.encode()) for shard in bus._link.shards() if _has(bus, shard, "v"))
            tags = set(bus._link.shards())
            await trio.to_thread.run_sync(move_slot, deployment, lowest, 0, 1)
            await append_one(2)
            assert bus._listeners[0]._shards is not None
            bus._listeners[0]._shards.refresh()
            await until(is_sharded_again)
            assert set(bus._link.shards()) != tags
            await append_one(3)
            published = calls(deployment, "publish")
            await append_one(4)
            assert calls(deployment, "publish") - published <= 1  # the feed, until it was counted twice

            replica = clients(deployment)[3]
            wait(lambda: replica.info("replication")["master_link_status"] == "up")
            replica.execute_command("CLUSTER", "FAILOVER")
            await append_one(5)
            await trio.to_thread.run_sync(wait, lambda: replica.info("replication")["role"] == "master")
            await append_one(6)
            await until(is_sharded_again)
            await append_one(7)
            assert received.missed > 0
            assert sorted(set(received.offsets["v"])) == received.offsets["v"]


def _has(bus: RedisBus, shard: str, video: str) -> bool:
    return bus._link.shard_of(video) == shard


class Counted:
    """A link whose servers have so many listeners to the feed, and to all of its shards."""

    def __init__(self) -> None:
        self.counts: list[int] | Exception = [0, 0]

    def count_listeners(self, channels: list[str]) -> list[int]:
        assert channels == ["ls:feed", "ls:feed:sharded"]
        if isinstance(self.counts, Exception):
            raise self.counts
        return self.counts


def test_all_servers_get_the_feed_until_its_listeners_are_counted_twice() -> None:
    link: Any = Counted()
    routes = Routes(link, is_sharded=True)
    needs = []
    none, sharded_only, both = [0, 0], [2, 2], [3, 2]
    for counts in (none, none, sharded_only, sharded_only, both, both, sharded_only, sharded_only):
        link.counts = counts
        routes.check()
        needs.append(routes.to("!0"))
    kinds = ["all", "none", "all", "sharded", "all", "all", "all", "sharded"]
    assert needs == [f"!0:{kind}" for kind in kinds]
    link.counts = BrokenLink("a server is away")
    with pytest.raises(BrokenLink):
        routes.check()
    assert routes.to("!0") == "!0:all"


def test_without_a_cluster_or_by_the_settings_nothing_is_sharded() -> None:
    link: Any = Counted()
    assert Routes(link, is_sharded=True).to("") == "-"
    former = Routes(link, is_sharded=False)
    link.counts = BrokenLink("it is not asked")
    former.check()
    assert former.to("!0") == "-"


def test_the_lowest_slots_are_those_of_masters() -> None:
    one, two = [b"h", 1, b"one"], [b"", 2, b"two"]
    answer = [[200, 300, one, two], [7, 9, two], [10, 199, one], [301, 400, two]]
    assert _lowest_slots(answer) == {7: ":2", 10: "h:1"}
