"""Bodies that did not arrive with the head: read to their end and no further, within limits."""

from __future__ import annotations

import pytest
import trio

from liveserver.edge.bodies import SMALL, BodyMemory
from liveserver.edge.body_reader import check_length, read_body
from liveserver.edge.request import Request
from liveserver.errors import BadRequest, TooLarge, Unavailable

LENGTH = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n%b\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n%b\r\n"
EXPECT = b"Expect: 100-continue\r\n"


class Client:
    """Sends the pieces, then EOF; keeps what it is sent."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = list(pieces)
        self.announced = b""

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.pieces.pop(0) if self.pieces else b""

    async def write(self, data: bytes) -> None:
        await trio.lowlevel.checkpoint()
        self.announced += data


async def read(
    head: bytes, received: bytes, *pieces: bytes, room: int = 1 << 20
) -> tuple[bytes, bytes, bytes]:
    """Return the body, what is behind it, and what the client was sent."""
    request, client = Request(head), Client(*pieces)
    with (memory := BodyMemory(room)).reserve() as reservation:
        rest = await read_body(request, received, client, 100_000, reservation)
    assert memory.used == 0
    return request.body, rest, client.announced


@pytest.mark.parametrize(
    ("head", "whole"),
    [(LENGTH % (5, b""), b"hello"), (CHUNKED % b"", b"2\r\nhe\r\n3;a=b\r\nllo\r\n0\r\n\r\n")],
)
async def test_a_body_cut_up_anyhow_leaves_the_next_request(head: bytes, whole: bytes) -> None:
    for cut in range(len(whole)):
        assert await read(head, whole[:cut], whole[cut:] + b"GET /") == (b"hello", b"GET /", b"")
    assert await read(head, whole + b"GET /") == (b"hello", b"GET /", b"")
    assert await read(head, b"", *[bytes([byte]) for byte in whole]) == (b"hello", b"", b"")


@pytest.mark.parametrize("head", [LENGTH % (2, EXPECT), CHUNKED % EXPECT])
async def test_continue_is_sent_only_while_nothing_has_come(head: bytes) -> None:
    body = b"ab" if b"Length" in head else b"2\r\nab\r\n0\r\n\r\n"
    assert (await read(head, b"", body))[2] == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert (await read(head, body[:1], body[1:]))[2] == b""


@pytest.mark.parametrize("head", [LENGTH % (5, b""), CHUNKED % b""])
async def test_eof_within_a_body_ends_the_connection(head: bytes) -> None:
    with pytest.raises(trio.ClosedResourceError):
        await read(head, b"4")


async def test_bodies_too_large_malformed_or_beyond_the_memory_bound_are_refused() -> None:
    with pytest.raises(TooLarge):
        check_length(Request(LENGTH % (11, b"")), 10)
    check_length(Request(LENGTH % (10, b"")), 10)
    with pytest.raises(TooLarge):
        await read(CHUNKED % b"", b"fffff\r\n")
    with pytest.raises(BadRequest):
        await read(CHUNKED % b"", b"x\r\n")
    with pytest.raises(Unavailable):
        await read(LENGTH % (SMALL + 1, b""), b"", bytes(SMALL), b"x", room=SMALL)
