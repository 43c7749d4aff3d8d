"""The dispatcher's hot routes: publishing and leases."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import msgspec

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.client_addresses import peer_address
from liveserver.auth.grant import MODERATE, NODE, OPEN, PUBLISH, Grant
from liveserver.bus.leases import LeaseAnswer, LeaseRequest, WithdrawRequest
from liveserver.dispatcher.parse import YIELD_BYTES, Parser, VideoBatch
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.subscriptions import Subscriptions
from liveserver.edge.answer import Answer, Peer
from liveserver.edge.request import Request
from liveserver.edge.response import json_response
from liveserver.edge.router import Router
from liveserver.errors import BadRequest, BusError, Forbidden, Unavailable
from liveserver.event import SITE, VIDEO
from liveserver.malformed import explain_decode_error

if TYPE_CHECKING:
    from liveserver.tracing.tracer import Tracer

MAX_LEASES = 10_000  # videos in one request
MAX_VIEWERS = 2**31  # of one video at one node; the sum over all nodes is counted exactly

T = TypeVar("T")


class DispatcherRoutes:
    """The routes of publishers, frontends and likes backends."""

    def __init__(
        self,
        parser: Parser,
        publisher: Publisher,
        subscriptions: Subscriptions,
        authorizer: Authorizer,
        tracer: Tracer | None = None,
    ) -> None:
        self._tracer = tracer
        self._authorizer = authorizer
        self._parser = parser
        self._publisher = publisher
        self._subscriptions = subscriptions

    def add_to(self, router: Router) -> None:
        for path, name, handler in (
            ("/v1/videos/{video}/events", "publish", self.publish),
            ("/v1/events", "publish", self.publish_several),
            ("/v1/retractions", "retract", self.retract),
        ):
            traced = handler if self._tracer is None else self._tracer.handler(name, handler)
            router.add("POST", path, traced)
        router.add("POST", "/v1/leases", self.renew_leases)
        router.add("POST", "/v1/leases/withdraw", self.withdraw_leases)

    async def publish(self, request: Request, peer: Peer) -> Answer:
        """Publish events of the video in the path."""
        video = request.checked_video()
        kind = request.require_type("application/json", "application/x-ndjson")
        if request.query:
            request.arguments(())
        grant = self._authorizer.publisher(request.headers)
        if grant is not OPEN:
            grant.require(PUBLISH, video)
        lenient = b"prefer" in request.headers and _is_lenient(request)
        if len(request.body) <= YIELD_BYTES:
            video_batches = self._parser.video_batches(request.body, kind, video, lenient=lenient)
        else:
            video_batches = await self._parser.parse(request.body, kind, video, lenient=lenient)
        if grant is not OPEN:
            _check_node_only(grant, video_batches)
        if self._authorizer.events.is_any:
            self._acquire(grant, request, peer, video_batches)
        done = await self._publisher.publish(video_batches)
        stale = b'"stale":%d,' % done.stale if video_batches[0].is_keyed else b""
        return json_response(
            202,
            b'{"accepted":%d,"duplicates":%d,%b"cursor":"%b"}'
            % (done.accepted, done.duplicates, stale, done.cursors[video].encode()),
        )

    async def publish_several(self, request: Request, peer: Peer) -> Answer:
        """Publish events that each name their video."""
        return await self._publish_several(request, peer, PUBLISH)

    async def retract(self, request: Request, peer: Peer) -> Answer:
        """Publish events of type `retract`, which are for likes backends only.

        A route of its own, so that a proxy can restrict access to it.
        """
        return await self._publish_several(request, peer, MODERATE)

    async def _publish_several(self, request: Request, peer: Peer, scope: str) -> Answer:
        kind = request.require_type("application/json", "application/x-ndjson")
        request.arguments(())
        grant = self._authorizer.publisher(request.headers)
        video_batches = await self._parser.parse(
            request.body, kind, None, retractions=scope == MODERATE, lenient=_is_lenient(request)
        )
        for video_batch in video_batches:
            grant.require(scope, video_batch.video)
        _check_node_only(grant, video_batches)
        self._acquire(grant, request, peer, video_batches)
        done = await self._publisher.publish(video_batches)
        answer = {
            "accepted": done.accepted,
            "duplicates": done.duplicates,
            **({"stale": done.stale} if any(video_batch.is_keyed for video_batch in video_batches) else {}),
            "cursors": done.cursors,
        }
        return json_response(202, msgspec.json.encode(answer))

    def _acquire(self, grant: Grant, request: Request, peer: Peer, video_batches: list[VideoBatch]) -> None:
        """Check the rate limits, except for nodes, whose events were counted before. Raises `TooMany`."""
        authorizer = self._authorizer
        if grant is NODE or not authorizer.events.is_any:
            return
        address = authorizer.address(peer_address(peer.sock), request.headers)
        for video_batch in video_batches:
            authorizer.events.acquire(
                address, grant.name or None, video_batch.video, count=len(video_batch.lines)
            )

    async def renew_leases(self, request: Request, peer: Peer) -> Answer:
        """Subscribe a frontend, or renew its leases."""
        self._authorizer.check_node(request.headers)
        body = _read(request, LeaseRequest)
        _check(body.node, body.videos)
        _check(body.node, body.opening)
        if not body.lease > 0:
            raise BadRequest("a lease is a number of seconds above 0")
        if not all(0 <= viewers <= MAX_VIEWERS for viewers in body.videos.values()):
            raise BadRequest(f"a video has 0 to {MAX_VIEWERS} viewers at one node")
        try:
            leases = await self._subscriptions.renew_leases(body.node, body.videos, body.lease, body.opening)
        except BusError:
            raise Unavailable(
                "Redis is unavailable: the subscription table cannot be reached", retry_after=1
            ) from None
        return json_response(200, msgspec.json.encode(LeaseAnswer.from_leases(leases)))

    async def withdraw_leases(self, request: Request, peer: Peer) -> Answer:
        """Unsubscribe a frontend."""
        self._authorizer.check_node(request.headers)
        body = _read(request, WithdrawRequest)
        _check(body.node, body.videos)
        try:
            await self._subscriptions.withdraw(body.node, body.videos)
        except BusError:
            raise Unavailable(
                "Redis is unavailable: the subscription table cannot be reached", retry_after=1
            ) from None
        return json_response(200, b"{}")


def _check_node_only(grant: Grant, video_batches: list[VideoBatch]) -> None:
    """Raise `Forbidden` if a client other than a node publishes totals, moderation events, `role` or `by`."""
    is_node = grant is NODE or grant is OPEN
    if not is_node and any(video_batch.video == SITE for video_batch in video_batches):
        raise Forbidden(f"{SITE} is the server's own log; choose another name")
    if (
        grant is not NODE
        and grant is not OPEN
        and any(video_batch.is_node_only for video_batch in video_batches)
    ):
        raise Forbidden(
            "the types and keys likes, settings, ban, clear, pin, announcement, waiting and audit, and "
            "role and by, are for nodes of the cluster; use other ones"
        )


def _is_lenient(request: Request) -> bool:
    """Return whether times beyond the bound are to be corrected rather than refused (RFC 7240)."""
    preferences = request.headers.get(b"prefer", b"").lower().split(b",")
    return any(preference.strip() == b"handling=lenient" for preference in preferences)


def _read(request: Request, kind: type[T]) -> T:
    request.require_type("application/json")
    try:
        return msgspec.json.decode(request.body, type=kind)
    except (msgspec.DecodeError, RecursionError, UnicodeDecodeError) as error:
        raise BadRequest(f"malformed body: {explain_decode_error(error, kind)}") from None


def _check(node: str, videos: dict[str, int] | list[str]) -> None:
    if node.endswith("\n"):  # the type's pattern admits it
        raise BadRequest("a node's name has no line break")
    if len(videos) > MAX_LEASES:
        raise BadRequest(f"one request has at most {MAX_LEASES} videos")
    for video in videos:
        if not VIDEO.fullmatch(video):
            raise BadRequest(f"{video[:140]!r} is not a video's name")
