"""Recordings over HTTP: a stretch of one as lines of JSON, and its bare files."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from math import inf
from typing import TypeVar

import trio
from quart import Blueprint, Response, request

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.grant import WATCH
from liveserver.edge.request import checked_video
from liveserver.errors import BadRequest, NotFound
from liveserver.moderation.arguments import arguments, check_arguments
from liveserver.recorder.recording import INDEX, Recording, unreadable
from liveserver.recorder.segments import DamagedRecording
from liveserver.web.auth_headers import auth_headers

T = TypeVar("T")

STRETCH = ("from", "to", "position")  # the parameters of one
_NUMBER = re.compile(r"[0-9]{1,16}")
_RANGE = re.compile(r"([0-9]{0,16})-([0-9]{0,16})")
_FILE = re.compile(r"[0-9a-f]{24}\.ndjson\.gz")
SEGMENT_SECONDS = 3600  # that caches may keep a file; one that was rewritten has another name


def recorder_routes(recording_of: Callable[[str], Recording], authorizer: Authorizer) -> Blueprint:
    """Return the routes of the videos' recordings, to be mounted into the public application."""
    routes = Blueprint("recorder", __name__)
    check_arguments(routes, stretch=STRETCH)

    async def recording(video: str) -> Recording:
        """Return a video's recording. Raises `NotFound`, and as the authorizer does."""
        grant = await authorizer.liker(auth_headers(request.headers))
        if grant.name:  # a site with a key may read its own videos, whatever else it may
            grant.require_video(checked_video(video))
        else:
            grant.require(WATCH, checked_video(video))
        found = recording_of(video)
        if not (await _read(found.index)).segments:
            raise NotFound("there is no recording of this video; recorders make them")
        return found

    @routes.get("/v1/videos/<video>/recording")
    async def stretch(video: str) -> Response:
        first, last, by_position = _stretch()
        found = await recording(video)
        lines = _lines(found.between(first, last, by_position=by_position))
        return Response(lines, 200, {"content-type": "application/x-ndjson", "cache-control": "no-store"})

    @routes.get("/v1/videos/<video>/recording/<file>")
    async def bare(video: str, file: str) -> Response:
        found = await recording(video)
        content = await _read(lambda: found.file(file)) if file == INDEX or _FILE.fullmatch(file) else None
        if content is None:
            raise NotFound("the recording has no such file; its files are in index.json")
        if file == INDEX:
            return Response(content, 200, {"content-type": "application/json", "cache-control": "no-cache"})
        kept = f"private, max-age={SEGMENT_SECONDS}, immutable"
        return Response(content, 200, {"content-type": "application/gzip", "cache-control": kept})

    return routes


def _stretch() -> tuple[float, float, bool]:
    """Return the range: from, to, and whether these are positions. Raises `BadRequest`."""
    asked = arguments(*STRETCH)
    if "position" in asked:
        found = _RANGE.fullmatch(asked["position"])
        if found is None or len(asked) > 1:
            raise BadRequest("position is a range in milliseconds, such as 60000-90000, without from and to")
        return _number(found[1], 0), _number(found[2], inf), True
    for name, value in asked.items():
        if not _NUMBER.fullmatch(value):
            raise BadRequest(f"{name} is in milliseconds since the epoch")
    return _number(asked.get("from", ""), 0), _number(asked.get("to", ""), inf), False


def _number(text: str, default: float) -> float:
    return int(text) if text else default


async def _lines(parts: Iterator[list[bytes]]) -> AsyncIterator[bytes]:
    """Yield the lines, a segment at a time."""
    while True:
        part = await _read(lambda: next(parts, None))
        if part is None:
            return
        if part:
            yield b"".join([line + b"\n" for line in part])


async def _read(read: Callable[[], T]) -> T:
    """Return what `read` does, in a thread. Raises `Unavailable`."""
    try:
        return await trio.to_thread.run_sync(read)
    except (OSError, DamagedRecording) as error:
        raise unreadable(error) from None
