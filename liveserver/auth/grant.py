"""A grant: the permitted scopes and videos, with an expiry."""

from __future__ import annotations

import math

import msgspec

from liveserver.errors import Forbidden

WATCH, LIKE, COMMENT, PUBLISH = "watch", "like", "comment", "publish"
MODERATE = "moderate"  # retract, ban, slow down; exempt from the restrictions of moderation
HOST = "host"  # marks the user's events; hosts pin and announce
VIEWING = frozenset({WATCH, LIKE, COMMENT})  # what a viewer's token without a scope allows
VIEWERS_SCOPES = VIEWING | {MODERATE, HOST}  # what a viewer's token may have
EVERYTHING = VIEWERS_SCOPES | {PUBLISH}


class Grant(msgspec.Struct, frozen=True):
    """What a request may do. `videos` are names or prefixes (`concert-*`); times are seconds since the epoch.

    `user` is the token's user, and `is_viewer` says that there was a token; `name` is the publisher whose key
    was used. `token_id` and `issued` (0: unknown) serve to revoke a viewer's token.
    """

    videos: tuple[str, ...] = ("*",)
    scopes: frozenset[str] = EVERYTHING
    user: str | None = None
    is_viewer: bool = False
    name: str = ""
    expires: float = math.inf
    token_id: str | None = None
    issued: float = 0.0

    def may(self, scope: str, video: str) -> bool:
        return scope in self.scopes and matches(self.videos, video)

    def is_exempt(self, video: str) -> bool:
        """Return whether slow mode, closure and rates do not apply: only to a moderator's own token.

        They apply to a publisher's key, which acts for users, and when authentication is off.
        """
        return self.is_viewer and self.may(MODERATE, video)

    def role(self, video: str) -> str | None:
        """Return the role for the events of the token's user: `host`, `moderator` or None."""
        if not self.is_viewer:
            return None
        if self.may(HOST, video):
            return "host"
        return "moderator" if self.may(MODERATE, video) else None

    def resolve_user(self, user: str | None) -> str | None:
        """Return the user to record for this action: a viewer's token acts for its own user only.

        Raises `Forbidden`.
        """
        if not self.is_viewer:
            return user
        if user is not None and user != self.user:
            raise Forbidden("the token is another user's; omit the user, or send that user's token")
        return self.user

    def require(self, scope: str, video: str) -> None:
        """Raise `Forbidden` unless the grant has the scope and is for this video."""
        if scope not in self.scopes:
            raise Forbidden(f"this needs the scope {scope!r}, which the token or key does not have")
        self.require_video(video)

    def require_video(self, video: str) -> None:
        """Raise `Forbidden` unless the grant is for this video, with any scope."""
        if not matches(self.videos, video):
            raise Forbidden("the token or key is for other videos; get one for this video")


OPEN = Grant()  # authentication is off
ANONYMOUS = Grant(scopes=VIEWING)
NODE = Grant()  # another node of the cluster


def sees_audience(grant: Grant, video: str) -> bool:
    """Return whether a grant shows how many have watched a video, besides how many watch it now.

    That needs the scope `moderate`, or the key of one of the video's publishers.

    Raises `Forbidden` if neither is.
    """
    if grant is OPEN:
        return False
    if grant.name or grant.may(MODERATE, video):
        grant.require_video(video)
        return True
    grant.require(WATCH, video)
    return False


def matches(patterns: tuple[str, ...], video: str) -> bool:
    """Return whether one of the patterns, names or prefixes, matches the video's name."""
    return any(
        video.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == video for pattern in patterns
    )
