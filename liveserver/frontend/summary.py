"""`GET /v1/videos/{video}/summary` at a frontend: totals from the state, and the newest comments of the log.

A likes backend answers the same once it has followed the log to its end; only backends have comments that are
no longer in the log.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack

import msgspec

from liveserver.auth.grant import Grant
from liveserver.edge.answer import Answer, Peer
from liveserver.edge.request import Request
from liveserver.edge.response import json_response
from liveserver.edge.router import Router
from liveserver.errors import BusError, Unavailable
from liveserver.frontend.admission import Admission
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.frontend import Frontend
from liveserver.frontend.history.log import Item
from liveserver.lru import LRU

COMMENTS = 50  # in a summary
MAX_VIDEOS = 1_000  # rendered summaries that are cached, those requested last
RETRY_AFTER = 1  # seconds
TOKEN = "token"  # noqa: S105  # the query parameter
LIKES = "likes/"  # prefix of the keys of totals, followed by the store


class _Text(msgspec.Struct):
    text: str


class _Comment(msgspec.Struct):
    id: str
    at: int
    data: _Text
    user: str | None = None
    position: int | None = None
    role: str | None = None


class _Total(msgspec.Struct):
    total: dict[str, int]


class _Likes(msgspec.Struct):
    data: _Total


class _Shown(msgspec.Struct, omit_defaults=True):
    id: str
    text: str
    at: int
    user: str | None = None
    position: int | None = None
    role: str | None = None


class _Summary(msgspec.Struct):
    likes: int
    reactions: dict[str, int]
    comments: list[_Shown]


_comment = msgspec.json.Decoder(_Comment).decode
_likes = msgspec.json.Decoder(_Likes).decode


class Summary:
    """One channel's summary, rendered as of `tip`."""

    __slots__ = ("_comments", "_redactions", "_rendered", "_tip", "channel")

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._comments: list[_Shown] = []  # oldest first
        self._tip = channel.log.kept_from
        self._redactions = 0
        self._rendered = b""

    def render(self) -> bytes:
        """Return the summary as JSON."""
        log = self.channel.log
        if self._rendered and (self._tip, self._redactions) == (log.tip, log.redactions):
            return self._rendered
        if self._redactions != log.redactions or self._tip < log.kept_from:
            self._comments, self._tip, self._redactions = [], log.kept_from, log.redactions
        self._comments += parse_comments(log.between(self._tip, log.tip))
        self._comments.sort(key=lambda comment: (comment.at, comment.id))
        del self._comments[:-COMMENTS]
        self._tip = log.tip
        reactions = self._reactions()
        self._rendered = msgspec.json.encode(
            _Summary(sum(reactions.values()), reactions, self._comments[::-1])
        )
        return self._rendered

    def _reactions(self) -> dict[str, int]:
        """Return the sum over all stores, most frequent first."""
        sums: dict[str, int] = {}
        for event in self.channel.log.state.newest(LIKES):
            try:
                total = _likes(event.data).data.total
            except msgspec.DecodeError:
                continue  # another publisher's
            for reaction, number in total.items():
                sums[reaction] = sums.get(reaction, 0) + number
        return dict(sorted(sums.items(), key=lambda item: (-item[1], item[0])))


def parse_comments(items: Iterable[Item]) -> list[_Shown]:
    """Return the comments, in the form published by backends, among the items."""
    found = []
    for item in items:
        if item.event != b"comment":
            continue
        try:
            comment = _comment(item.data)
        except msgspec.DecodeError:
            continue
        found.append(
            _Shown(comment.id, comment.data.text, comment.at, comment.user, comment.position, comment.role)
        )
    return found


class SummaryRoutes:
    """The summary's routes, for nodes without a likes backend."""

    def __init__(self, frontend: Frontend, admission: Admission) -> None:
        self._frontend = frontend
        self._admission = admission
        self._summaries: LRU[str, Summary] = LRU(MAX_VIDEOS)

    def add_to(self, router: Router) -> None:
        router.add("GET", "/v1/videos/{video}/summary", self.summary)
        router.add("GET", "/v1/videos/{video}/settings", self.settings)

    async def summary(self, request: Request, peer: Peer) -> Answer:
        """Return the totals and the newest comments."""
        video = request.checked_video()
        arguments = request.arguments((TOKEN,))
        viewer = await self._admission.authenticate(request, peer, arguments.get(TOKEN))
        try:
            with ExitStack() as stack:
                stack.callback(viewer.acquire(video))  # counts like a poll, since it opens the channel
                return json_response(200, await self._render(video, viewer.grant))
        except BusError:
            raise Unavailable("the log cannot be read; try again", RETRY_AFTER) from None

    async def settings(self, request: Request, peer: Peer) -> Answer:
        """Return what viewers may do, as the state says."""
        video = request.checked_video()
        arguments = request.arguments((TOKEN,))
        viewer = await self._admission.authenticate(request, peer, arguments.get(TOKEN))
        with ExitStack() as stack:
            stack.callback(viewer.acquire(video))
            async with self._frontend.table.open_channel(video) as channel:
                return json_response(200, msgspec.json.encode(channel.log.state.rules.settings))

    async def _render(self, video: str, grant: Grant) -> bytes:
        """Return a video's summary. Raises `BusError`, `Unavailable`, `Forbidden`."""
        async with self._frontend.table.open_channel(video) as channel:
            self._frontend.check_ban(channel, grant)
            if not channel.is_complete:
                await self._frontend.receiver.fill(channel)
            known = self._summaries.get(video)
            if known is None or known.channel is not channel:
                known = Summary(channel)
                self._summaries.put(video, known)
            return known.render()
