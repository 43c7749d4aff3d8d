"""The opening handshake of a WebSocket: accepted requests, and errors for others."""

from __future__ import annotations

import pytest

from liveserver.edge.request import Request
from liveserver.edge.upgrade import accept_websocket
from liveserver.errors import Problem

# The example of RFC 6455 §1.3.
GOOD = {
    "Host": "server.example.com",
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version": "13",
}


def asked(version: str = "1.1", **changed: str | None) -> Request:
    headers = GOOD | {name.replace("_", "-"): value for name, value in changed.items()}
    lines = [f"{name}: {value}" for name, value in headers.items() if value is not None]
    return Request("\r\n".join([f"GET /v1/ws HTTP/{version}", *lines, "", ""]).encode())


@pytest.mark.parametrize("connection", ["Upgrade", "keep-alive, Upgrade", "upgrade"])
def test_the_example_of_the_standard_is_accepted(connection: str) -> None:
    answer = accept_websocket(asked(Connection=connection)).split(b"\r\n")
    assert answer[0] == b"HTTP/1.1 101 Switching Protocols"
    assert {
        b"upgrade: websocket",
        b"connection: upgrade",
        b"sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    } <= set(answer)


@pytest.mark.parametrize(
    ("changed", "status", "header"),
    [
        ({"Upgrade": None}, 426, ("upgrade", "websocket")),
        ({"Upgrade": "h2c"}, 426, ("upgrade", "websocket")),
        ({"Connection": None}, 426, ("upgrade", "websocket")),
        ({"Connection": "close"}, 426, ("upgrade", "websocket")),
        ({"version": "1.0"}, 426, ("upgrade", "websocket")),
        ({"Sec_WebSocket_Version": "8"}, 426, ("sec-websocket-version", "13")),
        ({"Sec_WebSocket_Version": None}, 426, ("sec-websocket-version", "13")),
        ({"Sec_WebSocket_Key": None}, 400, None),
        ({"Sec_WebSocket_Key": "c2hvcnQ="}, 400, None),
        ({"Sec_WebSocket_Key": "dGhlIHNhbXBsZSBub25jZQ="}, 400, None),
        ({"Sec_WebSocket_Key": "a b"}, 400, None),
        ({"Origin": "http://elsewhere.example.com"}, 403, None),
        ({"Origin": "null"}, 403, None),
        ({"Origin": "http://[bad"}, 403, None),
        ({"Origin": "\xff"}, 403, None),
    ],
)
def test_others_are_refused_with_a_reason(
    changed: dict[str, str | None], status: int, header: tuple[str, str] | None
) -> None:
    with pytest.raises(Problem) as caught:
        accept_websocket(asked(**changed))  # type: ignore[arg-type]  # "version" is a name among them
    assert caught.value.status == status
    assert header is None or header in caught.value.headers


def test_pages_of_this_or_an_allowed_origin_are_accepted() -> None:
    assert accept_websocket(asked(Origin="https://server.example.com"))
    allowed = asked(Origin="https://elsewhere.example.com")
    allowed.cors = b"access-control-allow-origin: *\r\n"
    assert accept_websocket(allowed)
