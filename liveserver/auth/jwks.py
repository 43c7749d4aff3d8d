"""A JSON Web Key Set, from a file or a URL.

Rules:

1. It is fetched at the start, every `jwks_refresh`, and when a token names a key that is not in the set; the
   latter at most once per `jwks_cooldown`, so that tokens with invented key names cause no load.
2. A failed fetch changes nothing: the present keys stay.
3. One fetch at a time; those that come meanwhile share what follows it: another fetch, or the cooldown.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import httpx
import structlog
import trio

from liveserver.auth.keys import Key, KeySetError, read_jwks
from liveserver.config import AuthSettings
from liveserver.errors import connection_fault
from liveserver.single_flight import SingleFlight

MAX_BYTES = 1024 * 1024
RETRY = 5.0  # seconds after a failed fetch, while there are no keys

log = structlog.get_logger(__name__)


class Jwks:
    """The keys of `source`. `fetched` and `failed` count fetches; `serial` changes with the keys."""

    def __init__(
        self, source: str, settings: AuthSettings, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self.keys: list[Key] = []
        self.fetched = self.failed = self.serial = 0
        self.is_failing = False
        self._source = source
        self._settings = settings
        self._transport = transport
        self._flight = SingleFlight()
        self._asked_at = -float("inf")

    async def run(self) -> None:
        """Fetch the set every `jwks_refresh` until cancelled."""
        while True:
            await self._refresh(-float("inf"))
            await trio.sleep(self._settings.jwks_refresh if self.keys else RETRY)

    async def refresh_on_miss(self) -> None:
        """Fetch the set again, as a key is missing, unless that was done within `jwks_cooldown`."""
        await self._refresh(self._settings.jwks_cooldown)

    async def _refresh(self, pause: float) -> None:
        await self._flight.call(partial(self._fetch_unless, pause))

    async def _fetch_unless(self, pause: float) -> None:
        """Fetch the set, unless the last fetch began within `pause`."""
        if trio.current_time() - self._asked_at < pause:
            return
        self._asked_at = trio.current_time()
        try:
            with trio.fail_after(self._settings.jwks_timeout):
                keys = read_jwks(await self._fetch())
        except (httpx.HTTPError, OSError, KeySetError, trio.TooSlowError, httpx.InvalidURL) as error:
            self.failed += 1
            self.is_failing = True
            log.warning("jwks_fetch_failed", keys=len(self.keys), reason=_reason(error))
            return
        self.fetched += 1
        self.is_failing = False
        if keys != self.keys:
            self.keys = keys
            self.serial += 1
            log.info("jwks_keys_changed", count=len(keys))

    async def _fetch(self) -> bytes:
        if "://" not in self._source:
            return await trio.Path(Path(self._source)).read_bytes()
        async with (
            httpx.AsyncClient(transport=self._transport, trust_env=False) as client,
            client.stream("GET", self._source, headers={"accept": "application/json"}) as answer,
        ):
            if not answer.is_success:
                raise KeySetError(f"answered {answer.status_code}")
            content = b""
            async for piece in answer.aiter_bytes():
                content += piece
                if len(content) > MAX_BYTES:
                    raise KeySetError(f"has more than {MAX_BYTES} bytes")
            return content


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return connection_fault(error)
