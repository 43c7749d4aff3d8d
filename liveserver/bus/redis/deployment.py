"""A Redis deployment: one server, the master that Sentinel names, or a Cluster. Made from a URL, without I/O.

    redis://user:password@host:6379/0                 rediss://… with TLS; unix:///run/redis.sock
    redis+sentinel://user:password@host1,host2/name   rediss+sentinel://…; `?sentinel_password=` for theirs
    redis+cluster://user:password@host1,host2         rediss+cluster://…

TLS options are query parameters: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile` (files). Without them the
system's authorities are trusted; the certificate and its host name are always verified, unless the URL says
otherwise.

Rules:

1. After an error no connection is reused, and the servers are discovered again: through Sentinel at each
   connection, in a Cluster at the next call.
2. In a Cluster a call is one pipeline per server concerned. A transaction is one transaction per slot; a
   pipeline without one still uses a single connection, so that no restart comes between its commands.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import SSLConnection, parse_url
from redis.crc import key_slot
from redis.exceptions import AskError, MovedError, RedisClusterException
from redis.exceptions import ConnectionError as BrokenLink
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from liveserver.config import BusSettings

HEALTH_CHECK = 10  # seconds: a connection idle for longer is checked with a PING before it is used
SENTINEL_PORT = 26379

Command = Sequence[str | bytes | int]


class Deployment(ABC):
    """The interface that `Link` uses. All methods are called in worker threads."""

    address: str  # for messages
    secrets: frozenset[str]  # to be removed from messages

    @abstractmethod
    def run(self, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
        """Return the replies, which may be errors. Raises `RedisError` or `OSError` if there are none."""

    @abstractmethod
    def load(self, sources: Sequence[str]) -> None:
        """Load the scripts, on all servers that run commands."""

    @abstractmethod
    def connection(self) -> Any:
        """Return a new `redis.Connection`, not yet connected, for pub/sub. Any: it is not annotated."""

    @abstractmethod
    def drop(self) -> None:
        """Close the idle connections, after an error."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections, including those in use by abandoned threads."""


def in_cluster(url: str) -> bool:
    """Return whether the URL is a Cluster's, where each video may be on another server."""
    return url.partition("://")[0].endswith("+cluster")


def make_deployment(settings: BusSettings) -> Deployment:
    """Return the deployment of the URL. Raises `ValueError`, whose message may quote the URL."""
    url, timeout = settings.url, float(settings.timeout)
    options: dict[str, Any] = {
        "protocol": 2,  # pub/sub messages come in plain order, and a connection needs no HELLO
        "socket_timeout": timeout,
        "health_check_interval": HEALTH_CHECK,
    }
    if not url.startswith("unix:"):
        options |= {"socket_connect_timeout": timeout, "socket_keepalive": True}
    scheme, _, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    if not kind:
        # Nothing is retried here, see connection.py.
        pool = redis.ConnectionPool.from_url(url, retry=_no_retry(), **options)
        parts = urlsplit(url)
        address = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
        return Server(pool, address, _secrets(pool.connection_kwargs, parts.password))
    if base not in ("redis", "rediss") or kind not in ("sentinel", "cluster"):
        raise ValueError(f"no such scheme: {scheme}")
    parts = urlsplit(f"{base}://{rest}")
    user, _, hosts = parts.netloc.rpartition("@")
    servers = [_host(host, SENTINEL_PORT if kind == "sentinel" else 6379) for host in hosts.split(",")]
    query = {
        name: values[0] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()
    }
    sentinel = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    name, _, database = parts.path.strip("/").partition("/")
    if (kind == "cluster" and (name or any(sentinel.values()))) or (kind == "sentinel" and not name):
        raise ValueError("a Sentinel's URL ends with the master's name, a Cluster's has none")
    if database and not database.isdecimal():
        raise ValueError("a database is a number")
    options |= parse_url(f"{base}://{user}@host/{database}?{urlencode(query)}")
    options.pop("host", None)
    is_encrypted = options.pop("connection_class", None) is SSLConnection
    address = ",".join(f"{host}:{port}" for host, port in servers)
    secrets = _secrets(options, parts.password, sentinel["password"])
    if kind == "cluster":
        return Cluster(servers, options | ({"ssl": True} if is_encrypted else {}), address, secrets)
    theirs = {key: value for key, value in options.items() if key not in ("username", "password", "db")}
    theirs |= {key: value for key, value in sentinel.items() if value}
    watchers = LockedSentinel(servers, sentinel_kwargs=theirs | {"ssl": is_encrypted, "retry": _no_retry()})
    pool = SentinelConnectionPool(name, watchers, ssl=is_encrypted, retry=_no_retry(), **options)
    return Server(pool, f"{name} at {address}", secrets)


class LockedSentinel(Sentinel):
    """A `Sentinel` used by one thread at a time, as discovery reorders its list of sentinels."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]  # not annotated
        self._lock = threading.Lock()

    def discover_master(self, service_name: str) -> tuple[str, int]:
        with self._lock:
            try:
                found: tuple[str, int] = super().discover_master(service_name)  # type: ignore[no-untyped-call]
            except MasterNotFoundError:
                # Not chained: the original describes each Sentinel's connections in full.
                raise BrokenLink("no Sentinel that knows this master answered") from None
            return found


class Server(Deployment):
    """One server: a fixed one, or the one that Sentinel names when a connection is made."""

    def __init__(self, pool: redis.ConnectionPool, address: str, secrets: frozenset[str]) -> None:
        self.address = address
        self.secrets = secrets
        self._pool = pool
        self._redis = redis.Redis(connection_pool=pool)

    def run(self, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
        return _pipeline(self._redis, commands, transaction=transaction)

    def load(self, sources: Sequence[str]) -> None:
        for source in sources:
            self._redis.script_load(source)

    def connection(self) -> Any:
        # Not the pool's make_connection: it counts connections, and never decrements the count.
        return self._pool.connection_class(**self._pool.connection_kwargs)

    def drop(self) -> None:
        self._pool.disconnect(inuse_connections=False)

    def close(self) -> None:
        self._pool.disconnect()


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
            for index, answer in zip(indexes, _pipeline(client, some, transaction=transaction), strict=True):
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

    def connection(self) -> Any:
        cluster = self._cluster()
        pool = cluster.get_redis_connection(_any_primary(cluster)).connection_pool
        return pool.connection_class(**pool.connection_kwargs)

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
                        startup_nodes=nodes, require_full_coverage=False, retry=_no_retry(), **self._options
                    )
                except RedisClusterException as error:
                    raise BrokenLink(str(error)) from error
            return self._known


def _pipeline(client: Any, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
    with client.pipeline(transaction=transaction) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers


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


def _any_primary(cluster: RedisCluster) -> ClusterNode:
    return cluster.get_random_primary_node()


def _key(command: Command) -> str | bytes | int | None:
    """Return the first key of one of our commands."""
    if command[0] == "EVALSHA":
        return command[3] if command[2] else None
    return command[1] if len(command) > 1 else None


def _no_retry() -> Retry:
    return Retry(NoBackoff(), 0)


def _host(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host is missing")
    return parts.hostname, parts.port or port


def _secrets(options: dict[str, Any], *others: str | None) -> frozenset[str]:
    return frozenset({options.get("password") or "", *(other or "" for other in others)} - {""})
