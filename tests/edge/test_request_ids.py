"""The id of a failing request is the same in its answer, in the log, and behind the handoff."""

from __future__ import annotations

import socket

import msgspec
import structlog
from structlog.testing import capture_logs

from liveserver.edge.answer import Answer, Peer
from liveserver.edge.request import Request
from liveserver.edge.response import json_response
from tests.edge.harness import HOST, serving

GIVEN = b"x-request-id: from-the-proxy\r\n"


async def fine(request: Request, peer: Peer) -> Answer:
    return json_response(200, b"{}")


async def broken(request: Request, peer: Peer) -> Answer:
    raise ValueError("secret")


async def test_a_refused_request_has_an_id() -> None:
    async with serving({("GET", "/fine"): fine}) as served, served.connect() as client:
        answer = await client.ask(b"PUT /fine HTTP/1.1\r\n" + HOST + GIVEN + b"\r\n")
        made = answer.headers["x-request-id"]
        assert made != "from-the-proxy"
        assert msgspec.json.decode(answer.body)["request_id"] == made
        assert served.edge.statistics().refused == {"405": 1}


async def test_the_id_of_a_defect_is_in_the_log_and_in_the_answer() -> None:
    async with (
        serving({("GET", "/broken"): broken}, trust_request_ids=True) as served,
        served.connect() as client,
    ):
        structlog.reset_defaults()
        with capture_logs() as lines:
            answer = await client.ask(b"GET /broken HTTP/1.1\r\n" + HOST + GIVEN + b"\r\n")
        assert answer.headers["x-request-id"] == "from-the-proxy"
        (line,) = lines
        assert (line["request"], line["what"]) == ("from-the-proxy", "GET /broken")


async def test_a_handed_over_request_has_only_our_request_id() -> None:
    heads: list[bytes] = []

    async def keep(sock: socket.socket, received: bytes) -> None:
        heads.append(received)
        sock.close()

    async with serving({}, fallback=keep) as served, served.connect() as client:
        await client.send(b"GET /page HTTP/1.1\r\n" + HOST + GIVEN + GIVEN.upper() + b"a: b\r\n\r\n")
        await client.rest()
    (head,) = heads
    lines = head.lower().split(b"\r\n")
    assert b"from-the-proxy" not in head
    assert len([line for line in lines if line.startswith(b"x-request-id:")]) == 1
    assert b"a: b" in lines
