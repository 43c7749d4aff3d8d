"""What the proxies forward of requests that are written to be read in two ways, as liveserver reads it.

Each proxy is started once; behind it stands a reader with the edge's own parsers, which records requests.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import trio

from liveserver.edge.chunked import ChunkedBody
from liveserver.edge.request import Request
from liveserver.errors import Problem
from tests.deploy.harness import HOST, MACHINES, Proxy, Upstream, program, run_proxy, two_ports

pytestmark = [pytest.mark.process, pytest.mark.timeout(120)]

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}"
NODES_ONLY = ("/v1/leases", "/v1/leases/withdraw", "/v1/retractions")
POLL = "/v1/videos/v/poll"

# Ways to write a path that a deny list may not recognise.
TARGETS = [
    spelling.format(path=path, start=path[:-1], last=f"%{ord(path[-1]):02x}", tail=path[3:])
    for path in (NODES_ONLY[0], NODES_ONLY[2])
    for spelling in (
        "{path}",
        "{path}?a=%zz",
        "{path}?/../x",
        "{start}{last}",
        "{start}%25{last}",
        "/%76%31{tail}",
        "/v1%2f..%2fv1{tail}",
        "/{path}",
        "//{path}",
        "/v1/{tail}",
        "/v1/.{tail}",
        "/./{path}",
        "/x/..{path}",
        "/%2e{path}",
        "/x/%2e%2e{path}",
        "/x/%2E%2e%2fv1{tail}",
        "{path}/",
        "{path}/.",
        "{path};a=b",
        "{path}%3ba",
        "{path}%00",
        "{path}%0a",
        "{path}%20",
        "{path}%23",
        "{path}%3f",
        "/V1{tail}",
        "/v1\\{tail}",
        "\\v1{tail}",
        "/x/..\\v1{tail}",
        "/v1%5c{tail}",
        "{path}%zz",
        "%2fv1{tail}",
        "http://live.example.com{path}",
        "https://live.example.com{path}",
        "HTTP://live.example.com{start}{last}",
        "http://evil.example{path}",
        "http:{path}",
        "//live.example.com{path}",
        "{path}#x",
        "{path}\t",
    )
]
INNER = f"POST /v1/retractions HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 2\r\n\r\n[]"
# Framing that two parsers may read in two ways: the headers, and the body, which hides a request.
FRAMINGS = {
    "both": ("Content-Length: {length}\r\nTransfer-Encoding: chunked", "0\r\n\r\n" + INNER),
    "both, turned round": ("Transfer-Encoding: chunked\r\nContent-Length: 5", "0\r\n\r\n" + INNER),
    "two lengths": ("Content-Length: 0\r\nContent-Length: {length}", INNER),
    "a list of lengths": ("Content-Length: {length}, 0", INNER),
    "a signed length": ("Content-Length: +{length}", INNER),
    "a length with an underscore": ("Content_Length: {length}", INNER),
    "a coding in capitals": ("Content-Length: {length}\r\nTransfer-Encoding: CHUNKED", "0\r\n\r\n" + INNER),
    "another coding": ("Transfer-Encoding: xchunked\r\nContent-Length: {length}", INNER),
    "two codings": ("Transfer-Encoding: chunked, identity\r\nContent-Length: {length}", "0\r\n\r\n" + INNER),
    "a coding twice": ("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", "0\r\n\r\n" + INNER),
    "a vertical tab": ("Transfer-Encoding: \x0bchunked\r\nContent-Length: {length}", "0\r\n\r\n" + INNER),
    "a space before the colon": (
        "Transfer-Encoding : chunked\r\nContent-Length: {length}",
        "0\r\n\r\n" + INNER,
    ),
    "a folded header": ("X: a\r\n Transfer-Encoding: chunked\r\nContent-Length: {length}", INNER),
    "a bare LF": ("X: a\nTransfer-Encoding: chunked\r\nContent-Length: {length}", "0\r\n\r\n" + INNER),
    "a bare CR": ("X: a\rTransfer-Encoding: chunked\r\nContent-Length: {length}", "0\r\n\r\n" + INNER),
    "a signed chunk": ("Transfer-Encoding: chunked", "+0\r\n\r\n" + INNER),
    "a chunk with 0x": ("Transfer-Encoding: chunked", "0x5\r\nabcde\r\n0\r\n\r\n" + INNER),
    "a chunk with a space": ("Transfer-Encoding: chunked", "1 \r\na\r\n0 \r\n\r\n" + INNER),
    "a chunk that is too long": ("Transfer-Encoding: chunked", "1\r\nabc\r\n0\r\n\r\n" + INNER),
    "a chunk's LF": ("Transfer-Encoding: chunked", "1\na\n0\n\n" + INNER),
    "an extension with LF": ("Transfer-Encoding: chunked", "1;a\nx\r\na\r\n0\r\n\r\n" + INNER),
    "a size of 2^64": ("Transfer-Encoding: chunked", "10000000000000000\r\n0\r\n\r\n" + INNER),
    "a trailer that frames": ("Transfer-Encoding: chunked", "0\r\nContent-Length: 90\r\n\r\n" + INNER),
    "an upgrade": ("Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: {length}", INNER),
    "h2c": ("Connection: upgrade, http2-settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AA", INNER),
    "connection names the length": ("Connection: content-length\r\nContent-Length: {length}", INNER),
    "connection names the coding": (
        "Connection: transfer-encoding\r\nTransfer-Encoding: chunked",
        "0\r\n\r\n",
    ),
    "an expectation": ("Expect: 100-continue\r\nContent-Length: {length}", INNER),
}


@dataclass
class Reader(Upstream):
    """An upstream that reads as the edge does. `paths` are the requests', as liveserver routes them."""

    paths: list[str] = field(default_factory=list)

    async def _serve(self, stream: trio.SocketStream) -> None:
        buffer = b""
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, Problem):
            while data := await stream.receive_some():
                buffer += data
                while b"\r\n\r\n" in buffer:
                    head, _, buffer = buffer.partition(b"\r\n\r\n")
                    request = Request(head + b"\r\n\r\n")
                    self.paths.append(request.path)
                    body = ChunkedBody(1 << 20)
                    while True:
                        if not request.is_chunked and len(buffer) >= request.content_length:
                            buffer = buffer[request.content_length :]
                            break
                        if request.is_chunked:
                            if body.feed(buffer) is not None:
                                buffer = body.rest
                                break
                            buffer = b""
                        more = await stream.receive_some()
                        if not more:
                            return
                        buffer += more
                    await stream.send_all(OK)
        await trio.aclose_forcefully(stream)


@pytest.fixture(params=["nginx", "haproxy", "caddy"])
async def proxy(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Proxy]:
    if program(request.param) is None:
        pytest.skip(f"there is no {request.param} here")
    ports = two_ports()
    async with trio.open_nursery() as nursery:
        readers: list[Upstream] = [Reader(host, *ports) for host in MACHINES]
        for reader in readers:
            reader.start(nursery)
        async with run_proxy(request.param, tmp_path, upstreams=readers) as (started, _):
            yield started
        nursery.cancel_scope.cancel()


async def send(proxy: Proxy, wire: str) -> bytes:
    """Send bytes over a new connection; return the bytes received until it ends or is quiet."""
    received = b""
    async with await proxy.connect() as stream:
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError):
            await stream.send_all(wire.encode("latin-1"))
            with trio.move_on_after(20):
                while b"\r\n\r\n" not in received and (data := await stream.receive_some()):
                    received += data
        await trio.aclose_forcefully(stream.transport_stream)
    return received


def paths(proxy: Proxy) -> list[str]:
    """Return the paths that have been forwarded since the last call."""
    found: list[str] = []
    for upstream in proxy.upstreams:
        assert isinstance(upstream, Reader)
        found += upstream.paths
        upstream.paths.clear()
    return found


def post(target: str, said: str, body: str) -> str:
    return f"POST {target} HTTP/1.1\r\nHost: {HOST}\r\n{said}\r\n\r\n{body}"


async def test_no_spelling_of_a_path_reaches_the_nodes_own_routes(proxy: Proxy) -> None:
    await send(proxy, post(POLL, "Content-Length: 2", "[]"))
    assert paths(proxy) == [POLL], "others are forwarded, and recorded"
    for target in TARGETS:
        await send(proxy, post(target, "Content-Length: 2\r\nConnection: close", "[]"))
        assert not {*NODES_ONLY}.intersection(paths(proxy)), target


async def test_no_framing_hides_a_request_or_takes_the_servers_from_others(proxy: Proxy) -> None:
    for name, (said, body) in FRAMINGS.items():
        received = await send(proxy, post(POLL, said.format(length=len(body)), body))
        assert received.startswith(b"HTTP/1.1 "), name
        assert set(paths(proxy)) <= {POLL}, name
        assert (await proxy.ask("GET", POLL)).status == 200, f"beside: {name}"
        assert paths(proxy) == [POLL], name
