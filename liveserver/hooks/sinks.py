"""Opens the sink of an endpoint, by the scheme of its URL."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from liveserver.config import Settings
from liveserver.errors import ConfigError
from liveserver.hooks.redis_stream import open_redis_stream
from liveserver.hooks.sink import Sink
from liveserver.hooks.webhook import open_webhook


def open_sink(name: str, settings: Settings) -> AbstractAsyncContextManager[Sink]:
    """Return the sink of the endpoint `name`, to be opened; it ends with the block. Raises `ConfigError`.

    All errors are found here: opening it does not fail.
    """
    hooks, ca_file = settings.hooks, settings.tls.ca_file
    endpoint, where, timeout = hooks.endpoints[name], f"hooks.endpoints.{name}", float(hooks.timeout)
    if endpoint.url.startswith(("nats:", "tls:")):
        try:
            from liveserver.hooks.nats_stream import open_nats_stream
        except ImportError as error:
            raise ConfigError(f"{where}.url", f"{error}; install liveserver[nats]") from None
        return open_nats_stream(endpoint, timeout, ca_file)
    opening = open_webhook if endpoint.url.startswith("http") else open_redis_stream
    return opening(where, endpoint, timeout, hooks.concurrency, ca_file)
