"""Keyed events: the state of a video is the newest event of each key (log compaction).

A keyed event's line has a head of several words, so that scripts and nodes need not parse its JSON:

    ;type;key;version;at;flags {"id":"…",…}

`version` is a number, or `-` for none; `flags` are `c` (the key is cleared) and `i` (internal: for
moderators only). An internal event may have no key; it is not part of the state.

Rules:

1. Newer is the higher version (none is lower than any), then the later `at`, then the greater id. That is
   a total order, so the state does not depend on the order of arrival: every node, datacenter and client
   comes to the same one.
2. A cleared key stays as a *tombstone* without data, or an older event that comes late would bring it back.
3. `bus/redis/scripts/state.lua` does the same; one contract test holds both to these rules.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set
from typing import NamedTuple

MARK = b";"  # how a keyed event's line begins; others begin with a letter
MARK_BYTE = MARK[0]
KEY = re.compile(r"[a-z][a-z0-9_.:/-]{0,127}")
MAX_VERSION = 2**53 - 1  # the largest safe integer of JavaScript
NO_VERSION = -1
UNSHOWN = "clear/"  # prefix of keys that viewers are not sent: no log has the events that they name
# A keyed event's id is compared byte by byte, also in Lua and JavaScript: it has no characters that JSON
# escapes.
KEYED_ID = re.compile(r"[ !#-\[\]-~]{1,128}")

_LINE = re.compile(
    rb";([a-z][a-z0-9_.-]{0,31});((?:[a-z][a-z0-9_.:/-]{0,127})?);(-|0|[1-9][0-9]{0,15})"
    rb';(0|[1-9][0-9]{0,15});(c?i?) (\{"id":"([ !#-\[\]-~]{1,128})".*)',
    re.DOTALL,
)


class MalformedKeyed(ValueError):
    """A malformed line that begins like a keyed event's."""


class Keyed(NamedTuple):
    """One event of a video's state. Of two events of a key, the newer has the greater `rank`."""

    key: str
    rank: tuple[int, int, bytes]
    type: bytes
    data: bytes
    is_cleared: bool
    is_internal: bool

    @property
    def at(self) -> int:
        return self.rank[1]


def head(kind: str, key: str, version: int | None, at: int, *, is_cleared: bool, is_internal: bool) -> bytes:
    """Return the head of a line, without the space after it."""
    number = "-" if version is None else version
    flags = ("c" if is_cleared else "") + ("i" if is_internal else "")
    return f";{kind};{key};{number};{at};{flags}".encode()


def read(line: bytes) -> Keyed:
    """Parse a keyed event's line. Raises `MalformedKeyed`."""
    found = _LINE.fullmatch(line)
    if found is None:
        raise MalformedKeyed(f"a keyed line is ;type;key;version;at;flags and JSON: {line[:100]!r}")
    kind, key, version, at, flags, data, name = found.groups()
    number = NO_VERSION if version == b"-" else int(version)
    if number > MAX_VERSION:
        raise MalformedKeyed(f"a version is below 2^53: {line[:100]!r}")
    rank = (number, int(at), name)
    return Keyed(key.decode(), rank, kind, data, b"c" in flags, b"i" in flags)


def tombstone(line: bytes, event: Keyed) -> bytes:
    """Return the kept part of a line that clears its key."""
    return line.partition(b" ")[0] + b' {"id":"%b"}' % event.rank[2]


class State:
    """The newest event of each key. Not bounded here: callers limit what they fold."""

    __slots__ = ("_events",)

    def __init__(self, events: Iterable[Keyed] = ()) -> None:
        self._events: dict[str, Keyed] = {}
        for event in events:
            self.fold(event)

    def __len__(self) -> int:
        return len(self._events)

    def __iter__(self) -> Iterator[Keyed]:
        return iter(self._events.values())

    def get(self, key: str) -> Keyed | None:
        return self._events.get(key)

    def is_stale(self, event: Keyed) -> bool:
        """Whether the state has this event's key in the same or a newer form."""
        known = self._events.get(event.key)
        return known is not None and known.rank >= event.rank

    def fold(self, event: Keyed) -> bool:
        """Fold an event; return False if it has no key, or is stale."""
        if not event.key or self.is_stale(event):
            return False
        self._events[event.key] = event
        return True

    def empty(self, key: str) -> None:
        """Take the present event of a key as one that clears it."""
        if (known := self._events.get(key)) is not None:
            self._events[key] = known._replace(is_cleared=True)

    def shown(self, *, internal: bool, types: Set[bytes] | None = None) -> list[Keyed]:
        """Return the events that a viewer receives, oldest first; internal ones only for moderators.

        `types`: only such events.
        """
        events = [
            event
            for event in self._events.values()
            if not event.is_cleared
            and (internal or not event.is_internal)
            and not event.key.startswith(UNSHOWN)
            and (types is None or event.type in types)
        ]
        return sorted(events, key=lambda event: (event.rank[1], event.rank[2]))
