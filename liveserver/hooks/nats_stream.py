"""NATS JetStream: each message published to `STREAM.KIND`, with its id as `Nats-Msg-Id`.

JetStream drops a repeat within its window of deduplication. A stream for these subjects must exist: the
server refuses what none would keep, and that is tried again.

nats-py is asyncio's, so it has a thread with a loop of its own. It connects when there is something to
deliver, and again after its connection broke.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, TypeVar

import nats
import nats.errors
import trio
from nats.aio.client import Client

from liveserver.config import HookEndpointSettings
from liveserver.config.certificates import client_context
from liveserver.config.writing import without_password
from liveserver.hooks.sink import Delivery, SinkError

CLOSE = 2.0  # seconds

T = TypeVar("T")


class NatsStream:
    """A `Sink`."""

    def __init__(self, endpoint: HookEndpointSettings, timeout: float, tls: ssl.SSLContext | None) -> None:
        self._url = endpoint.url
        self._stream = endpoint.stream
        self._timeout = timeout
        self._tls = tls
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="nats", daemon=True)
        self._client: Client | None = None
        self._connecting = asyncio.Lock()
        self._thread.start()

    async def deliver(self, delivery: Delivery) -> None:
        await self._run(self._publish(delivery))

    async def check(self) -> None:
        await self._run(self._connected())

    async def close(self) -> None:
        """Close the connection, and end the thread."""
        with trio.move_on_after(CLOSE, shield=True), suppress(SinkError):
            await self._run(self._disconnect())
        self._loop.call_soon_threadsafe(self._loop.stop)
        with trio.move_on_after(CLOSE, shield=True):
            await trio.to_thread.run_sync(self._thread.join, abandon_on_cancel=True)
        if not self._thread.is_alive():
            self._loop.close()

    async def _publish(self, delivery: Delivery) -> None:
        jetstream = (await self._connected()).jetstream(timeout=self._timeout)
        headers = {"Nats-Msg-Id": delivery.id, "video": delivery.video}
        await jetstream.publish(f"{self._stream}.{delivery.kind}", delivery.body, headers=headers)

    async def _connected(self) -> Client:
        async with self._connecting:
            if self._client is None or not self._client.is_connected:
                self._client = await nats.connect(
                    self._url,
                    connect_timeout=max(1, round(self._timeout)),
                    allow_reconnect=False,
                    max_reconnect_attempts=1,  # or it would try for two minutes
                    reconnect_time_wait=0,
                    error_cb=_ignore,
                    tls=self._tls,
                )
            return self._client

    async def _disconnect(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return the result of a coroutine in the other thread. Raises `SinkError`."""
        token, done = trio.lowlevel.current_trio_token(), trio.Event()
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)

        def wake(_: object) -> None:
            with suppress(trio.RunFinishedError):
                token.run_sync_soon(done.set)

        future.add_done_callback(wake)
        try:
            await done.wait()
        finally:
            future.cancel()
        try:
            return future.result()
        except (nats.errors.Error, OSError, TimeoutError, ValueError) as error:
            raise SinkError(without_password(str(error)) or type(error).__name__) from None


async def _ignore(error: Exception) -> None:
    """Ignore an error that the next delivery has as well."""


def open_nats_stream(
    endpoint: HookEndpointSettings, timeout: float, ca_file: str
) -> AbstractAsyncContextManager[NatsStream]:
    """Return a sink to be opened, whose thread ends with the block. Raises `ConfigError`."""
    return _opened(endpoint, timeout, client_context(ca_file) if endpoint.url.startswith("tls:") else None)


@asynccontextmanager
async def _opened(
    endpoint: HookEndpointSettings, timeout: float, tls: ssl.SSLContext | None
) -> AsyncIterator[NatsStream]:
    sink = NatsStream(endpoint, timeout, tls)
    try:
        yield sink
    finally:
        await sink.close()
