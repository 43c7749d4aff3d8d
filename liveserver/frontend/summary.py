"""Reads at a frontend: totals and settings from the state, and the comments of the log.

A likes backend answers the same once it has followed the log to its end; only backends have comments that are
no longer in the log.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from itertools import islice

import msgspec

from liveserver.auth.grant import Grant
from liveserver.edge.answer import Answer, Peer
from liveserver.edge.query import parse_limit
from liveserver.edge.request import Request
from liveserver.edge.response import json_response
from liveserver.edge.router import Router
from liveserver.errors import BadRequest, BusError, NotFound, Unavailable
from liveserver.frontend.admission import Admission
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.frontend import Frontend
from liveserver.frontend.history.log import Item
from liveserver.lru import LRU

COMMENTS = 50  # in a summary, and in a page by default
MAX_PAGE = 200
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


class _Page(msgspec.Struct):
    comments: list[_Shown]
    next: str | None
    complete: bool = False  # there may be others that are no longer in the log


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


def parse_comments(items: Iterable[Item]) -> Iterator[_Shown]:
    """Yield the comments, in the form published by backends, among the items."""
    for item in items:
        if item.event != b"comment":
            continue
        try:
            comment = _comment(item.data)
        except msgspec.DecodeError:
            continue
        yield _Shown(comment.id, comment.data.text, comment.at, comment.user, comment.position, comment.role)


def page_of_comments(items: Sequence[Item], before: str | None, limit: int) -> _Page:
    """Return a page of the comments among the items, those that came last first. Raises `NotFound`."""
    comments = [item for item in reversed(items) if item.event == b"comment"]
    if before is not None:
        field = b'"id":' + msgspec.json.encode(before)
        having = (number for number, item in enumerate(comments, 1) if field in item.data)
        for number in having:
            if any(found.id == before for found in parse_comments(comments[number - 1 : number])):
                del comments[:number]
                break
        else:
            raise NotFound("this video has no comment with the id `before` in this node's log")
    page = list(islice(parse_comments(comments), limit + 1))
    return _Page(page[:limit], page[limit - 1].id if len(page) > limit else None)


class SummaryRoutes:
    """The reads' routes, for nodes without a likes backend."""

    def __init__(self, frontend: Frontend, admission: Admission) -> None:
        self._frontend = frontend
        self._admission = admission
        self._summaries: LRU[str, Summary] = LRU(MAX_VIDEOS)

    def add_to(self, router: Router) -> None:
        router.add("GET", "/v1/videos/{video}/summary", self.summary)
        router.add("GET", "/v1/videos/{video}/comments", self.comments)
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

    async def comments(self, request: Request, peer: Peer) -> Answer:
        """Return a page of the comments that the log has, newest first."""
        video = request.checked_video()
        arguments = request.arguments(("before", "limit", "status", TOKEN))
        limit = parse_limit(arguments.get("limit", str(COMMENTS)), MAX_PAGE)
        if arguments.get("status", "shown") != "shown":
            raise BadRequest("status is shown here; likes backends have the comments that are waiting")
        viewer = await self._admission.authenticate(request, peer, arguments.get(TOKEN))
        try:
            with ExitStack() as stack:
                stack.callback(viewer.acquire(video))
                async with self._frontend.table.open_channel(video) as channel:
                    await self._prepare(channel, viewer.grant)
                    items = list(channel.log.between(channel.log.kept_from, channel.log.tip))
                    page = page_of_comments(items, arguments.get("before"), limit)
                    return json_response(200, msgspec.json.encode(page))
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
            await self._prepare(channel, grant)
            known = self._summaries.get(video)
            if known is None or known.channel is not channel:
                known = Summary(channel)
                self._summaries.put(video, known)
            return known.render()

    async def _prepare(self, channel: Channel, grant: Grant) -> None:
        """Read a channel's whole log. Raises `BusError`, `Unavailable`, `Forbidden`."""
        self._frontend.check_ban(channel, grant)
        if not channel.is_complete:
            await self._frontend.receiver.fill(channel)
