"""What somebody may do, with which videos, until when."""

from __future__ import annotations

import math

import msgspec

from liveserver.errors import Forbidden

WATCH, LIKE, COMMENT, PUBLISH = "watch", "like", "comment", "publish"
MODERATE = "moderate"  # take back, ban, slow down; exempt from what moderators ask of others
HOST = "host"  # the user's events say so; hosts pin and announce
VIEWING = frozenset({WATCH, LIKE, COMMENT})  # what a viewer's token without a scope allows
VIEWERS_SCOPES = VIEWING | {MODERATE, HOST}  # what a viewer's token may have
EVERYTHING = VIEWERS_SCOPES | {PUBLISH}


class Grant(msgspec.Struct, frozen=True):
    """`videos` are exact names or beginnings (`concert-*`); `expires` is in seconds since the epoch.

    `user` is whose token it was, and `is_viewer` that it was one; `name` is whose publisher's key. `token_id`
    and `issued`, in seconds since the epoch (0: not said), are what a viewer's token is revoked by.
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
        """Return whether slow mode, closure and rates do not hold for it: for a moderator's own token.

        A site's key acts for its users, for whom they hold; and so they do where authentication is off.
        """
        return self.is_viewer and self.may(MODERATE, video)

    def role(self, video: str) -> str | None:
        """Return what the events of a token's user say of it: `host`, `moderator` or nothing."""
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
            raise Forbidden("the token is another user's; leave the user out, or send that one's token")
        return self.user

    def require(self, scope: str, video: str) -> None:
        """Raises `Forbidden`, which says what is missing."""
        if scope not in self.scopes:
            raise Forbidden(f"this needs the scope {scope!r}, which what was shown does not have")
        self.require_video(video)

    def require_video(self, video: str) -> None:
        """Raise `Forbidden` unless the grant is for this video, whatever it allows there."""
        if not matches(self.videos, video):
            raise Forbidden("what was shown is for other videos; ask for one that names this video")


OPEN = Grant()  # where nobody is asked
ANYBODY = Grant(scopes=VIEWING)
NODE = Grant()  # another node of the cluster


def matches(patterns: tuple[str, ...], video: str) -> bool:
    """Whether one of the patterns is, or covers, the video's name."""
    return any(
        video.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == video for pattern in patterns
    )
