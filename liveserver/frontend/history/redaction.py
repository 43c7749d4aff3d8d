"""Redaction: an event that was retracted, or cleared with all of its user's, keeps its position in the log
and loses its content.

Viewers that pass the position later receive a retraction instead. So numbers stay contiguous, and the id of
each event is still sent.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec

from liveserver.event import RETRACT
from liveserver.lru import LRU
from liveserver.moderation.rules import Rules
from liveserver.redaction import redacted, target_prefix

__all__ = ["RETRACT_TYPE", "RetractedIds", "redacted", "target_prefix", "was_cleared"]

RETRACT_TYPE = RETRACT.encode()
FEW = 8  # up to so many prefixes, comparing one by one is faster
COMMENT = b"comment"
_ID_PREFIX = re.compile(rb'\{"id":"(?:[^"\\]|\\.)*",')


class RetractedIds:
    """The retracted ids of a log, as prefixes of their events' JSON; the newest `limit`.

    An event may arrive after its retraction (datacenters relay in different orders), and several events may
    have the same id (published in two datacenters).
    """

    __slots__ = ("_prefixes",)

    def __init__(self, limit: int) -> None:
        self._prefixes = LRU[bytes, bool](limit)

    def __bool__(self) -> bool:
        return len(self._prefixes) > 0

    def add(self, retraction: bytes) -> bytes | None:
        """Add the target of a retraction's JSON; return its prefix, or None if it has no target."""
        prefix = target_prefix(retraction)
        if prefix is not None:
            self._prefixes.put(prefix, True)
        return prefix

    def update(self, other: RetractedIds) -> None:
        for prefix in other._prefixes:
            self._prefixes.put(prefix, True)

    def matcher(self, prefixes: Sequence[bytes]) -> Callable[[bytes], bool]:
        """Return the fastest test for these prefixes, which were just added."""
        if len(prefixes) > FEW:
            return self.has_target
        few = tuple(prefixes)
        return lambda data: data.startswith(few)

    def has_target(self, data: bytes) -> bool:
        """Return whether this event's JSON is of a retracted event."""
        prefix = _ID_PREFIX.match(data)
        return prefix is not None and prefix[0] in self._prefixes


class _Comment(msgspec.Struct):
    at: int = 0
    user: str | None = None


_comment = msgspec.json.Decoder(_Comment).decode


def was_cleared(rules: Rules, data: bytes) -> bool:
    """Return whether an event's JSON is of a comment whose user's comments of that time are gone."""
    try:
        comment = _comment(data)
    except msgspec.DecodeError:
        return False
    return rules.is_cleared(comment.user, comment.at)
