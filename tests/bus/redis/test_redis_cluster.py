"""Which server of a cluster each command goes to."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from redis.crc import REDIS_CLUSTER_HASH_SLOTS, key_slot
from redis.exceptions import AskError, MovedError, RedisClusterException
from redis.exceptions import ConnectionError as BrokenLink

from liveserver.bus.redis import redis_cluster
from liveserver.bus.redis.redis_cluster import Cluster, _grouped, _key, _tag, _tags

HALF = REDIS_CLUSTER_HASH_SLOTS // 2
LEFT, RIGHT = SimpleNamespace(name="left"), SimpleNamespace(name="right")


class Known:
    """A cluster of two servers, each with half of the slots."""

    def __init__(self) -> None:
        slots = {slot: [LEFT if slot < HALF else RIGHT] for slot in range(REDIS_CLUSTER_HASH_SLOTS)}
        self.nodes_manager = SimpleNamespace(
            slots_cache=slots, get_node_from_slot=lambda slot: slots[slot][0]
        )

    def get_redis_connection(self, node: Any) -> Any:
        return node

    def get_random_primary_node(self) -> Any:
        return LEFT

    def get_nodes(self) -> list[Any]:
        return [LEFT, RIGHT]


def name_in(half: int) -> str:
    """A video whose keys are on that server."""
    return next(f"v{n}" for n in range(99) if key_slot(f"ls:{{v{n}}}:log".encode()) // HALF == half)


A, B = name_in(0), name_in(1)
KEY_A, KEY_B = f"ls:{{{A}}}:log", f"ls:{{{B}}}:log"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster([("h", 1)], {}, "h:1", frozenset())
    made._known = Known()  # type: ignore[assignment]
    made._tags = _tags(made._known)  # type: ignore[arg-type]
    return made


def test_the_key_of_each_form_of_command() -> None:
    assert _key(("EVALSHA", "sha", 2, "k1", "k2", "arg")) == "k1"
    assert _key(("EVALSHA", "sha", 0, "arg")) is None
    assert _key(("GET", "k")) == "k"
    assert _key(("PING",)) is None


def test_commands_are_grouped_by_server_and_keep_their_order() -> None:
    commands = [("GET", KEY_A), ("GET", KEY_B), ("PING",), ("SET", KEY_A, "1"), ("PING",)]
    found = _grouped(Known(), commands, by_slot=False)  # type: ignore[arg-type]
    assert [(node.name, indexes) for node, indexes in found] == [
        ("left", [0, 2, 3]), ("right", [1]), ("left", [4]),
    ]  # fmt: skip


def test_a_transaction_is_of_one_slot() -> None:
    other = next(f"k{n}" for n in range(99) if key_slot(f"k{n}".encode()) < HALF)
    found = _grouped(Known(), [("GET", KEY_A), ("GET", other), ("TTL", KEY_A)], by_slot=True)  # type: ignore[arg-type]
    assert [(node.name, indexes) for node, indexes in found] == [("left", [0, 2]), ("left", [1])]


def test_each_server_has_a_tag_in_its_lowest_slot() -> None:
    tags = _tags(Known())  # type: ignore[arg-type]
    assert {name: key_slot(tag.encode()) for name, tag in tags.items()} == {"left": 0, "right": HALF}
    assert all(tag.startswith("!") for tag in tags.values()), "no video's name"
    assert _tag(HALF) == tags["right"]


def test_a_videos_shard_is_that_of_its_log(cluster: Cluster) -> None:
    assert cluster.shards() == [cluster.shard_of(A), cluster.shard_of(B)]
    cluster._tags = {}
    with pytest.raises(BrokenLink, match="the cluster has no server for slot"):
        cluster.shard_of(A)


def test_replies_come_in_the_order_of_the_commands(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(client: Any, commands: list[Any], *, transaction: bool) -> list[Any]:
        return [f"{client.name} {command[1]}" for command in commands]

    monkeypatch.setattr(redis_cluster, "run_pipeline", run)
    replies = cluster.run([("GET", KEY_B), ("GET", KEY_A), ("GET", KEY_B)], transaction=False)
    assert replies == [f"right {KEY_B}", f"left {KEY_A}", f"right {KEY_B}"]


@pytest.mark.parametrize("error", [MovedError("1 h:2"), AskError("1 h:2")])
def test_slots_that_have_moved_break_the_link(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(redis_cluster, "run_pipeline", lambda *_, **__: [error])
    with pytest.raises(BrokenLink, match="have moved"):
        cluster.run([("GET", KEY_A)], transaction=False)


def test_listeners_of_all_servers_are_added_up(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    counts = {"left": [b"a", 1, b"b", 0], "right": [b"a", 2, b"b", 3]}
    monkeypatch.setattr(redis_cluster, "run_pipeline", lambda client, *_, **__: [counts[client.name]])
    assert cluster.count_listeners(["a", "b"]) == [3, 3]
    monkeypatch.setattr(redis_cluster, "run_pipeline", lambda *_, **__: [BrokenLink("away")])
    with pytest.raises(BrokenLink, match="away"):
        cluster.count_listeners(["a"])


def test_a_cluster_that_is_not_found_is_a_broken_link(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise RedisClusterException("no node answers")

    monkeypatch.setattr(redis_cluster, "RedisCluster", refuse)
    made = Cluster([("h", 1)], {}, "h:1", frozenset())
    with pytest.raises(BrokenLink, match="no node answers"):
        made.shards()
    made.drop()
    made.close()
