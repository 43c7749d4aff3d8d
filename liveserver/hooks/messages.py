"""The messages made from a log: their kinds, and their form. No I/O.

A message is one JSON object, `{"type":KIND,"timestamp":TIME,"data":EVENT}`, with the event as viewers see it.
Its id is made from the event's: an event that comes twice has the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from liveserver.bus.canary import PREFIX
from liveserver.config import HookEndpointSettings
from liveserver.config.hook_checks import EVENT, KINDS, matches
from liveserver.event import SITE, SKIPPED
from liveserver.moderation.rules import BAN, CLEAR, PIN, SETTINGS, WAITING
from liveserver.state import MARK, MalformedKeyed, read

GAP_KIND = "video.gap"
OCCUPIED, VACATED = "video.occupied", "video.vacated"
REVOKED = "revoked/"
EXPIRY = "expiry"  # `by` of events that clear what has expired by itself

_PLAIN = {
    "comment": "comment.created",
    "retract": "comment.retracted",
    "announcement": "moderation.announcement",
    "disconnection": "moderation.disconnection",
}
_KEYED = {  # by the beginning of the key: set, cleared
    SETTINGS: ("moderation.settings", "moderation.settings"),
    PIN: ("moderation.pin", "moderation.unpin"),
    BAN: ("moderation.ban", "moderation.unban"),
    CLEAR: ("moderation.clear", "moderation.clear"),
    WAITING: ("comment.waiting", "comment.decided"),
    REVOKED: ("moderation.revocation", "moderation.revocation"),
}
_UNDELIVERED = frozenset({"canary", "likes", SKIPPED})


class Message(NamedTuple):
    """A message, for whichever endpoints want its kind."""

    kind: str
    id: str
    body: bytes


class _Facts(msgspec.Struct):
    id: str = ""
    at: int = 0
    by: str | None = None


_facts = msgspec.json.Decoder(_Facts).decode


class Target:
    """The kinds of messages and the videos that one endpoint wants."""

    def __init__(self, name: str, settings: HookEndpointSettings, ephemeral: Iterable[str]) -> None:
        self.name = name
        self._settings = settings
        self._left_out = {EVENT + kind for kind in ephemeral}

    def wants(self, kind: str, video: str) -> bool:
        """Return whether it wants messages of this kind about this video."""
        is_kind = kind == GAP_KIND or any(matches(pattern, kind) for pattern in self._settings.events)
        return (
            is_kind
            and kind not in self._left_out
            and any(matches(pattern, video) for pattern in self._settings.videos)
        )

    def wants_occupancy(self) -> bool:
        return any(
            matches(pattern, kind) for pattern in self._settings.events for kind in (OCCUPIED, VACATED)
        )


def is_followed(video: str) -> bool:
    """Return whether this is a video, or the site's log."""
    return not video.startswith(PREFIX)


def messages(video: str, lines: Sequence[bytes]) -> Iterable[Message]:
    """Yield the messages of a log's lines, in order."""
    for line in lines:
        kind, data = _kind(video, line)
        if not kind:
            continue
        try:
            facts = _facts(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue  # another publisher's past the checks
        if kind == "moderation.revocation" and facts.by == EXPIRY:
            continue
        yield Message(kind, message_id(video, kind, facts.id), _body(kind, facts.at, data))


def _kind(video: str, line: bytes) -> tuple[str, bytes]:
    """Return the kind of a line's message, empty for none, and its event."""
    head, _, data = line.partition(b" ")
    kind = head.decode("ascii", "replace")
    if line.startswith(MARK):
        try:
            keyed = read(line)
        except MalformedKeyed:
            return "", b""
        data, kind = keyed.data, keyed.type.decode()
        for prefix, names in _KEYED.items():
            if keyed.key == prefix or (prefix.endswith("/") and keyed.key.startswith(prefix)):
                return names[keyed.is_cleared], data
        if keyed.is_internal:
            return "", b""
    known = _PLAIN.get(kind)
    if known is not None or video == SITE or kind in _UNDELIVERED:
        return known or "", data
    return EVENT + kind, data


def message_id(*parts: str) -> str:
    """Return the id of a message, made of these parts; without a full stop, as signatures need."""
    return f"msg_{hashlib.blake2s(' '.join(parts).encode(), digest_size=16).hexdigest()}"


def own_message(kind: str, name: str, at: int, data: dict[str, Any]) -> Message:
    """Return a message that is not an event of a log."""
    return Message(kind, name, _body(kind, at, msgspec.json.encode(data)))


def gap_message(video: str, name: str, at: int) -> Message:
    """Return the message that reports missing messages about this video before it."""
    return own_message(GAP_KIND, message_id(video, GAP_KIND, name), at, {"video": video, "at": at})


def kind_of(body: bytes) -> str:
    """Return the kind of a message."""
    return msgspec.json.decode(body, type=_Kind).type


class _Kind(msgspec.Struct):
    type: str


def _body(kind: str, at: int, data: bytes) -> bytes:
    try:
        stamp = datetime.fromtimestamp(at / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        stamp = datetime.fromtimestamp(0, UTC)
    text = stamp.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return b'{"type":"%b","timestamp":"%b","data":%b}' % (kind.encode(), text.encode(), data)


assert {name for names in _KEYED.values() for name in names} | set(_PLAIN.values()) < set(KINDS)
