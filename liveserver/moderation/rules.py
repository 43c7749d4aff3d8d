"""A video's rules: a fold of the keyed events that only nodes publish. No I/O.

Rules:

1. A rule is kept although a state lacks it: a bus that has lost data changes nothing here. Rules change by
   newer events only.
2. Bans of `SITE` (`*` in paths) apply to all videos.
3. Times (`until`, `at`) are milliseconds since the epoch.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable, Iterator
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from liveserver.errors import Forbidden
from liveserver.event import SITE as SITE
from liveserver.state import Keyed, State

MAX_SLOW = 3_600  # seconds
SETTINGS, PIN = "settings", "pin"  # keys
BAN, CLEAR, WAITING = "ban/", "clear/", "waiting/"  # prefixes of keys
PREFIXES = (BAN, CLEAR, WAITING)

_PLAIN_USER = re.compile(r"[a-z0-9_.-]{1,100}")


class VideoSettings(msgspec.Struct, frozen=True):
    """What viewers may do; `slow` is the seconds between two comments of a user in slow mode."""

    comments: Literal["open", "slow", "closed"] = "open"
    slow: Annotated[int, Meta(ge=1, le=MAX_SLOW)] = 30
    likes: Literal["open", "closed"] = "open"
    review: bool = False


OPEN_SETTINGS = VideoSettings()


class Ban(msgspec.Struct, frozen=True, omit_defaults=True):
    """A ban of a user, until a time or until it is lifted."""

    user: str
    until: int | None = None
    reason: str = ""

    def holds_at(self, now: int) -> bool:
        return self.until is None or now < self.until


class Waiting(msgspec.Struct, frozen=True, omit_defaults=True):
    """A comment waiting for a moderator."""

    id: str
    text: str
    at: int
    user: str | None = None
    role: str | None = None


class Pinned(msgspec.Struct, frozen=True, omit_defaults=True):
    """The item shown above all comments: a comment or a text."""

    text: str
    comment: str | None = None
    user: str | None = None


class _Data(msgspec.Struct):
    data: msgspec.Raw
    at: int = 0
    by: str | None = None


class _Cleared(msgspec.Struct):
    user: str


_event = msgspec.json.Decoder(_Data).decode
_settings = msgspec.json.Decoder(VideoSettings).decode
_ban = msgspec.json.Decoder(Ban).decode
_cleared = msgspec.json.Decoder(_Cleared).decode
_pinned = msgspec.json.Decoder(Pinned).decode
_waiting = msgspec.json.Decoder(Waiting).decode


def user_key(prefix: str, user: str) -> str:
    """Return a user's key; names that a key cannot have are hashed."""
    if _PLAIN_USER.fullmatch(user):
        return prefix + user
    return f"{prefix}:{hashlib.blake2s(user.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


def is_rule(event: Keyed) -> bool:
    """Return whether a keyed event is a rule."""
    key = event.key
    return key.startswith(PREFIXES) or key in (SETTINGS, PIN)


class Rules:
    """The rules of one video. Bounded like the state from which they are folded."""

    __slots__ = ("_names", "_state", "bans", "cleared", "pinned", "settings", "waiting")

    def __init__(self, events: Iterable[Keyed] = ()) -> None:
        self._state = State()
        self._names: dict[str, str] = {}  # the user or comment id of each key
        self.settings = OPEN_SETTINGS
        self.bans: dict[str, Ban] = {}  # by user
        self.cleared: dict[str, int] = {}  # user → the time up to which comments are retracted
        self.waiting: dict[str, Waiting] = {}  # by id
        self.pinned: Pinned | None = None
        for event in events:
            self.fold(event)

    def __iter__(self) -> Iterator[Keyed]:
        return iter(self._state)

    def get(self, key: str) -> Keyed | None:
        return self._state.get(key)

    def fold(self, event: Keyed) -> bool:
        """Fold an event; return whether it changed the rules. Other and malformed events do not."""
        if not is_rule(event) or self._state.is_stale(event):
            return False
        try:
            self._apply(event)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False  # another publisher's, if authentication is off
        return self._state.fold(event)

    def _apply(self, event: Keyed) -> None:
        """Apply an event to the rules. Raises `msgspec.DecodeError`."""
        key = event.key
        if event.is_cleared:
            self._forget(key)
            return
        said = _event(event.data)
        if key == SETTINGS:
            self.settings = _settings(said.data)
        elif key == PIN:
            self.pinned = _pinned(said.data)
        elif key.startswith(BAN):
            ban = _ban(said.data)
            self._names[key] = ban.user
            self.bans[ban.user] = ban
        elif key.startswith(CLEAR):
            self.cleared[_cleared(said.data).user] = event.at
        elif key.startswith(WAITING):
            waiting = _waiting(said.data)
            self._names[key] = waiting.id
            self.waiting[waiting.id] = waiting

    def _forget(self, key: str) -> None:
        if key == SETTINGS:
            self.settings = OPEN_SETTINGS
        elif key == PIN:
            self.pinned = None
        elif key.startswith(BAN):
            self.bans.pop(self._names.pop(key, ""), None)
        elif key.startswith(WAITING):
            self.waiting.pop(self._names.pop(key, ""), None)

    def ban(self, user: str | None, now: int) -> Ban | None:
        """Return the ban in force for a user."""
        ban = self.bans.get(user) if user is not None else None
        return ban if ban is not None and ban.holds_at(now) else None

    def banned_by(self, key: str) -> str | None:
        """Return the user whose ban has this key."""
        return self._names.get(key) if key.startswith(BAN) else None

    def is_cleared(self, user: str | None, at: int) -> bool:
        """Return whether a user's comment of that time is retracted."""
        return user is not None and at <= self.cleared.get(user, -1)


def banned(ban: Ban, now: int) -> Forbidden:
    """Return the error for a banned user."""
    detail = "you were removed by a moderator" + (f": {ban.reason}" if ban.reason else "")
    after = None if ban.until is None else math.ceil((ban.until - now) / 1000)
    return Forbidden(detail, "banned", ban.until, after)
