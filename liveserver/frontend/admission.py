"""Who comes to watch: what the request shows, which videos that is good for, until when.

    session = await admission.authenticate(request, peer, token)     # 401, 403, 429, 503
    leave = session.enter(video)                       # 403, 429; call `leave` once, on leaving
    viewer.until = session.until                       # Trio's time; then `bye`, expired

One connection may enter several videos, and is authenticated once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.client_addresses import peer_address
from liveserver.auth.grant import MODERATE, OPEN, WATCH, Grant
from liveserver.auth.rate_limits import nothing
from liveserver.edge.answer import Peer
from liveserver.edge.request import Request


class ViewerSession:
    """An authenticated client that may watch some videos, `until` then in Trio's time."""

    __slots__ = ("_address", "_authorizer", "_videos", "grant", "until")

    def __init__(
        self, authorizer: Authorizer, grant: Grant, address: str, until: float, videos: Mapping[str, object]
    ) -> None:
        self.grant = grant
        self.until = until
        self._authorizer = authorizer
        self._address = address
        self._videos = videos

    def require(self, video: str) -> None:
        """Raises `Forbidden` unless the video may be watched."""
        if self.grant is not OPEN:
            self.grant.require(WATCH, video)

    def is_moderator(self, video: str) -> bool:
        """Return whether the token has the scope. Without authentication there is no moderator here."""
        return self.grant is not OPEN and self.grant.may(MODERATE, video)

    def enter(self, video: str) -> Callable[[], None]:
        """Begin to watch; call what this returns once, on leaving.

        Raises `Forbidden`, `TooMany`, `Unavailable`.
        """
        self.require(video)
        grant, authorizer = self.grant, self._authorizer
        if video not in self._videos:
            authorizer.check_new_video(self._address, len(self._videos))
        if not (authorizer.connects.is_any or authorizer.viewers.is_any):
            return nothing
        names = (self._address, grant.user, video)
        authorizer.connects.spend(*names)
        return authorizer.viewers.enter(*names)


class Admission:
    """Where viewers come in, by whichever transport. `videos` are those that are watched at this node."""

    def __init__(self, authorizer: Authorizer, videos: Mapping[str, object]) -> None:
        self._authorizer = authorizer
        self._videos = videos

    async def authenticate(self, request: Request, peer: Peer, token: str | None = None) -> ViewerSession:
        """Who this is; `token` is the value of `?token=`.

        Raises `Unauthorized`, `Forbidden`, and `Unavailable` when it cannot be found out just now.
        """
        authorizer = self._authorizer
        grant = await authorizer.viewer(request.headers, token)
        until = math.inf if grant.expires == math.inf else authorizer.ends_at(grant)
        address = ""
        if authorizer.connects.is_any or authorizer.viewers.is_any or authorizer.new_videos.is_any:
            address = authorizer.address(peer_address(peer.sock), request.headers)
        return ViewerSession(authorizer, grant, address, until, self._videos)
