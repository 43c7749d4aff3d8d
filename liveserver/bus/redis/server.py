"""The interface of a deployment, and the simplest one: one server, or the one that Sentinel names."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

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
    def shards(self) -> list[str]:
        """Return a name per server with logs: a hash tag of its own; a single server's is empty."""

    @abstractmethod
    def shard_of(self, video: str) -> str:
        """Return the name of the video's server."""

    @abstractmethod
    def count_listeners(self, channels: Sequence[str]) -> list[int]:
        """Return each channel's listeners at all servers. Raises `RedisError` if a server does not reply."""

    @abstractmethod
    def connection(self, shard: str | None = None) -> Any:
        """Return a new `redis.Connection`, not yet connected, for pub/sub. Any: it is not annotated.

        To the server of `shard`; without one, to any master.
        """

    @abstractmethod
    def refresh(self) -> None:
        """Discover the present servers. Raises `RedisError`."""

    @abstractmethod
    def drop(self) -> None:
        """Close the idle connections, after an error."""

    @abstractmethod
    def close(self) -> None:
        """Close all connections, including those in use by abandoned threads."""


class Server(Deployment):
    """One server: a fixed one, or the one that Sentinel names when a connection is made."""

    def __init__(self, pool: redis.ConnectionPool, address: str, secrets: frozenset[str]) -> None:
        self.address = address
        self.secrets = secrets
        self._pool = pool
        self._redis = redis.Redis(connection_pool=pool)

    def run(self, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
        return run_pipeline(self._redis, commands, transaction=transaction)

    def load(self, sources: Sequence[str]) -> None:
        for source in sources:
            self._redis.script_load(source)

    def shards(self) -> list[str]:
        return [""]

    def shard_of(self, video: str) -> str:
        return ""

    def count_listeners(self, channels: Sequence[str]) -> list[int]:
        (answer,) = run_pipeline(self._redis, [("PUBSUB", "NUMSUB", *channels)], transaction=False)
        return [int(count) for count in answer[1::2]]

    def refresh(self) -> None:
        """Do nothing: each connection is made to the present master."""

    def connection(self, shard: str | None = None) -> Any:
        # Not the pool's make_connection: it counts connections, and never decrements the count.
        return self._pool.connection_class(**self._pool.connection_kwargs)

    def drop(self) -> None:
        self._pool.disconnect(inuse_connections=False)

    def close(self) -> None:
        self._pool.disconnect()


def run_pipeline(client: Any, commands: Sequence[Command], *, transaction: bool) -> list[Any]:
    """Return the replies of one server, which may be errors."""
    with client.pipeline(transaction=transaction) as pipeline:
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers


def no_retry() -> Retry:
    """Return what switches redis-py's own retries off."""
    return Retry(NoBackoff(), 0)
