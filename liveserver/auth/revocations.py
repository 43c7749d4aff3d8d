"""Tokens that were revoked before they expired: by their `jti`, or all of a user's that
were issued before a time. A fold of keyed events of the site's log (site/feed.py); no I/O.

Rules:

1. Nothing is forgotten because a state lacks it: a revocation holds until its `until`, or until it is lifted.
2. Bounded: `until` is at most `auth.revocation_ttl` away, and the log's state has a bounded number of keys.
3. A token without `iat` counts as issued before any time.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator

import msgspec

from liveserver.auth.grant import Grant
from liveserver.errors import Unauthorized
from liveserver.state import Keyed, State

KEYS = "revoked/"  # how the keys of revocations begin
TOKEN, USER = "revoked/token/", "revoked/user/"

LIFTED = 1_000  # revocations that are over and are remembered, with those of the last `LIFTED_AGE`
LIFTED_AGE = 86_400_000  # ms: far longer than any log

_PLAIN = re.compile(r"[a-z0-9_.-]{1,100}")


class Revocation(msgspec.Struct, frozen=True, omit_defaults=True):
    """`token`: the one with this `jti`. `user`, `before`: the user's tokens issued before then.

    Times are milliseconds since the epoch.
    """

    until: int
    token: str | None = None
    user: str | None = None
    before: int = 0

    @property
    def key(self) -> str:
        """The key of its event."""
        if self.token is not None:
            return TOKEN + key_part(self.token)
        return USER + key_part(self.user or "")


class _Event(msgspec.Struct):
    data: Revocation


_event = msgspec.json.Decoder(_Event).decode


def key_part(name: str) -> str:
    """Return the part of a key that stands for a name, which may have other characters than keys."""
    if _PLAIN.fullmatch(name):
        return name
    return f":{hashlib.blake2s(name.encode('utf-8', 'surrogatepass'), digest_size=16).hexdigest()}"


class Revocations:
    """What was revoked. `clock` gives seconds since the epoch."""

    def __init__(self, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._state = State()
        self._known: dict[str, Revocation] = {}  # by key
        self._tokens: dict[str, int] = {}  # jti → until
        self._users: dict[str, tuple[int, int]] = {}  # user → issued before, until

    def __len__(self) -> int:
        return len(self._known)

    def __iter__(self) -> Iterator[Revocation]:
        """Iterate over those that hold, the oldest first."""
        return iter(list(self._known.values()))

    def get(self, key: str) -> Revocation | None:
        return self._known.get(key)

    def version(self, key: str) -> int:
        """Return the latest known version of this key, lifted or not; -1: none."""
        known = self._state.get(key)
        return -1 if known is None else known.rank[0]

    def fold(self, event: Keyed) -> bool:
        """Fold an event; return whether something was revoked that was not before."""
        if not event.key.startswith(KEYS) or self._state.is_stale(event):
            return False
        revocation: Revocation | None = None
        if not event.is_cleared:
            try:
                revocation = _event(event.data).data
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                return False
            if revocation.key != event.key:
                return False
        self._state.fold(event)
        self._drop(event.key)
        if revocation is None:
            return False
        self._known[event.key] = revocation
        if revocation.token is not None:
            self._tokens[revocation.token] = revocation.until
        else:
            self._users[revocation.user or ""] = (revocation.before, revocation.until)
        return revocation.until > self._now()

    def expired(self) -> list[Revocation]:
        """Return those whose time is over, and drop them; also forget what was lifted long ago."""
        now = self._now()
        over = [known for known in self._known.values() if known.until <= now]
        for revocation in over:
            self._drop(revocation.key)
        if len(self._state) > len(self._known) + LIFTED:
            kept = (event for event in self._state if not event.is_cleared or event.at > now - LIFTED_AGE)
            self._state = State(event for event in kept if event.is_cleared or event.key in self._known)
        return over

    def events(self) -> list[Keyed]:
        """Return the events of those that hold."""
        return [event for key in self._known if (event := self._state.get(key)) is not None]

    def is_revoked(self, grant: Grant) -> bool:
        """Return whether the token that this grant was made from is revoked."""
        if not self._known or not grant.is_viewer:
            return False
        if grant.token_id is not None and self._tokens.get(grant.token_id, 0) > self._now():
            return True
        if grant.user is not None and (found := self._users.get(grant.user)) is not None:
            before, until = found
            return 1000 * grant.issued < before and until > self._now()
        return False

    def check(self, grant: Grant) -> None:
        """Raise `Unauthorized` for a revoked token."""
        if self._known and self.is_revoked(grant):
            raise Unauthorized("the token was revoked; sign in again, and ask for a new one")

    def _drop(self, key: str) -> None:
        known = self._known.pop(key, None)
        if known is not None and known.token is not None:
            self._tokens.pop(known.token, None)
        elif known is not None:
            self._users.pop(known.user or "", None)

    def _now(self) -> int:
        return int(self._clock() * 1000)
