"""`GET /v1/videos/{video}/viewers` at a dispatcher, where no frontend answers it from its own audience."""

from __future__ import annotations

from typing import Protocol

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.grant import sees_audience
from liveserver.edge.answer import Answer, Peer
from liveserver.edge.request import Request
from liveserver.edge.response import json_response
from liveserver.edge.router import Router
from liveserver.errors import BusError, Unavailable
from liveserver.transport.form import AudiencePayload, ViewersPayload, encode
from liveserver.viewer_count import AudienceSize, ViewerCount

TOKEN = "token"  # noqa: S105  # the query parameter


class CountReader(Protocol):
    """The part of a bus that counts. All raise `BusError`."""

    async def count(self, video: str) -> ViewerCount: ...

    async def audience(self, video: str) -> AudienceSize: ...


class ViewerRoutes:
    """The route. No viewer is connected `here`."""

    def __init__(self, reader: CountReader, authorizer: Authorizer) -> None:
        self._reader = reader
        self._authorizer = authorizer

    def add_to(self, router: Router) -> None:
        router.add("GET", "/v1/videos/{video}/viewers", self.viewers)

    async def viewers(self, request: Request, peer: Peer) -> Answer:
        """Return the viewer counts of a video; for moderators and publishers how many have watched, too."""
        video = request.checked_video()
        token = request.arguments((TOKEN,)).get(TOKEN)
        grant = await self._authorizer.liker(request.headers, token)
        is_shown = sees_audience(grant, video)
        try:
            now = await self._reader.count(video)
            if not is_shown:
                return json_response(200, encode(ViewersPayload(video, 0, now.datacenter, now.total)))
            size = await self._reader.audience(video)
        except BusError:
            raise Unavailable("the viewer count is unavailable; try again", retry_after=1) from None
        peak = max(size.peak, now.total)
        shown = AudiencePayload(video, 0, now.datacenter, now.total, size.unique, peak)
        return json_response(200, encode(shown))
