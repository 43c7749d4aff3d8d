"""Reads the part of a request's body that did not arrive with the head."""

from __future__ import annotations

from typing import Protocol

import trio

from liveserver.edge.bodies import BodyReservation
from liveserver.edge.chunked import ChunkedBody
from liveserver.edge.request import Request
from liveserver.edge.response import CONTINUE
from liveserver.errors import TooLarge

CHUNKED_BYTES = 1024  # of a chunked body, between two checkpoints


class Source(Protocol):
    """The client that sends the body."""

    async def receive(self) -> bytes:
        """Return the next bytes; empty at EOF."""
        ...

    async def write(self, data: bytes) -> None: ...


def check_length(request: Request, limit: int) -> None:
    """Raise `TooLarge` if the request announces a body of more than `limit` bytes."""
    if request.content_length > limit:
        raise TooLarge(f"the body has at most {limit} bytes")


async def read_body(
    request: Request, received: bytes, client: Source, limit: int, reservation: BodyReservation
) -> bytes:
    """Set the request's body, which begins with `received`; return the bytes behind it.

    Raises `Problem` if it is malformed, too large, or there is no room, `OSError` and
    `trio.ClosedResourceError` if the client disconnects.
    """
    if request.awaits_continue and not received:
        await client.write(CONTINUE)
    if request.is_chunked:
        return await _read_chunks(request, received, client, limit, reservation)
    length = request.content_length
    if len(received) < length:
        pieces, missing = [received], length - len(received)
        reservation.add(len(received))
        while missing > 0:
            pieces.append(await _receive_more(client))
            reservation.add(len(pieces[-1]))
            missing -= len(pieces[-1])
        received = b"".join(pieces)
    request.body = received[:length]
    return received[length:]


async def _read_chunks(
    request: Request, received: bytes, client: Source, limit: int, reservation: BodyReservation
) -> bytes:
    """Read a chunked body, with checkpoints, since a body of tiny chunks takes long to parse."""
    chunked = ChunkedBody(limit)
    while True:
        for start in range(0, len(received), CHUNKED_BYTES):
            piece = received[start : start + CHUNKED_BYTES]
            reservation.add(len(piece))
            if (body := chunked.feed(piece)) is not None:
                request.body = body
                return chunked.rest + received[start + CHUNKED_BYTES :]
            await trio.lowlevel.checkpoint()
        received = await _receive_more(client)


async def _receive_more(client: Source) -> bytes:
    data = await client.receive()
    if not data:
        raise trio.ClosedResourceError
    return data
