"""The arguments of requests to the ops port, and its answers."""

from __future__ import annotations

from typing import Any

import msgspec
from quart import Response, request

from liveserver.errors import BadRequest
from liveserver.event import VIDEO


def checked_video(name: str) -> str:
    """Check a video's name. Raises `BadRequest`."""
    if not VIDEO.fullmatch(name):
        raise BadRequest(
            "a video is named with 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"
        )
    return name


def argument(name: str) -> str | None:
    """Return the value of the only permitted query parameter, if given. Raises `BadRequest`."""
    if set(request.args) - {name} or len(request.args.getlist(name)) > 1:
        raise BadRequest(
            f"the only query parameter here is {name}, given once" if name else "there are no parameters here"
        )
    return request.args.get(name)


def json(value: Any, status: int = 200) -> Response:
    """Return an answer that is not to be cached."""
    return Response(
        msgspec.json.encode(value),
        status,
        {"content-type": "application/json", "cache-control": "no-store"},
    )
