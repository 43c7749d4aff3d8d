"""A Redis Cluster: the server of each key, and the listeners of all servers."""

from __future__ import annotations

import functools
import itertools
import threading
from collections.abc import Sequence
from typing import Any

from redis.cluster import ClusterNode, RedisCluster
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, RedisClusterException
from redis.exceptions import ConnectionError as BrokenLink

from liveserver.bus.redis.server import Command, Deployment, no_retry, run_pipeline


class Cluster(Deployment):
    """A Redis Cluster, discovered at the first call."""

    def __init__(
        self,
        servers: Sequence[tuple[str, int]],
        options: dict[str, Any],
        address: str,
        secrets: frozenset[str],
    ) -> None:
        self.address = address
        self.secrets = secrets
        self._servers = servers
        self._options = options
        self._lock = threading.Lock()
        self._known: RedisCluster | None = None
        self._tags: dict[str, str] = {}  # by server

    def run(self, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
        cluster = self._cluster()
        answers: list[Any] = [None] * len(commands)
        try:
            groups = _grouped(cluster, commands, by_slot=transaction)
        except RedisClusterException as error:
            raise BrokenLink(str(error)) from error
        for node, indexes in groups:
            some = [commands[index] for index in indexes]
            client = cluster.get_redis_connection(node)
            replies = run_pipeline(client, some, transaction=transaction)
            for index, answer in zip(indexes, replies, strict=True):
                answers[index] = answer
        for answer in answers:
            if isinstance(answer, MovedError | AskError):
                raise BrokenLink("slots of the cluster have moved")
        return answers

    def load(self, sources: Sequence[str]) -> None:
        cluster = self._cluster()
        for node in cluster.get_primaries():
            for source in sources:
                cluster.get_redis_connection(node).script_load(source)

    def shards(self) -> list[str]:
        self._cluster()
        return list(self._tags.values())

    def shard_of(self, video: str) -> str:
        cluster = self._cluster()
        slot = key_slot(f"ls:{{{video}}}:log".encode())
        try:
            return self._tags[cluster.nodes_manager.get_node_from_slot(slot).name]
        except (RedisClusterException, KeyError) as error:
            raise BrokenLink(f"the cluster has no server for slot {slot}") from error

    def count_listeners(self, channels: Sequence[str]) -> list[int]:
        cluster = self._cluster()
        counts = [0] * len(channels)
        for node in cluster.get_nodes():  # replicas too: they forward what is published
            client = cluster.get_redis_connection(node)
            (answer,) = run_pipeline(client, [("PUBSUB", "NUMSUB", *channels)], transaction=False)
            if isinstance(answer, Exception):
                raise answer
            counts = [count + int(more) for count, more in zip(counts, answer[1::2], strict=True)]
        return counts

    def connection(self, shard: str | None = None) -> Any:
        cluster = self._cluster()
        try:
            node = _any_primary(cluster) if shard is None else _server_of(cluster, shard)
        except RedisClusterException as error:
            raise BrokenLink(str(error)) from error
        pool = cluster.get_redis_connection(node).connection_pool
        return pool.connection_class(**pool.connection_kwargs)

    def refresh(self) -> None:
        cluster = self._cluster()
        client = cluster.get_redis_connection(_any_primary(cluster))
        (answer,) = run_pipeline(client, [("CLUSTER", "SLOTS")], transaction=False)
        if isinstance(answer, Exception):
            raise answer
        known = {key_slot(tag.encode()): name for name, tag in self._tags.items()}
        found = _lowest_slots(answer)
        if found.keys() != known.keys() or not all(
            known[slot].endswith(name) for slot, name in found.items()
        ):
            self.drop()

    def drop(self) -> None:
        with self._lock:
            cluster, self._known = self._known, None
        if cluster is not None:
            for node in cluster.get_nodes():
                if node.redis_connection is not None:
                    node.redis_connection.connection_pool.disconnect(inuse_connections=False)

    def close(self) -> None:
        with self._lock:
            cluster, self._known = self._known, None
        if cluster is not None:
            cluster.close()

    def _cluster(self) -> RedisCluster:
        with self._lock:
            if self._known is None:
                nodes = [ClusterNode(host, port) for host, port in self._servers]
                try:
                    self._known = RedisCluster(
                        startup_nodes=nodes, require_full_coverage=False, retry=no_retry(), **self._options
                    )
                except RedisClusterException as error:
                    raise BrokenLink(str(error)) from error
                self._tags = _tags(self._known)
            return self._known


def _tags(cluster: RedisCluster) -> dict[str, str]:
    """Return a hash tag for each server with slots, in the lowest of them."""
    lowest: dict[str, int] = {}
    for slot, nodes in sorted(cluster.nodes_manager.slots_cache.items()):
        lowest.setdefault(nodes[0].name, slot)
    return {name: _tag(slot) for name, slot in lowest.items()}


def _lowest_slots(answer: Sequence[Any]) -> dict[int, str]:
    """Return the lowest slot of each server and its `host:port`, from the reply of CLUSTER SLOTS.

    The host is empty if the server does not know it.
    """
    lowest: dict[bytes, tuple[int, str]] = {}
    for first, _, (host, port, name, *_), *_ in sorted(answer, key=lambda entry: int(entry[0])):
        lowest.setdefault(name, (int(first), f"{(host or b'').decode()}:{port}"))
    return dict(lowest.values())


@functools.cache
def _tag(slot: int) -> str:
    """Return a hash tag in this slot. No video's name contains `!`."""
    return next(tag for number in itertools.count() if key_slot((tag := f"!{number}").encode()) == slot)


def _grouped(
    cluster: RedisCluster, commands: Sequence[Command], *, by_slot: bool
) -> list[tuple[ClusterNode, list[int]]]:
    """Return each server with the indexes of its commands, in order.

    Commands without a key go with the next.
    """
    groups: dict[tuple[str, int], tuple[ClusterNode, list[int]]] = {}
    waiting: list[int] = []
    for index, command in enumerate(commands):
        waiting.append(index)
        if (key := _key(command)) is None:
            continue
        slot = key_slot(str(key).encode())
        node = cluster.nodes_manager.get_node_from_slot(slot)
        groups.setdefault((node.name, slot if by_slot else 0), (node, []))[1].extend(waiting)
        waiting = []
    found = list(groups.values())
    return [*found, (_any_primary(cluster), waiting)] if waiting else found


def _server_of(cluster: RedisCluster, tag: str) -> ClusterNode:
    return cluster.nodes_manager.get_node_from_slot(key_slot(tag.encode()))


def _any_primary(cluster: RedisCluster) -> ClusterNode:
    return cluster.get_random_primary_node()


def _key(command: Command) -> str | bytes | int | None:
    """Return the first key of one of our commands."""
    if command[0] == "EVALSHA":
        return command[3] if command[2] else None
    return command[1] if len(command) > 1 else None
