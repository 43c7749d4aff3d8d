"""A user's personal data in events, and its removal. No I/O.

Rules:

1. An event is about a user if they caused it (`user`), or if its data or its key names them. Then its content
   is theirs.
2. A moderator (`by`) is named by an act, but its content is not theirs: it only loses the name.
"""

from __future__ import annotations

from typing import Any

from liveserver.auth.revocations import USER, key_part
from liveserver.moderation.rules import BAN, CLEAR, user_key

NAMES = ("user", "by")  # fields of events that name a user


def user_keys(user: str) -> frozenset[str]:
    """Return the keys that name a user."""
    return frozenset((user_key(BAN, user), user_key(CLEAR, user), USER + key_part(user)))


def is_about(event: dict[str, Any], user: str) -> bool:
    """Return whether an event's content is a user's; sums of likes are not."""
    data = event.get("data")
    return (
        event.get("user") == user
        or (isinstance(data, dict) and data.get("user") == user)
        or event.get("key") in user_keys(user)
    )


def does_name(event: dict[str, Any], user: str) -> bool:
    """Return whether an event is about a user, or names them otherwise."""
    return is_about(event, user) or event.get("by") == user


def without_user(event: dict[str, Any], user: str) -> dict[str, Any]:
    """Return an event without a user's data; it keeps its id, type and times."""
    kept = {name: value for name, value in event.items() if name != "by" or value != user}
    if is_about(event, user):
        kept["data"] = None
        kept.pop("user", None)
        if event.get("key") in user_keys(user):
            del kept["key"]
    return kept
