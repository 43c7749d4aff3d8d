"""Starlette with sse-starlette, for uvicorn: a queue for each viewer, as its manual shows.

It is asyncio's world, hence asyncio. A frame is rendered once. The queues are bounded: a publisher
waits for room in each, so it is as fast as the viewers are served.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from itertools import count

from sse_starlette.sse import EventSourceResponse
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

ROOM = 64  # events

queues: set[asyncio.Queue[bytes]] = set()
numbers = count(1)


async def events(request: Request) -> EventSourceResponse:
    return EventSourceResponse(stream())


async def stream() -> AsyncIterator[bytes]:
    queue: asyncio.Queue[bytes] = asyncio.Queue(ROOM)
    queues.add(queue)
    try:
        yield b"retry: 2000\nid: 0\nevent: ready\ndata: {}\n\n"
        while True:
            yield await queue.get()
    finally:
        queues.discard(queue)


async def publish(request: Request) -> Response:
    frame = b"id: %d\nevent: like\ndata: %b\n\n" % (next(numbers), await request.body())
    for queue in list(queues):
        if queue.full():
            await queue.put(frame)
        else:
            queue.put_nowait(frame)
    return Response(status_code=202)


async def ready(request: Request) -> Response:
    return Response(status_code=204)


app = Starlette(
    routes=[Route("/events", events), Route("/publish", publish, methods=["POST"]), Route("/ready", ready)]
)
