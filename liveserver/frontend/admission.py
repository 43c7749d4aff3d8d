"""Authentication and limits of viewers.

    session = await admission.authenticate(request, peer, token)     # 401, 403, 429, 503
    release = session.acquire(video)                   # 403, 429; call `release` once, at the end
    viewer.until = session.until                       # Trio's time; then `bye`, expired

A connection is authenticated once, and may watch several videos.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.client_addresses import peer_address
from liveserver.auth.grant import MODERATE, OPEN, WATCH, Grant, sees_audience
from liveserver.auth.rate_limits import nothing
from liveserver.edge.answer import Peer
from liveserver.edge.request import Request
from liveserver.transport.form import Reason


class ViewerSession:
    """An authenticated client, which may watch some videos `until` its grant expires (in Trio's time)."""

    __slots__ = ("_address", "_authorizer", "_videos", "ended", "grant", "until")

    def __init__(
        self, authorizer: Authorizer, grant: Grant, address: str, until: float, videos: Mapping[str, object]
    ) -> None:
        self.grant = grant
        self.ended: Reason | None = None  # why it must not join after all
        self.until = until
        self._authorizer = authorizer
        self._address = address
        self._videos = videos

    def require(self, video: str) -> None:
        """Raise `Forbidden` unless the client may watch the video."""
        if self.grant is not OPEN:
            self.grant.require(WATCH, video)

    def is_moderator(self, video: str) -> bool:
        """Return whether the client may moderate the video. Never true when authentication is off."""
        return self.grant is not OPEN and self.grant.may(MODERATE, video)

    def acquire(self, video: str) -> Callable[[], None]:
        """Count a viewer of the video; return the function to call once when it leaves.

        Raises `Forbidden`, `TooMany`, `Unavailable`.
        """
        self.require(video)
        grant, authorizer = self.grant, self._authorizer
        if video not in self._videos:
            authorizer.check_new_video(self._address, len(self._videos))
        if not (authorizer.connects.is_any or authorizer.viewers.is_any):
            return nothing
        names = (self._address, grant.user, video)
        authorizer.connects.acquire(*names)
        return authorizer.viewers.acquire(*names)


class Admission:
    """Authenticates viewers of all transports. `videos` are those watched at this node."""

    def __init__(self, authorizer: Authorizer, videos: Mapping[str, object]) -> None:
        self._authorizer = authorizer
        self._videos = videos
        self.joining: set[ViewerSession] = set()  # with a token, and neither viewers yet nor refused
        self._open = ViewerSession(authorizer, OPEN, "", math.inf, videos)  # if viewers are not counted

    def track(self, session: ViewerSession) -> None:
        """Have `session.ended` set if its token is revoked, until `untrack`."""
        if session.grant.is_viewer:
            self.joining.add(session)

    def untrack(self, session: ViewerSession) -> None:
        if session.grant.is_viewer:
            self.joining.discard(session)

    async def may_see_audience(self, request: Request, video: str, token: str | None = None) -> bool:
        """Check that a request may see how many watch a video; return whether it may also see how many have.

        The latter needs the scope `moderate`, or the key of one of the video's publishers.

        Raises `Unauthorized`, `Forbidden`, and `Unavailable` if the keys cannot be fetched.
        """
        return sees_audience(await self._authorizer.liker(request.headers, token), video)

    async def authenticate(self, request: Request, peer: Peer, token: str | None = None) -> ViewerSession:
        """Return the session of a request; `token` is the value of `?token=`.

        Raises `Unauthorized`, `Forbidden`, and `Unavailable` if the keys cannot be fetched.
        """
        authorizer = self._authorizer
        grant = await authorizer.viewer(request.headers, token)
        is_counted = authorizer.connects.is_any or authorizer.viewers.is_any or authorizer.new_videos.is_any
        if grant is OPEN and not is_counted:
            return self._open
        until = math.inf if grant.expires == math.inf else authorizer.ends_at(grant)
        address = authorizer.address(peer_address(peer.sock), request.headers) if is_counted else ""
        return ViewerSession(authorizer, grant, address, until, self._videos)
