"""`GET /v1/videos/{video}/history`, for a site's servers and moderators."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from math import inf

import msgspec
from quart import Blueprint, Response, request

from liveserver.auth.authorizer import Headers
from liveserver.auth.grant import MODERATE, Grant
from liveserver.edge.query import parse_limit
from liveserver.edge.request import checked_video
from liveserver.errors import BadRequest
from liveserver.event import is_type
from liveserver.moderation.arguments import arguments
from liveserver.recorder.history import History, Query
from liveserver.web.auth_headers import auth_headers

LIMIT, MAX_LIMIT = 100, 1_000  # events of a page
MAX_TYPES = 16

_NUMBER = re.compile(r"[0-9]{1,16}")
_KNOWN = ("cursor", "from", "limit", "order", "to", "types")


def history_routes(history: History, authorize: Callable[[Headers], Awaitable[Grant]]) -> Blueprint:
    """Return the route, to be mounted into the public application."""
    routes = Blueprint("history", __name__)

    @routes.get("/v1/videos/<video>/history")
    async def page(video: str) -> Response:
        grant = await authorize(auth_headers(request.headers))
        if grant.name:  # a site with a key may read its own videos, whatever else it may
            grant.require_video(checked_video(video))
        else:
            grant.require(MODERATE, checked_video(video))
        found = await history.page(video, _query())
        body = b'{"video":%b,"events":[%b],"next":%b,"complete":%b}' % (
            msgspec.json.encode(video),
            b",".join(found.events),
            msgspec.json.encode(found.next),
            msgspec.json.encode(found.complete),
        )
        headers = {"content-type": "application/json", "cache-control": "no-store"}
        return Response(body, 200, headers)

    return routes


def _query() -> Query:
    """Return what the request asks for. Raises `BadRequest`."""
    asked = arguments(*_KNOWN)
    order = asked.get("order", "newest")
    if order not in ("newest", "oldest"):
        raise BadRequest("order is newest or oldest, the one that comes first")
    limit = parse_limit(asked.get("limit", str(LIMIT)), MAX_LIMIT)
    types = asked["types"].split(",") if "types" in asked else None
    if types is not None and (len(types) > MAX_TYPES or not all(map(is_type, types))):
        raise BadRequest(f"types are 1 to {MAX_TYPES} types of events, such as comment,score")
    return Query(
        _time(asked, "from", 0),
        _time(asked, "to", inf),
        None if types is None else frozenset(types),
        limit,
        order == "newest",
        asked.get("cursor"),
    )


def _time(asked: dict[str, str], name: str, default: float) -> float:
    if name not in asked:
        return default
    if not _NUMBER.fullmatch(asked[name]):
        raise BadRequest(f"{name} is in milliseconds since the epoch")
    return int(asked[name])
