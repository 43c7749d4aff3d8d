"""Event streams, to the byte, and as the client reads them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.client.sse import SSEEvent, SSEParser
from liveserver.transport.form import Bye, Gap, Ready, encode
from liveserver.transport.sse import SSE, SSE_HTTP10

cursors = st.from_regex(r"dc[0-9]-[a-z0-9]{5}-[1-9][0-9]{0,15}", fullmatch=True).map(str.encode)
types = st.from_regex(r"[a-z][a-z0-9_.-]{0,31}", fullmatch=True).map(str.encode)
data = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
).map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def test_a_frame_is_as_api_md_shows_it() -> None:
    ready = Ready("v1", "dc1-fe1", "dc1-k3f9a-1532", resumed=False, gap=False)
    frames = SSE.retry(2731) + SSE.control(b"dc1-k3f9a-1532", b"ready", encode(ready))
    frames += SSE.frame(b"dc1-k3f9a-1533", b"like", b'{"id":"01J"}')
    assert frames == (
        b"retry: 2731\n"
        b"id: dc1-k3f9a-1532\n"
        b"event: ready\n"
        b'data: {"video":"v1","node":"dc1-fe1","cursor":"dc1-k3f9a-1532","resumed":false,"gap":false}\n'
        b"\n"
        b"id: dc1-k3f9a-1533\n"
        b"event: like\n"
        b'data: {"id":"01J"}\n'
        b"\n"
    )


def test_without_a_cursor_there_is_no_id_to_forget_by() -> None:
    assert SSE.control(b"", b"bye", b"{}") == b"event: bye\ndata: {}\n\n"
    parser = SSEParser()
    parser.feed(SSE.frame(b"dc1-a-1", b"like", b"{}") + SSE.control(b"", b"bye", b"{}"))
    assert parser.last_id == "dc1-a-1"


def test_the_heartbeat_is_a_comment_with_a_single_line_end() -> None:
    assert SSE.heartbeat == SSE_HTTP10.heartbeat == b":\n"


@pytest.mark.parametrize("quiet", [SSE.heartbeat * 3, SSE.retry(1000), SSE.heartbeat + SSE.retry(1)])
def test_frames_without_data_are_no_events(quiet: bytes) -> None:
    parser = SSEParser()
    assert parser.feed(quiet) == []
    event = SSEEvent("like", "{}", "dc1-a-1")
    assert parser.feed(SSE.frame(b"dc1-a-1", b"like", b"{}")) == [event]
    assert parser.feed(quiet + SSE.frame(b"dc1-a-1", b"like", b"{}")) == [event]


def test_headers() -> None:
    assert SSE.headers == (
        b"content-type: text/event-stream",
        b"cache-control: no-store, no-transform",
        b"x-accel-buffering: no",
        b"transfer-encoding: chunked",
    )
    assert SSE_HTTP10.headers == (*SSE.headers[:3], b"connection: close")


def test_other_control_frames() -> None:
    assert encode(Gap("v1", "dc1-a-1")) == b'{"video":"v1","cursor":"dc1-a-1"}'
    assert encode(Bye("drain", reconnect=True)) == b'{"reason":"drain","reconnect":true}'


@given(st.lists(st.tuples(cursors, types, data), max_size=5), st.integers(1, 60_000), st.data())
def test_a_client_parses_the_written_frames(
    events: list[tuple[bytes, bytes, bytes]], retry: int, draw: st.DataObject
) -> None:
    wire = SSE.retry(retry) + SSE.heartbeat.join(SSE.frame(*event) for event in events) + SSE.heartbeat
    cut = draw.draw(st.integers(0, len(wire)))
    parser = SSEParser()
    assert parser.feed(wire[:cut]) + parser.feed(wire[cut:]) == [
        SSEEvent(kind.decode(), text.decode(), cursor.decode()) for cursor, kind, text in events
    ]
    assert parser.retry == retry
