"""A chunked body is parsed independently of how its bytes are cut, and what follows it is kept."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.edge.chunked import (
    FREE_CHUNKS,
    MAX_LINE,
    MAX_TRAILERS,
    MIN_AVERAGE,
    ChunkedBody,
)
from liveserver.errors import BadRequest, TooLarge

WIRE = b'5\r\nhello\r\n1;name="x"\r\n,\r\n00A;b="\\"";c;d=e\r\n0123456789\r\n0\r\nTrailer: x\r\n\r\n'
BODY = b"hello,0123456789"


def feed(limit: int, *pieces: bytes) -> tuple[bytes | None, bytes]:
    """The body, and what is left."""
    chunked = ChunkedBody(limit)
    for index, piece in enumerate(pieces):
        body = chunked.feed(piece)
        if body is not None:
            return body, chunked.rest + b"".join(pieces[index + 1 :])
    return None, chunked.rest


def test_a_body_cut_in_two_anywhere() -> None:
    for cut in range(len(WIRE) + 1):
        assert feed(100, WIRE[:cut], WIRE[cut:] + b"GET /") == (BODY, b"GET /")


def test_a_body_byte_by_byte() -> None:
    assert feed(100, *[bytes([byte]) for byte in WIRE + b"next"]) == (BODY, b"next")


@given(st.lists(st.binary(min_size=1, max_size=50), max_size=6), st.data())
def test_any_chunks_cut_anywhere(chunks: list[bytes], data: st.DataObject) -> None:
    wire = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks) + b"0\r\n\r\n"
    cuts = sorted(data.draw(st.lists(st.integers(0, len(wire)), max_size=5)))
    pieces = [wire[start:end] for start, end in zip([0, *cuts], [*cuts, len(wire)], strict=True)]
    assert feed(300, *pieces, b"!") == (b"".join(chunks), b"!")


def test_an_unfinished_body_is_none() -> None:
    for cut in range(len(WIRE)):
        assert feed(100, WIRE[:cut])[0] is None


@pytest.mark.parametrize(
    "wire",
    [
        b"\r\n",
        b"x\r\n",
        b"-1\r\n",
        b"+1\r\n",
        b"0x1\r\n",
        b" 1\r\n",
        b"1 2\r\n",
        b"1\n",
        b"1\nx\r\n",
        b"1;a\nb\r\n",
        b"1;\x00\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n1\r\n",
        b"0000000000000001\r\n",
        b"1 \r\n",
        b"1\t;a\r\n",
        b"1;\r\n",
        b"1; a\r\n",
        b"1;a \r\n",
        b"1;;a\r\n",
        b"1;a=\r\n",
        b"1;a =b\r\n",
        b"1;=b\r\n",
        b'1;a="b\r\n',
        b'1;a="b"c\r\n',
        b'1;a="\\"\r\n',
        b"1;a=b=c\r\n",
        b"1;\xff\r\n",
        b"0\r\nA\r\n",
        b"0\r\n: b\r\n",
        b"0\r\nA : b\r\n",
        b"0\r\n A: b\r\n",
        b"0\r\nA: b\r\n c\r\n",
        b"0\r\nA: \x00\r\n",
        b"0\r\nA: \x7f\r\n",
        b"0\r\nA\xff: b\r\n",
        b"0\r\nContent-Length: 5\r\n",
        b"0\r\ntransfer-encoding: chunked\r\n",
        b"0\r\nHOST: x\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\nA: b\rC: d\r\n",
        b"0\r\n" + b"A: b\r\n" * (MAX_TRAILERS + 1),
    ],
)
def test_malformed_chunks_are_bad_requests(wire: bytes) -> None:
    with pytest.raises(BadRequest):
        feed(100, wire + b"x" * (MAX_LINE + 1))


@pytest.mark.parametrize("before", [b"1;", b"0\r\nA: ", b""])
def test_a_line_without_an_end_is_refused_before_it_fills_the_memory(before: bytes) -> None:
    chunked = ChunkedBody(100)
    assert chunked.feed(before) is None

    def go_on() -> None:
        for _ in range(MAX_LINE + 1):
            chunked.feed(b"1")

    with pytest.raises(BadRequest):
        go_on()


def test_a_body_over_the_limit_is_refused_when_its_size_is_known() -> None:
    assert feed(5, b"5\r\nhello\r\n0\r\n\r\n") == (b"hello", b"")
    with pytest.raises(TooLarge):
        feed(5, b"6\r\n")
    with pytest.raises(TooLarge):
        feed(5, b"3\r\nabc\r\n3\r\n")


@given(st.binary(max_size=60), st.integers(0, len(WIRE)))
def test_any_bytes_are_a_body_or_a_problem(noise: bytes, at: int) -> None:
    with suppress(BadRequest, TooLarge):
        feed(1000, WIRE[:at] + noise + WIRE[at:])


def test_a_body_in_ever_so_many_tiny_chunks_is_refused() -> None:
    assert feed(10_000, b"1\r\nx\r\n" * FREE_CHUNKS + b"0\r\n\r\n") == (b"x" * FREE_CHUNKS, b"")
    with pytest.raises(BadRequest, match="tiny chunks"):
        feed(10_000, b"1\r\nx\r\n" * 2 * FREE_CHUNKS)
    large = b"10\r\n%b\r\n" % (b"x" * MIN_AVERAGE) * 3 * FREE_CHUNKS
    assert feed(100_000, large + b"0\r\n\r\n") == (b"x" * MIN_AVERAGE * 3 * FREE_CHUNKS, b"")
