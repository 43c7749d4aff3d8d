"""Opens the sink of an endpoint, by the scheme of its URL."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from liveserver.config import Settings
from liveserver.hooks.redis_stream import open_redis_stream
from liveserver.hooks.sink import Sink
from liveserver.hooks.webhook import open_webhook


def open_sink(name: str, settings: Settings) -> AbstractAsyncContextManager[Sink]:
    """Open the sink of the endpoint `name`, which ends with the block. Raises `ConfigError`."""
    hooks = settings.hooks
    endpoint = hooks.endpoints[name]
    is_webhook = endpoint.url.startswith("http")
    opening = open_webhook if is_webhook else open_redis_stream
    return opening(
        f"hooks.endpoints.{name}", endpoint, float(hooks.timeout), hooks.concurrency, settings.tls.ca_file
    )
