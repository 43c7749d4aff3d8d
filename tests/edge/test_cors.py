"""CORS: which pages of other origins may read responses, and preflight requests."""

from __future__ import annotations

from liveserver.edge.cors import Origins
from tests.edge.harness import HOST, echo, serving

GET = b"GET /echo HTTP/1.1\r\n" + HOST + b"Origin: https://a.example\r\n\r\n"
ASK = (
    b"OPTIONS /echo HTTP/1.1\r\n" + HOST + b"Origin: https://a.example\r\n"
    b"Access-Control-Request-Method: GET\r\nAccess-Control-Request-Headers: last-event-id\r\n\r\n"
)
ECHO = {("GET", "/echo"): echo}


def test_none_some_and_all() -> None:
    assert Origins([]).headers(b"https://a.example") == b""
    some = Origins(["https://a.example"])
    lines = some.headers(b"https://a.example").split(b"\r\n")
    assert lines[0] == b"access-control-allow-origin: https://a.example"
    assert b"vary: origin" in lines
    assert not any(b"credentials" in line for line in lines)
    for other in (b"https://b.example", b"https://a.example.org", b"null", None):
        assert some.headers(other) == b"vary: origin\r\n"
    assert Origins(["*"]).headers(b"https://b.example").startswith(b"access-control-allow-origin: *\r\n")
    assert Origins(["*"]).headers(None) == b""


def test_credentials_are_allowed_only_where_configured() -> None:
    some = Origins(["https://a.example"], credentials=True)
    assert b"access-control-allow-credentials: true\r\n" in some.headers(b"https://a.example")
    assert b"credentials" not in some.headers(b"https://b.example")


async def test_an_allowed_origin_may_read_answers_and_refusals() -> None:
    async with serving(ECHO, allow_origins=["https://a.example"]) as served:
        assert (await served.ask(GET)).headers["access-control-allow-origin"] == "https://a.example"
        refused = await served.ask(GET.replace(b"GET", b"PUT"))
        assert refused.status == 405
        assert refused.headers["access-control-allow-origin"] == "https://a.example"


async def test_another_origin_may_not() -> None:
    async with serving(ECHO, allow_origins=["https://b.example"]) as served:
        assert "access-control-allow-origin" not in (await served.ask(GET)).headers


async def test_a_preflight_is_answered_and_names_what_clients_send() -> None:
    async with serving(ECHO, allow_origins=["*"]) as served:
        answer = await served.ask(ASK)
        assert answer.status == 204
        assert answer.headers["access-control-allow-origin"] == "*"
        allowed = answer.headers["access-control-allow-headers"]
        assert {"last-event-id", "authorization", "content-type"} <= set(allowed.split(", "))


async def test_options_without_a_preflight_is_method_not_allowed() -> None:
    async with serving(ECHO, allow_origins=["*"]) as served:
        assert (await served.ask(b"OPTIONS /echo HTTP/1.1\r\n" + HOST + b"\r\n")).status == 405
