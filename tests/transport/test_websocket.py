"""WebSocket messages: to the byte, as another implementation reads them, and whatever a client may say."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, Event, Ping, Pong, TextMessage

from liveserver.errors import BadRequest
from liveserver.event import CONTROL_WORDS
from liveserver.transport import websocket as wire
from liveserver.transport.form import Gap, Ready, Reason, encode
from liveserver.transport.websocket import SOCKET, Subscribe, Unsubscribe, parse_message
from tests.transport.test_sse import cursors, data

READY = Ready("v1", "dc1-fe1", "dc1-a-1", resumed=True, gap=False)


def read(frames: bytes) -> list[Event]:
    client = Connection(ConnectionType.CLIENT)
    client.receive_data(frames)
    return list(client.events())


def said(frames: bytes) -> list[Any]:
    """The messages in the frames, each of which must be whole."""
    events = read(frames)
    assert all(isinstance(event, TextMessage) and event.message_finished for event in events)
    return [json.loads(event.data) for event in events if isinstance(event, TextMessage)]


def test_the_server_s_messages() -> None:
    assert SOCKET.joined("v1", b"dc1-a-2", [SOCKET.frame(b"dc1-a-2", b"like", b'{"id":"1"}')]) == (
        b'\x81\x42{"events":{"video":"v1","cursor":"dc1-a-2","events":[{"id":"1"}]}}'
    )
    ready = SOCKET.opening(b"dc1-a-1", READY, 1000)
    assert said(ready) == [{"ready": msgspec.to_builtins(READY)}]
    gap = SOCKET.envelope(SOCKET.control(b"dc1-a-1", b"gap", encode(Gap("v1", "dc1-a-1"))))
    assert said(gap) == [{"gap": {"video": "v1", "cursor": "dc1-a-1"}}]
    assert SOCKET.heartbeat == b""


def test_an_event_is_bare_whatever_its_type_is() -> None:
    for word in sorted(CONTROL_WORDS):
        frame = SOCKET.frame(b"dc1-a-2", word.encode(), b'{"id":"1"}')
        assert said(SOCKET.joined("v1", b"dc1-a-2", [frame])) == [
            {"events": {"video": "v1", "cursor": "dc1-a-2", "events": [{"id": "1"}]}}
        ]


@pytest.mark.parametrize("reason", Reason)
def test_the_last_words(reason: Reason) -> None:
    bye, end = read(SOCKET.disconnect_frame(b"", reason, 1234))
    assert isinstance(bye, TextMessage)
    assert json.loads(bye.data) == {
        "bye": {"reason": reason.word, "reconnect": reason.reconnect, "retry": 1234}
    }
    assert end == CloseConnection(code=reason.code, reason=reason.word)


def test_errors_carry_the_problem_and_the_video() -> None:
    document = {"type": "about:blank", "title": "Bad Request", "status": 400, "detail": "no"}
    assert said(wire.error(BadRequest("no"), "v1")) == [{"error": document | {"video": "v1"}}]
    assert said(wire.error(BadRequest("no"), None)) == [{"error": document}]


@given(st.binary(max_size=125))
def test_control_frames(payload: bytes) -> None:
    assert read(wire.pong(payload)) == [Pong(payload=payload)]
    assert read(wire.PING) == [Ping(payload=b"")]


@given(st.integers(3000, 4999), st.text())
def test_a_close_is_never_too_long(code: int, reason: str) -> None:
    (event,) = read(wire.close(code, reason.encode(errors="replace").decode()))
    assert isinstance(event, CloseConnection)
    assert event.code == code
    assert reason.startswith(event.reason or "") or "?" in (event.reason or "")


@given(cursors, st.lists(data, min_size=1), st.sampled_from([0, 100, 126, 65_500, 65_536, 70_000]))
def test_events_of_any_size_are_one_whole_message(cursor: bytes, events: list[bytes], size: int) -> None:
    events = [*events, b'"%b"' % (b"x" * size)]
    frames = [SOCKET.frame(cursor, b"like", event) for event in events]
    assert said(SOCKET.joined("v", cursor, frames)) == [
        {"events": {"video": "v", "cursor": cursor.decode(), "events": [json.loads(each) for each in events]}}
    ]


def test_client_messages_are_parsed() -> None:
    assert parse_message('{"subscribe":{"video":"v"}}') == Subscribe("v")
    assert parse_message('{"subscribe":{"video":"v","cursor":"earliest"}}') == Subscribe("v", "earliest")
    assert parse_message('{"subscribe":{"video":"v","replay":7}}') == Subscribe("v", replay=7)
    assert parse_message('{"unsubscribe":{"video":"v"}}') == Unsubscribe("v")
    assert parse_message('{"ping":{}}') == wire.Ping()


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["subscribe", "unsubscribe", "ping", "video", "cursor", "replay"]) | st.text(),
            inner,
        )
    ),
    max_leaves=8,
)


@given(json_values.map(json.dumps) | st.text() | st.integers(1, 4096).map("[".__mul__))
def test_any_message_is_parsed_or_refused(text: str) -> None:
    try:
        message = parse_message(text)
    except BadRequest:
        return
    assert isinstance(message, Subscribe | Unsubscribe | wire.Ping)
    assert json.loads(text)[type(message).__name__.lower()] is not None
