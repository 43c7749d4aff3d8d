"""Moderation without a database: the rules are read from the video's log and state for each request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

import msgspec

from liveserver import state
from liveserver.bus.interface import Slice
from liveserver.errors import BusError, NotFound, Unavailable
from liveserver.event import RETRACT, Batch
from liveserver.moderation import acts
from liveserver.moderation.acts import Act
from liveserver.moderation.publisher import ActPublisher
from liveserver.moderation.rules import Pinned, Rules
from liveserver.redaction import target_prefix

READ_EVENTS = 1_000  # in one round trip


class LogReader(Protocol):
    """The part of a bus that reads logs. Both raise `BusError`."""

    async def read(self, video: str, after: int, limit: int) -> Slice: ...

    async def state(self, video: str) -> list[bytes]: ...


class _Text(msgspec.Struct):
    text: str


class _Comment(msgspec.Struct):
    data: _Text
    at: int = 0
    user: str | None = None


_comment = msgspec.json.Decoder(_Comment).decode


class LogModerator:
    """The operations of the moderation routes, at a dispatcher. `publish`: as for `ActPublisher`."""

    def __init__(self, reader: LogReader, publish: Callable[[bytes], Awaitable[int]]) -> None:
        self._reader = reader
        self._acts = ActPublisher(self, publish)

    async def rules(self, video: str) -> Rules:
        """Return the rules of a video. Raises `Unavailable`."""
        try:
            lines = await self._reader.state(video)
        except BusError:
            raise Unavailable("the log cannot be read; try again", 1) from None
        rules = Rules()
        for line in lines:
            try:
                rules.fold(state.read(line))
            except state.MalformedKeyed:
                continue
        return rules

    async def refresh(self, video: str) -> Rules:
        """Return the rules, as `rules` does: nothing is cached here."""
        return await self.rules(video)

    async def act(self, *several: Act) -> list[Act]:
        """Publish acts; return them once they are in the feed. Raises as `ActPublisher.publish` does."""
        return await self._acts.publish(*several)

    async def clear(self, video: str, by: str, user: str) -> None:
        """Retract all comments of a user, also pinned and waiting ones. Raises as `act` does."""
        await self.act(*acts.clear_all(video, by, user, await self.rules(video)))

    async def comment(self, video: str, name: str) -> Pinned:
        """Return a comment that the log still has. Raises `NotFound`, `Unavailable`."""
        prefix = msgspec.json.encode({"id": name})[:-1] + b","
        found: _Comment | None = None
        after = 0
        try:
            while True:
                part = await self._reader.read(video, after, READ_EVENTS)
                for batch in part.batches:
                    found = _find(batch, prefix, found)
                if part.end <= after or part.end >= part.head.offset:
                    break
                after = part.end
        except BusError:
            raise Unavailable("the log cannot be read; try again", 1) from None
        rules = await self.rules(video)
        if found is None or rules.is_cleared(found.user, found.at):
            raise NotFound("the log has no such comment any more; a likes backend may, or pin a text")
        return Pinned(found.data.text, name, found.user)


def _find(batch: Batch, prefix: bytes, found: _Comment | None) -> _Comment | None:
    """Return the comment whose JSON begins with `prefix`, after this batch; None if it was retracted."""
    for line in batch.lines:
        kind, _, event = line.partition(b" ")
        try:
            if kind == b"comment" and event.startswith(prefix):
                found = _comment(event)
            elif kind == RETRACT.encode() and target_prefix(event) == prefix:
                found = None
        except msgspec.DecodeError:
            continue
    return found
