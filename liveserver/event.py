"""A video's events, numbered and immutable once accepted.

An event has three forms, in this order:

- `Publication`: as a publisher sent it, parsed and checked.
- a *line*: `type`, a space, and the event's JSON as viewers see it, without a line break. Rendered
  once, by the dispatcher that accepts the event, and carried unchanged to the last frontend. The head of
  a keyed event's line has more words, see `state.py`.
- `Batch`: consecutive lines of one video and one origin with their numbers, as on inboxes, feeds and in reads
  of the log.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

from liveserver import state

VIDEO = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
TYPE = re.compile(r"[a-z][a-z0-9_.-]{0,31}")
MAX_VIDEO, MAX_TYPE, MAX_USER = 128, 32, 128  # characters of their names
USERS = (
    f"a user has at most {MAX_USER} characters, none of them NUL, and may not be . or .., "
    "which browsers resolve in URLs"
)
ORIGIN = re.compile(r"[a-z0-9]{1,16}")
SITE = "liveserver.site"  # the log for all videos: it has no viewers, and only nodes publish to it
RETRACT = "retract"  # retracts the event data.id
# Names that wire forms, browsers' event sources and clients use themselves. An event type that is one of
# these would be taken for it: by a WebSocket's reader, by `addEventListener`, by an object used as a map.
CONTROL_WORDS = frozenset(
    {"ready", "gap", "bye", "state", "viewers", "events", "error", "ping", "pong", "subscribe", "unsubscribe"}
    | {"omitted"}
    | {"open", "close", "message", "abort", "refused", "connection", "disconnected", "lost", "constructor"}
)
RESERVED_TYPES = CONTROL_WORDS | {RETRACT}
# Only nodes publish these, where authentication is on: the totals of likes, and moderators' acts. Of those,
# what is internal is numbered and kept like everything else, and rendered for moderators only.
INTERNAL_TYPES = frozenset({"ban", "waiting", "audit"})
_PUBLIC_HOUSE_TYPES = frozenset({"likes", "settings", "pin", "clear", "announcement"})
NODE_ONLY_TYPES = INTERNAL_TYPES | _PUBLIC_HOUSE_TYPES | {"revocation", "disconnection"}
NODE_ONLY_KEYS = ("likes/", "revoked/", "ban/", "clear/", "waiting/")

_EPOCH, _NUMBER = rb"[a-z0-9]{1,12}", rb"[1-9][0-9]{0,14}"  # as in a cursor, or it could not be resumed from
_BATCH_HEAD = re.compile(
    rb"([A-Za-z0-9][A-Za-z0-9._-]{0,127}) (%b) (%b) ([a-z0-9]{1,16}) (%b) (%b)"
    rb"(?: [!-~]{1,128}){0,8}"  # words of a newer version, which are ignored
    % (_EPOCH, _NUMBER, _EPOCH, _NUMBER)
)
_TYPE = re.compile(TYPE.pattern.encode())


def is_video(name: str) -> bool:
    """Return whether this can be a video's name."""
    return len(name) <= MAX_VIDEO and _matches_video(name)


@lru_cache(4_096)
def _matches_video(name: str) -> bool:
    return VIDEO.fullmatch(name) is not None


def is_user(name: str) -> bool:
    """Return whether requests can name this user: PostgreSQL stores no NUL character, and browsers resolve
    `bans/..` to another path, so that such a user could not be banned.
    """
    return len(name) <= MAX_USER and name not in (".", "..") and "\0" not in name


def is_type(name: str) -> bool:
    """Return whether this can be an event's type."""
    return len(name) <= MAX_TYPE and _matches_type(name)


@lru_cache(1_024)
def _matches_type(name: str) -> bool:
    return TYPE.fullmatch(name) is not None


SKIPPED = "skipped"  # an internal event in the place of ephemeral ones that are gone; it is ephemeral itself


def type_of(line: bytes) -> bytes:
    """Return the type of the event of a line."""
    head = line.partition(b" ")[0]
    return head.split(b";", 2)[1] if head.startswith(state.MARK) else head


def skipped_line(video: str, number: int) -> bytes:
    """Return the line that stands for ephemeral events up to `number`, the last of which it takes the
    place of."""
    head = state.head(SKIPPED, "", None, 0, is_cleared=False, is_internal=True)
    return head + b' {"id":"%b-%d","video":"%b","type":"%b"}' % (
        SKIPPED.encode(), number, video.encode(), SKIPPED.encode(),
    )  # fmt: skip


def is_node_only(kind: str, key: str | None) -> bool:
    """Return whether only nodes publish events of this type, or with this key."""
    return kind in NODE_ONLY_TYPES or (
        key is not None and (key in NODE_ONLY_TYPES or key.startswith(NODE_ONLY_KEYS))
    )


def is_own_key(key: str) -> bool:
    """Return whether the server's own events have this key: they fit although publishers filled the state."""
    return key in ("settings", "pin") or key.startswith(NODE_ONLY_KEYS)


class Publication(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """One event as its publisher sent it. `data` stays unparsed JSON; empty when absent.

    `key` and `version` make it a part of the video's state; `position` is media time in milliseconds, `at`
    when it was done. Only nodes say what the `role` of its user is, and which moderator did it (`by`).
    """

    type: str
    user: str | None = None
    data: msgspec.Raw = msgspec.Raw()
    id: str | None = None
    video: str | None = None
    key: str | None = None
    version: int | None = None
    position: int | None = None
    at: int | None = None
    role: str | None = None
    by: str | None = None


class NodePublication(Publication, forbid_unknown_fields=False):
    """The publication of a node, which may be of a newer version: unknown fields are ignored."""


class Event(msgspec.Struct, omit_defaults=True, gc=False):
    """An event as viewers see it; the field order is the wire's.

    `at` is when it was done, in milliseconds since the epoch: as its publisher says, else when it was
    accepted. `accepted` is when a dispatcher took it, where the two are apart; `data` is JSON as it came.
    """

    id: str
    video: str
    type: str
    user: str | msgspec.UnsetType = msgspec.UNSET
    at: int = -1  # unknown; 0 is a time
    accepted: int | msgspec.UnsetType = msgspec.UNSET
    key: str | msgspec.UnsetType = msgspec.UNSET
    version: int | msgspec.UnsetType = msgspec.UNSET
    position: int | msgspec.UnsetType = msgspec.UNSET
    role: str | msgspec.UnsetType = msgspec.UNSET
    by: str | msgspec.UnsetType = msgspec.UNSET
    data: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


_check_json = msgspec.json.Decoder(msgspec.Raw).decode  # a Raw is skipped over, not built


class MalformedBatch(ValueError):
    """Bytes on an inbox or a feed that are not a batch."""


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Events `first`, `first + 1`, … of one video's log in this datacenter, all of one origin.

    `number` is the origin's own number of the first of them; both count up by one per line. `since`, which
    only readers of a log get: the origin's events between it and `number` were ephemeral (`is_ephemeral`), so
    that none is lost if they are absent; None if that is known of none.
    """

    video: str
    epoch: str
    first: int
    origin: str
    origin_epoch: str
    number: int
    lines: list[bytes]
    since: int | None = None

    @property
    def after(self) -> int:
        """The origin's number after which nothing is missing before the batch but ephemeral events."""
        return self.number - 1 if self.since is None else self.since

    @property
    def last(self) -> int:
        """The offset of the last event."""
        return self.first + len(self.lines) - 1

    def encode(self) -> bytes:
        """`video epoch first origin origin_epoch number` and the lines, LF between them.

        `append.lua` writes the same.
        """
        head = f"{self.video} {self.epoch} {self.first} {self.origin} {self.origin_epoch} {self.number}"
        return b"\n".join([head.encode(), *self.lines])

    @classmethod
    def decode(cls, wire: bytes) -> Batch:
        """Parse the result of `encode`. Raises `MalformedBatch`. The lines are checked by `check`."""
        head, *lines = wire.split(b"\n")
        words = _BATCH_HEAD.fullmatch(head)
        if words is None:
            raise MalformedBatch(f"a batch begins with a video, epochs, an origin, numbers: {head[:100]!r}")
        if not lines or any(b" " not in line for line in lines):
            raise MalformedBatch("a batch has lines, each of a type, a space and JSON")
        video, epoch, first, origin, origin_epoch, number = (word.decode() for word in words.groups())
        return cls(video, epoch, int(first), origin, origin_epoch, int(number), lines)

    def check(self) -> None:
        """Raise `MalformedBatch` unless each line is a type, a space and one JSON text in UTF-8."""
        try:
            for line in self.lines:
                kind, _, data = line.partition(b" ")
                if _TYPE.fullmatch(kind) is None or b"\r" in data:
                    if kind[:1] != state.MARK or b"\r" in data:
                        raise MalformedBatch(f"a line is a type, a space and JSON: {line[:100]!r}")
                    state.read(line)
                if not data.isascii():
                    data.decode("utf-8")
                _check_json(data)
        except state.MalformedKeyed as error:
            raise MalformedBatch(str(error)) from None
        except (UnicodeDecodeError, msgspec.DecodeError, RecursionError) as error:
            raise MalformedBatch(f"a line has JSON in UTF-8: {error}") from None
