"""Publishes acts for a whole site, and keeps them in its log.

Rules:

1. An act is answered when it is in the log, from which the nodes read it.
2. A key's versions increase regardless of clocks: each is later than the latest known one.
3. Events that a log has lost are published again by every dispatcher that knows them, with the same id and
   version, so they are accepted once. Expired ones are cleared in the same way. A quiet log is kept alive.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from hashlib import blake2s
from typing import Any, Protocol

import msgspec
import structlog
import trio

from liveserver.auth.revocations import Revocation, Revocations
from liveserver.errors import DispatcherError, Problem, Unavailable
from liveserver.event import SITE

RETRY_AFTER = 1  # seconds
UNSUBSCRIPTION = "site.unsubscription"  # a type of events
EXPIRY = "expiry"  # `by` of events that clear expired keys
KEEP_ALIVE = 4  # events per `history.idle_ttl` that keep the log, while there are revocations

log = structlog.get_logger(__name__)


class PublishTarget(Protocol):
    """The interface of a dispatcher, in this process or over HTTP."""

    async def publish(self, body: bytes, *, retractions: bool) -> int:
        """Publish a JSON array of events. Raises `BadRequest`, `Unavailable`, `DispatcherError`."""
        ...


class SiteDesk:
    """Publishes at a dispatcher. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        target: PublishTarget,
        revocations: Revocations,
        idle_ttl: float,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._target = target
        self._revocations = revocations
        self._pause = idle_ttl / KEEP_ALIVE
        self._clock = clock
        self._published_at = trio.current_time()

    async def revoke(self, revocation: Revocation, by: str) -> None:
        """Publish a revocation. Raises `Unavailable`, `TooLarge`."""
        await self._publish([self._event(revocation.key, msgspec.to_builtins(revocation), by)])

    async def lift(self, key: str, by: str) -> None:
        """Lift a revocation. Raises `Unavailable`."""
        await self._publish([self._event(key, None, by)])

    async def disconnect(self, user: str, by: str) -> None:
        """End all connections of a user. Raises `Unavailable`."""
        await self._publish([{"video": SITE, "type": "disconnection", "by": by, "data": {"user": user}}])

    async def unsubscribe(self, video: str, user: str, by: str) -> None:
        """End a user's streams of one video. Raises `Unavailable`."""
        data = {"video": video, "user": user}
        await self._publish([{"video": SITE, "type": UNSUBSCRIPTION, "by": by, "data": data}])

    async def keep(self, keys: frozenset[str] | None) -> bool:
        """Publish events again that the log's state, with these keys, has lost; clear expired ones.

        With None, only clear, and keep a quiet log. Raises nothing; returns whether all was published.
        """
        events = [self._event(revocation.key, None, EXPIRY) for revocation in self._revocations.expired()]
        if keys is not None:
            known = self._revocations.events()
            events += [msgspec.json.decode(event.data) for event in known if event.key not in keys]
        if trio.current_time() - self._published_at > self._pause:
            name = f"keep-{int(self._clock() / self._pause)}"  # the same at all dispatchers
            events.append({"id": name, "video": SITE, "type": "audit", "data": {"act": "keep"}})
        try:
            for start in range(0, len(events), 500):
                await self._publish(events[start : start + 500])
        except Problem as problem:
            log.warning("site_log_not_kept", reason=problem.detail)
            return False
        return True

    def _event(self, key: str, data: Any, by: str) -> dict[str, Any]:
        version = self._revocations.version(key) + 1
        if by != EXPIRY:  # all dispatchers publish it, as one event
            version = max(version, int(self._clock() * 1000))
        name = blake2s(msgspec.json.encode([key, version, data]), digest_size=12).hexdigest()
        return {
            "id": name,
            "video": SITE,
            "type": "revocation",
            "key": key,
            "version": version,
            "by": by,
            "data": data,
        }

    async def _publish(self, events: list[dict[str, Any]]) -> None:
        if not events:
            return
        try:
            await self._target.publish(msgspec.json.encode(events), retractions=False)
        except DispatcherError as error:
            log.warning("site_log_not_written", reason=str(error))
            raise Unavailable("no dispatcher accepts this; try again", RETRY_AFTER) from None
        self._published_at = trio.current_time()
