"""A Redis stream: each message an entry with the fields `id`, `type`, `video` and `body`.

It is a Redis of the receiver, usually another one than the bus. redis-py is synchronous, so it runs in
threads.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

import redis
import trio

from liveserver.config import HookEndpointSettings
from liveserver.config.certificates import client_context
from liveserver.config.writing import without_password
from liveserver.errors import ConfigError
from liveserver.hooks.sink import Delivery, SinkError


class RedisStream:
    """A `Sink`."""

    def __init__(self, client: redis.Redis, stream: str, length: int, concurrency: int) -> None:
        self._client = client
        self._stream = stream
        self._length = length
        self._threads = trio.CapacityLimiter(concurrency)

    async def deliver(self, delivery: Delivery) -> None:
        fields: dict[Any, Any] = {
            "id": delivery.id,
            "type": delivery.kind,
            "video": delivery.video,
            "body": delivery.body,
        }

        def add() -> None:
            self._client.xadd(self._stream, fields, maxlen=self._length, approximate=True)

        await self._run(add)

    async def check(self) -> None:
        await self._run(self._client.ping)

    async def _run(self, work: Callable[[], object]) -> None:
        try:
            await trio.to_thread.run_sync(work, limiter=self._threads, abandon_on_cancel=True)
        except (redis.RedisError, OSError) as error:
            raise SinkError(without_password(str(error)) or type(error).__name__) from None


def open_redis_stream(
    where: str, endpoint: HookEndpointSettings, timeout: float, concurrency: int, ca_file: str
) -> AbstractAsyncContextManager[RedisStream]:
    """Return a stream to be opened, with connections that end with the block. Raises `ConfigError`."""
    tls = {}
    if endpoint.url.startswith("rediss:"):
        client_context(ca_file)  # explains a malformed file
        tls = {"ssl_ca_certs": ca_file or None}
    try:
        client = redis.Redis.from_url(
            endpoint.url,
            socket_timeout=timeout,
            socket_connect_timeout=timeout,
            max_connections=2 * concurrency,
            **tls,
        )
    except ValueError:
        # Not chained: the original may quote a part of the password.
        raise ConfigError(f"{where}.url", "is not a URL like redis://user:password@host:6379/0") from None
    return _opened(RedisStream(client, endpoint.stream, endpoint.stream_length, concurrency), client)


@asynccontextmanager
async def _opened(stream: RedisStream, client: redis.Redis) -> AsyncIterator[RedisStream]:
    try:
        yield stream
    finally:
        client.close()
