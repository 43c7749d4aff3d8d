"""Moderators' acts as events. Each has `by`, so the feed is the audit trail. No I/O."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

import msgspec

from liveserver import state
from liveserver.event import INTERNAL_TYPES
from liveserver.ids import IdMaker
from liveserver.moderation.rules import (
    BAN,
    CLEAR,
    PIN,
    SETTINGS,
    WAITING,
    Ban,
    Pinned,
    Rules,
    VideoSettings,
    Waiting,
    user_key,
)

MAX_REASON = 200  # characters
MAX_ACTS = 500  # acts in one request

_new_id = IdMaker()


class Act(msgspec.Struct):
    """An event caused by a moderator. `at` is set when it is published; `data` None clears the key."""

    video: str
    type: str
    key: str | None = None
    data: Any = None
    user: str | None = None
    by: str | None = None
    role: str | None = None
    id: str = ""
    at: int = 0

    def stamped(self, now: int, rank_at: int) -> Act:
        """Return the act with an id, and a time later than the latest known one of its key."""
        at = max(now, rank_at + 1)
        return msgspec.structs.replace(self, at=at, id=self.id or _new_id(at))

    def publication(self) -> dict[str, Any]:
        """Return the publication for a dispatcher."""
        fields = {"id": self.id, "video": self.video, "type": self.type, "at": self.at, "data": self.data}
        for name in ("key", "user", "by", "role"):
            if (value := getattr(self, name)) is not None:
                fields[name] = value
        return fields

    def keyed(self) -> state.Keyed:
        """Return the keyed event as followers of the log receive it."""
        head = state.head(
            self.type,
            self.key or "",
            None,
            self.at,
            is_cleared=self.data is None,
            is_internal=self.type in INTERNAL_TYPES,
        )
        return state.read(head + b" " + msgspec.json.encode(self.publication()))


def change_settings(video: str, by: str, settings: VideoSettings) -> Act:
    """Return the act that changes the settings."""
    return Act(video, "settings", SETTINGS, msgspec.to_builtins(settings), by=by)


def ban(video: str, by: str, ban: Ban) -> Act:
    """Return the act that bans a user."""
    data = {"user": ban.user, "until": ban.until, "reason": ban.reason}
    return Act(video, "ban", user_key(BAN, ban.user), data, user=ban.user, by=by)


def lift_ban(video: str, by: str, user: str) -> Act:
    """Return the act that lifts a ban."""
    return Act(video, "ban", user_key(BAN, user), None, user=user, by=by)


def clear(video: str, by: str, user: str) -> Act:
    """Return the act that retracts all previous comments of a user."""
    return Act(video, "clear", user_key(CLEAR, user), {"user": user}, by=by)


def clear_all(video: str, by: str, user: str, rules: Rules) -> list[Act]:
    """Return the acts that retract all comments of a user so far, also pinned and waiting ones."""
    also = [
        decide(video, by, comment, "rejected") for comment in rules.waiting.values() if comment.user == user
    ]
    if rules.pinned is not None and rules.pinned.user == user:
        also.insert(0, pin(video, by, None, None))
    return [clear(video, by, user), *also]


def pin(video: str, by: str, role: str | None, pinned: Pinned | None) -> Act:
    """Return the act that pins this; with None, the act that unpins."""
    return Act(video, "pin", PIN, None if pinned is None else msgspec.to_builtins(pinned), by=by, role=role)


def announce(video: str, by: str, role: str | None, text: str, key: str | None = None) -> Act:
    """Return the act that shows a text to all viewers. With an Idempotency-Key it has the same id each
    time, so dispatchers accept it once.
    """
    made = ""
    if key is not None:
        made = "a" + hashlib.blake2s(msgspec.json.encode([video, by, key]), digest_size=12).hexdigest()
    return Act(video, "announcement", None, {"text": text}, by=by, role=role, id=made)


def wait(video: str, comment: Waiting) -> Act:
    """Return the act that holds a comment for review."""
    return Act(
        video, "waiting", WAITING + comment.id.lower(), msgspec.to_builtins(comment), user=comment.user
    )


def decide(video: str, by: str, comment: Waiting, decision: Literal["approved", "rejected"]) -> Act:
    """Return the act that ends the review of a comment."""
    return Act(video, "waiting", WAITING + comment.id.lower(), None, user=comment.user, by=by)


def show(video: str, comment: Waiting) -> Act:
    """Return the approved comment, as an ordinary comment event."""
    return Act(
        video, "comment", None, {"text": comment.text}, user=comment.user, role=comment.role, id=comment.id
    )


def audit(video: str, by: str, act: str, **what: Any) -> Act:
    """Return an act that exists only for the audit trail."""
    return Act(video, "audit", None, {"act": act, **what}, by=by)
