"""Quart-Trio, for Hypercorn: a memory channel for each viewer, as its manual shows.

A frame is rendered once. The channels are bounded: a publisher waits for room in each.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import count

import trio
from quart import Response, request
from quart_trio import QuartTrio

ROOM = 64  # events

app = QuartTrio(__name__)
channels: set[trio.MemorySendChannel[bytes]] = set()
numbers = count(1)


@app.get("/events")
async def events() -> Response:
    headers = {"content-type": "text/event-stream", "cache-control": "no-store"}
    response = app.response_class(stream(), headers=headers)
    response.timeout = None
    return response


async def stream() -> AsyncIterator[bytes]:
    send, receive = trio.open_memory_channel[bytes](ROOM)
    channels.add(send)
    try:
        yield b"retry: 2000\nid: 0\nevent: ready\ndata: {}\n\n"
        async for frame in receive:
            yield frame
    finally:
        channels.discard(send)


@app.post("/publish")
async def publish() -> Response:
    frame = b"id: %d\nevent: like\ndata: %b\n\n" % (next(numbers), bytes(await request.body))
    for channel in list(channels):
        await channel.send(frame)
    return app.response_class(status=202)


@app.get("/ready")
async def ready() -> Response:
    return app.response_class(status=204)
