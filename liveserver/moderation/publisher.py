"""Publishes acts: returns when they are in the feed, newer than all known events of their keys."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

import msgspec
import structlog

from liveserver.errors import Conflict, DispatcherError, Unavailable
from liveserver.moderation.acts import MAX_ACTS, Act
from liveserver.moderation.rules import Rules

ATTEMPTS = 3  # if other requests change the same key at the same time

log = structlog.get_logger(__name__)


class RulesSource(Protocol):
    """The rules of videos, as far as this node knows. Both methods raise `Unavailable`."""

    async def rules(self, video: str) -> Rules: ...

    async def refresh(self, video: str) -> Rules:
        """Return the rules, as `rules` does, after reading the video's state from the bus."""
        ...


class ActPublisher:
    """Publishes acts. `publish` takes a JSON array of events, and returns how many were stale."""

    def __init__(
        self,
        source: RulesSource,
        publish: Callable[[bytes], Awaitable[int]],
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._source = source
        self._publish = publish
        self._clock = clock

    async def publish(self, *acts: Act) -> list[Act]:
        """Publish acts of one video; return them as they were published, and as the rules have them.

        More than `MAX_ACTS` are several requests, one after the other. Raises `Unavailable`: it is unknown
        whether they were accepted; repeat them. Raises `Conflict` if other requests changed the same at each
        attempt, and the dispatcher's refusals.
        """
        published: list[Act] = []
        for start in range(0, len(acts), MAX_ACTS):
            published += await self._publish_together(acts[start : start + MAX_ACTS])
        return published

    async def _publish_together(self, acts: Sequence[Act]) -> list[Act]:
        video = acts[0].video
        rules = await self._source.rules(video)
        for _ in range(ATTEMPTS):
            stamped = [act.stamped(self._now(), self._rank_at(rules, act)) for act in acts]
            body = msgspec.json.encode([act.publication() for act in stamped])
            try:
                stale = await self._publish(body)
            except DispatcherError as error:
                log.warning("act_not_published", reason=str(error))  # it has addresses within the cluster
                raise Unavailable("no dispatcher accepts this; try again") from None
            if not stale:
                for act in stamped:
                    if act.key is not None:
                        rules.fold(act.keyed())
                return stamped
            rules = await self._source.refresh(video)
        raise Conflict("this was changed at the same time by another request; read it and try again")

    def _now(self) -> int:
        return int(self._clock() * 1000)

    @staticmethod
    def _rank_at(rules: Rules, act: Act) -> int:
        known = rules.get(act.key) if act.key is not None else None
        return known.at if known is not None else -1
