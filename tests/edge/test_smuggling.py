"""Request smuggling: this server, its application and proxies agree on where a request ends.

Request smuggling lives on bytes that two parsers end differently. Here each doubtful way to write a request
is a 400 and the end of the connection, whatever is pipelined behind it; and what is taken and handed over is
the same request to h11, by which Hypercorn reads it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import h11
import msgspec
import pytest
from quart import Response, request

from liveserver.edge.handoff import open_handoff
from liveserver.edge.request import Request
from liveserver.edge.response import HEAD_END
from liveserver.web.app import public_app
from tests.edge.harness import HOST, Served, echo, serving

POST = b"POST /echo HTTP/1.1\r\n" + HOST
GET = b"GET /echo HTTP/1.1\r\n" + HOST
BEHIND = b"GET /echo?smuggled HTTP/1.1\r\n" + HOST + b"\r\n"  # what must never be answered

CODED = b"Transfer-Encoding: chunked\r\n\r\n"

REFUSED = {
    # Two lengths
    "length and chunked": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    "two lengths": POST + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "the same length twice": POST + b"Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    "lengths in a list": POST + b"Content-Length: 5, 5\r\n\r\nhello",
    # Lengths that are read in more than one way
    "a plus": POST + b"Content-Length: +5\r\n\r\nhello",
    "a minus": POST + b"Content-Length: -5\r\n\r\nhello",
    "hexadecimal": POST + b"Content-Length: 0x5\r\n\r\nhello",
    "an underscore": POST + b"Content-Length: 0_5\r\n\r\nhello",
    "a point": POST + b"Content-Length: 5.0\r\n\r\nhello",
    "an exponent": POST + b"Content-Length: 5e0\r\n\r\nhello",
    "blank within": POST + b"Content-Length: 1 1\r\n\r\nhello",
    "empty": POST + b"Content-Length: \r\n\r\n",
    "no number": POST + b"Content-Length: five\r\n\r\nhello",
    "quotes": POST + b'Content-Length: "5"\r\n\r\nhello',
    "beyond 64 bits": POST + b"Content-Length: 18446744073709551621\r\n\r\nhello",
    "beyond what we count": POST + b"Content-Length: 1000000000000000000\r\n\r\nhello",
    "superscript": POST + b"Content-Length: \xb2\r\n\r\nhello",
    # Codings other than chunked alone
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "identity with a length": POST + b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello",
    "gzip": POST + b"Transfer-Encoding: gzip\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked, gzip": POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked on two lines": POST + b"Transfer-Encoding: chunked\r\n" * 2 + b"\r\n0\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "chunkedx": POST + b"Transfer-Encoding: chunkedx\r\n\r\n0\r\n\r\n",
    "quoted chunked": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked with a parameter": POST + b"Transfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n",
    "a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "an empty coding": POST + b"Transfer-Encoding: \r\n\r\n0\r\n\r\n",
    "chunked in HTTP/1.0": b"POST /echo HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    # Names that others might take for others
    "a blank before the colon": POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    "a tab before the colon": POST + b"Content-Length\t: 5\r\n\r\nhello",
    "a blank before the name": POST + b" Content-Length: 5\r\n\r\nhello",
    "a first header that begins blank": b"POST /echo HTTP/1.1\r\n Host: x\r\nContent-Length: 5\r\n\r\nhello",
    "no name": POST + b": 5\r\n\r\n",
    "no colon": POST + b"Content-Length 5\r\n\r\nhello",
    "NUL in a name": POST + b"Content\x00-Length: 5\r\n\r\nhello",
    "NUL in a value": POST + b"A: b\x00c\r\n\r\n",
    "a name of high bytes": POST + b"Cont\xc3\xa9nt: 5\r\n\r\n",
    "a name with brackets": POST + b"[A]: 5\r\n\r\n",
    "a name with a comma": POST + b"A,B: 5\r\n\r\n",
    "DEL in a value": POST + b"A: b\x7fc\r\n\r\n",
    "BEL in a value": POST + b"A: b\x07c\r\n\r\n",
    # Lines that end otherwise
    "a folded line": POST + b"A: b\r\n c\r\n\r\n",
    "a folded coding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "a bare LF": POST + b"A: b\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "a bare CR": POST + b"A: b\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "LF after the request line": b"POST /echo HTTP/1.1\nHost: x\r\n\r\n",
    "a head that LF LF ends": b"POST /echo HTTP/1.1\r\nHost: x\r\nA: b\n\n\r\n\r\n",
    "CR CR LF": POST + b"A: b\r\r\n\r\n",
    # Request lines
    "HTTP/0.9": b"GET /echo\r\n\r\n",
    "HTTP/1.2": b"GET /echo HTTP/1.2\r\nHost: x\r\n\r\n",
    "HTTP/2.0": b"GET /echo HTTP/2.0\r\nHost: x\r\n\r\n",
    "HTTP/01.1": b"GET /echo HTTP/01.1\r\nHost: x\r\n\r\n",
    "http/1.1": b"GET /echo http/1.1\r\nHost: x\r\n\r\n",
    "another protocol": b"GET /echo ICY/1.1\r\nHost: x\r\n\r\n",
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method in small letters": b"post /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "a method that is none": b"GE\x01T /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "an unknown method": b"SMUGGLE /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "blank before the method": b" GET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "two blanks": b"GET  /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "two blanks before the version": b"GET /echo  HTTP/1.1\r\nHost: x\r\n\r\n",
    "CR before the method": b"\rGET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "LF before the method": b"\nGET /echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "a fragment": b"GET /echo#a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a tab": b"GET\t/echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "a blank in the target": b"GET /echo ?a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a blank at the end": b"GET /echo HTTP/1.1 \r\nHost: x\r\n\r\n",
    "NUL in the target": b"GET /ec\x00ho HTTP/1.1\r\nHost: x\r\n\r\n",
    "a target of high bytes": b"GET /\xff HTTP/1.1\r\nHost: x\r\n\r\n",
    "no target": b"GET  HTTP/1.1\r\nHost: x\r\n\r\n",
    "a TLS client": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    # Hosts
    "no host": b"GET /echo HTTP/1.1\r\n\r\n",
    "two hosts": GET + b"Host: y\r\n\r\n",
    "the same host twice": GET + b"Host: x\r\n\r\n",
    "a host with a blank": b"GET /echo HTTP/1.1\r\nHost: a b\r\n\r\n",
    "hosts in a list": b"GET /echo HTTP/1.1\r\nHost: a, b\r\n\r\n",
    "a host with a path": b"GET /echo HTTP/1.1\r\nHost: a/b\r\n\r\n",
    "a host with a user": b"GET /echo HTTP/1.1\r\nHost: a@b\r\n\r\n",
    "a host with a query": b"GET /echo HTTP/1.1\r\nHost: a?b\r\n\r\n",
    "a host with a scheme": b"GET /echo HTTP/1.1\r\nHost: http://a\r\n\r\n",
    "a host with a port that is none": b"GET /echo HTTP/1.1\r\nHost: a:b\r\n\r\n",
    "a host with two ports": b"GET /echo HTTP/1.1\r\nHost: a:1:2\r\n\r\n",
    "a host of high bytes": b"GET /echo HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n",
    "a host with an open bracket": b"GET /echo HTTP/1.1\r\nHost: [::1\r\n\r\n",
    # Targets
    "an authority as the target": b"GET x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    "an asterisk as the target": b"GET * HTTP/1.1\r\nHost: x\r\n\r\n",
    "a relative target": b"GET echo HTTP/1.1\r\nHost: x\r\n\r\n",
    "CONNECT": b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n",
    # Chunks
    "a chunk's size with a plus": POST + b"Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n",
    "a chunk's size with 0x": POST + b"Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n",
    "a chunk's size with _": POST + b"Transfer-Encoding: chunked\r\n\r\n0_5\r\nhello\r\n0\r\n\r\n",
    "a chunk without a size": POST + b"Transfer-Encoding: chunked\r\n\r\n;x\r\nhello\r\n0\r\n\r\n",
    "a chunk of 17 digits": POST + b"Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n",
    "LF after a chunk's size": POST + b"Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n",
    "LF in an extension": POST + b"Transfer-Encoding: chunked\r\n\r\n5;a\nb\r\nhello\r\n0\r\n\r\n",
    "CR in an extension": POST + b"Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n",
    "a chunk that is longer": POST + b"Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n",
    "a chunk that LF ends": POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n",
    # gunicorn's and llhttp's kinds of chunked bodies
    "a blank behind a chunk's size": POST + CODED + b"5 \r\nhello\r\n0\r\n\r\n",
    "a blank behind the last chunk's size": POST + CODED + b"5\r\nhello\r\n0 \r\n\r\n",
    "a blank before the last chunk's size": POST + CODED + b"5\r\nhello\r\n 0\r\n\r\n",
    "a tab behind a chunk's size": POST + CODED + b"5\t\r\nhello\r\n0\r\n\r\n",
    "a blank before an extension": POST + CODED + b"5 ;a\r\nhello\r\n0\r\n\r\n",
    "an extension without a size": POST + CODED + b" ;foo=bar\r\nhello\r\n0\r\n\r\n",
    "an extension without a semicolon": POST + CODED + b"5 erf\r\nhello\r\n0 rrr\r\n\r\n",
    "a semicolon without an extension": POST + CODED + b"5;\r\nhello\r\n0\r\n\r\n",
    "semicolons": POST + CODED + b"5;;;\r\nhello\r\n0\r\n\r\n",
    "an open quote in an extension": POST + CODED + b'5;a="b\r\nhello\r\n0\r\n\r\n',
    "NUL in an extension": POST + CODED + b"5;a\x00\r\nhello\r\n0\r\n\r\n",
    "NUL behind a chunk's size": POST + CODED + b"5\x00\r\nhello\r\n0\r\n\r\n",
    "LF before an extension": POST + CODED + b"5\n;\r\nhello\r\n0\r\n\r\n",
    "CR CR before an extension": POST + CODED + b"5\r\r;ABCD\r\n34\r\nE\r\n0\r\n\r\n",
    "no last chunk": POST + CODED + b"5\r\nhello\r\n\r\n",
    "no chunk's size": POST + CODED + b"\r\nhello\r\n0\r\n\r\n",
    "a chunk's size with a minus": POST + CODED + b"-5\r\nhello\r\n0\r\n\r\n",
    "a chunk without an end": POST + CODED + b"5\r\nhello0\r\n\r\n",
    "a trailer without a colon": POST + CODED + b"0\r\nA\r\n\r\n",
    "a trailer with NUL": POST + CODED + b"0\r\nA: \x00\r\n\r\n",
    "a trailer with NUL in its name": POST + CODED + b"0\r\nA\x00: b\r\n\r\n",
    "a trailer with a blank before its colon": POST + CODED + b"0\r\nA : b\r\n\r\n",
    "a folded trailer": POST + CODED + b"0\r\nA: b\r\n c\r\n\r\n",
    "a length as a trailer": POST + CODED + b"0\r\nContent-Length: 99\r\n\r\n",
    "a coding as a trailer": POST + CODED + b"0\r\nTransfer-Encoding: chunked\r\n\r\n",
    "a host as a trailer": POST + CODED + b"0\r\nHost: evil.example\r\n\r\n",
    "a coding with an underscore": POST + b"Transfer_Encoding: gzip\r\n" + CODED + b"5\r\nhello\r\n0\r\n\r\n",
    "a length with an underscore": POST + b"Content_Length: 9\r\nContent-Length: 5\r\n\r\nhello",
    "a trailer with LF": POST + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: b\n\r\n\r\n",
}  # fmt: skip


@pytest.mark.parametrize("wire", REFUSED.values(), ids=REFUSED)
async def test_ambiguous_requests_are_refused_and_end_the_connection(wire: bytes) -> None:
    async with serving({("GET", "/echo"): echo, ("POST", "/echo"): echo}) as served:
        for before in (b"", GET + b"\r\n"):
            async with served.connect() as client:
                if before:
                    assert (await client.ask(before)).status == 200
                await client.send(wire + BEHIND)
                answer = await client.answer()
                assert (answer.status, answer.headers["connection"]) == (400, "close"), answer
                assert await client.is_closed()
        assert served.handed_over == []


class Seen(msgspec.Struct):
    """A request as the application behind Hypercorn sees it."""

    method: str
    path: str
    query: str
    headers: list[tuple[str, str]]
    length: int


@asynccontextmanager
async def inspecting(timeout: float = 20.0) -> AsyncIterator[tuple[Served, list[Seen]]]:
    """The whole way: an edge, and behind it an application that notes what it is asked."""
    app, seen = public_app(), list[Seen]()

    @app.route("/<path:path>", methods=["GET", "POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
    async def anything(path: str) -> Response:
        body = await request.get_data()
        query = request.query_string.decode()
        seen.append(Seen(request.method, request.path, query, list(request.headers), len(body)))
        return Response("seen")

    async with (
        open_handoff(app, max_body=10_000, timeout=timeout) as handoff,
        serving({("GET", "/echo"): echo}, fallback=handoff.serve, max_body=10_000) as served,
    ):
        yield served, seen


async def test_nor_does_anything_behind_it_reach_the_application() -> None:
    async with inspecting(timeout=1.0) as (served, seen):  # how long what is missing is waited for
        for name, wire in REFUSED.items():
            async with served.connect() as client:
                await client.send(wire.replace(b"/echo", b"/page", 1) + BEHIND.replace(b"/echo", b"/page"))
                answers = await client.rest()
            assert answers.count(b"\r\ndate: ") <= 1, name
            # What is wrong only in the body is found while it is read there, if it is.
            assert answers.startswith(b"HTTP/1.1 400 ") or b"chunked\r\n\r\n" in wire, name
        assert "smuggled" not in [each.query for each in seen]


HELLO = b"5\r\nhello\r\n"
READ = b"GET /page HTTP/1.1\r\nHost: x\r\n"
PAGE = b"POST /page HTTP/1.1\r\nHost: x\r\n"
CHUNKED = PAGE + b"Transfer-Encoding: chunked\r\n\r\n"
TAKEN = {
    "plain": READ + b"\r\n",
    "HTTP/1.0": b"GET /page HTTP/1.0\r\nHost: x\r\n\r\n",
    "HTTP/1.0 with a length": b"POST /page HTTP/1.0\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
    "a query": b"GET /page?a=%20&b=/?: HTTP/1.1\r\nHost: x\r\n\r\n",
    "an absolute target": b"GET http://y:80/page?a=b HTTP/1.1\r\nHost: x\r\n\r\n",
    "an absolute target within a target": b"GET /page/http://y/z HTTP/1.1\r\nHost: x\r\n\r\n",
    "escapes": b"GET /%6fther/%c3%bc HTTP/1.1\r\nHost: x\r\n\r\n",
    "an empty line before": b"\r\nGET /page HTTP/1.1\r\nHost: x\r\n\r\n",
    "many headers": READ + b"".join(b"A%d: b\r\n" % n for n in range(80)) + b"\r\n",
    "a header twice": READ + b"A: b\r\nA: c\r\n\r\n",
    "blanks around a value": READ + b"A: \t b \t\r\nC:d\r\n\r\n",
    "an empty value": READ + b"A:\r\n\r\n",
    "high bytes in a value": READ + b"A: \xc3\xbc\r\n\r\n",
    "a name of ours": READ + b"X-Request-Id: 1\r\nx-request-ID: 2\r\n\r\n",
    "a length": PAGE + b"Content-Length: 5\r\n\r\nhello",
    "a length with zeros": PAGE + b"Content-Length: 005\r\n\r\nhello",
    "no length": PAGE + b"\r\n",
    "a body on GET": READ + b"Content-Length: 5\r\n\r\nhello",
    "chunked": CHUNKED + HELLO + b"0\r\n\r\n",
    "Chunked": PAGE + b"Transfer-Encoding: \tChunked \r\n\r\n" + HELLO + b"0\r\n\r\n",
    "an extension": CHUNKED + b"5;a=b\r\nhello\r\n0;c\r\n\r\n",
    "a trailer": CHUNKED + HELLO + b"0\r\nA: b\r\n\r\n",
    "h2c with a body": PAGE + b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
    b"HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: 5\r\n\r\nhello",
    "an unknown upgrade": READ + b"Connection: upgrade\r\nUpgrade: foo\r\n\r\n",
    "expecting": PAGE + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
    "other methods": b"PATCH /page HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello",
}  # fmt: skip


@pytest.mark.parametrize("wire", TAKEN.values(), ids=TAKEN)
async def test_a_handed_over_request_is_parsed_alike(wire: bytes) -> None:
    end = wire.lstrip(b"\r\n").index(HEAD_END) + len(HEAD_END)
    ours = Request(wire.lstrip(b"\r\n")[:end])
    async with inspecting() as (served, seen):
        async with served.connect() as client:
            await client.send(wire + (BEHIND if ours.version == "1.1" else b""))  # none may follow in 1.0
            answers = await client.rest()
        assert answers.count(b"HTTP/1.1 ") == 1 + answers.count(b"HTTP/1.1 100 ")
        assert answers.count(b"HTTP/1.1 200 ") == 1
    [theirs] = seen
    assert (theirs.method, theirs.path, theirs.query) == (ours.method, ours.path, ours.query)
    assert theirs.length == (5 if ours.has_body else 0)
    headers: dict[str, str] = {}
    for name, value in theirs.headers:
        name = name.lower()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    expected = {name.decode(): value.strip().decode("latin-1") for name, value in ours.headers.items()}
    if expected.get("upgrade") == "h2c":
        del expected["upgrade"]  # which is not offered on
    expected.pop("expect", None)  # as the body was read here
    if expected.pop("transfer-encoding", ""):
        expected["content-length"] = "5"
    named, _ = headers.pop("x-request-id"), headers.pop("remote-addr")
    assert "," not in named  # one, of our own making
    expected.pop("x-request-id", None)
    for name in ("transfer-encoding", "content-length"):  # as numbers and words, not as they were written
        if name in expected:
            assert headers.pop(name).lower().lstrip("0") == expected.pop(name).lower().lstrip("0")
    assert headers == expected


def test_h11_takes_no_head_that_we_take_otherwise() -> None:
    """The same table without the sockets, cut behind every byte: what is handed over is one head."""
    for wire in TAKEN.values():
        head = wire.lstrip(b"\r\n").partition(HEAD_END)[0] + HEAD_END
        handed = Request(head).head_to_hand_over("1")
        for at in range(1, len(handed)):
            reader = h11.Connection(h11.SERVER)
            reader.receive_data(handed[:at])
            assert reader.next_event() is h11.NEED_DATA
            reader.receive_data(handed[at:])
            event = reader.next_event()
            assert isinstance(event, h11.Request)
            assert reader.trailing_data[0] == b""
