"""A webhook: each message a signed POST request, as Standard Webhooks prescribes.

Any 2xx status accepts a message. 410 disables the endpoint. Everything else is tried again; redirects are not
followed: requests go to the URL of the configuration and nowhere else.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress

import httpx
import trio

from liveserver import __version__
from liveserver.auth.keys import read_secrets
from liveserver.config import HookEndpointSettings
from liveserver.config.certificates import client_context
from liveserver.errors import ConfigError, connection_fault
from liveserver.hooks.sink import Delivery, EndpointGone, SinkError
from liveserver.webhook_signature import LONGEST, SHORTEST, decode_secret, signed_headers

MAX_BODY = 64 * 1024  # bytes of an answer's body that are read
DRAIN = 1.0  # seconds for that
BUSY = frozenset({408, 425, 429})  # statuses of an endpoint in trouble, besides 5xx


class Webhook:
    """A `Sink`. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        url: str,
        keys: Sequence[bytes],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._url = url
        self._keys = keys
        self._clock = clock

    async def deliver(self, delivery: Delivery) -> None:
        headers = signed_headers(self._keys, delivery.id, int(self._clock()), delivery.body)
        headers["user-agent"] = f"liveserver/{__version__}"
        try:
            request = self._client.stream("POST", self._url, content=delivery.body, headers=headers)
            async with request as answer:
                await _drain(answer)
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise SinkError(connection_fault(error)) from None
        status = answer.status_code
        if 200 <= status < 300:
            return
        if status == 410:
            raise EndpointGone("status 410")
        is_refused = 300 <= status < 500 and status not in BUSY
        raise SinkError(
            f"status {status}", is_refused=is_refused, retry_after=_seconds(answer.headers.get("retry-after"))
        )

    async def check(self) -> None:
        """Connect; a request would be a message."""
        url = httpx.URL(self._url)
        try:
            stream = await trio.open_tcp_stream(url.host, url.port or (443 if url.scheme == "https" else 80))
        except OSError as error:
            raise SinkError(f"cannot be connected to: {error.strerror or error}") from None
        await stream.aclose()


async def _drain(answer: httpx.Response) -> None:
    """Read a short body, so that the connection can be reused. Only the status matters."""
    if answer.is_stream_consumed:
        return
    size = 0
    with trio.move_on_after(DRAIN) as scope, suppress(httpx.HTTPError, OSError):
        async for piece in answer.aiter_raw():
            size += len(piece)
            if size > MAX_BODY:
                scope.cancel()  # which ends httpx's generators, as leaving them does not


def _seconds(text: str | None) -> float:
    """Return the seconds of a `Retry-After`; 0 for a date."""
    return float(text) if text is not None and text.isascii() and text.isdigit() and len(text) < 7 else 0.0


def read_keys(where: str, endpoint: HookEndpointSettings) -> list[bytes]:
    """Return the keys that sign an endpoint's requests. Raises `ConfigError`."""
    setting = f"{where}.secret"
    found = [decode_secret(text) for text in read_secrets(setting, endpoint.secret, endpoint.secret_file, 1)]
    keys = [key for key in found if key is not None]
    if len(keys) < len(found) or not keys:
        raise ConfigError(
            f"{setting}_file" if endpoint.secret_file else setting,
            f"is not whsec_ and the base64 of {SHORTEST} to {LONGEST} bytes; "
            "`liveserver hooks secret` makes one",
        )
    return keys


def open_webhook(
    where: str, endpoint: HookEndpointSettings, timeout: float, concurrency: int, ca_file: str
) -> AbstractAsyncContextManager[Webhook]:
    """Return a webhook to be opened, with connections that end with the block. Raises `ConfigError`."""
    return _opened(endpoint.url, read_keys(where, endpoint), timeout, concurrency, client_context(ca_file))


@asynccontextmanager
async def _opened(
    url: str, keys: Sequence[bytes], timeout: float, concurrency: int, trust: ssl.SSLContext
) -> AsyncIterator[Webhook]:
    limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    async with httpx.AsyncClient(
        timeout=timeout, trust_env=False, limits=limits, follow_redirects=False, verify=trust
    ) as client:
        yield Webhook(client, url, keys)
