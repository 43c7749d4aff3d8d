"""JSON lines, to the byte."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.transport.form import HttpForm
from liveserver.transport.ndjson import NDJSON, NDJSON_HTTP10
from tests.transport.test_sse import cursors, data, types

both = pytest.mark.parametrize("form", [NDJSON, NDJSON_HTTP10])


@both
def test_a_frame_is_a_line(form: HttpForm) -> None:
    assert form.frame(b"dc1-a-1", b"like", b'{"id":"01J"}') == (
        b'{"cursor":"dc1-a-1","event":"like","data":{"id":"01J"}}\n'
    )
    assert form.control(b"", b"bye", b"{}") == b'{"cursor":null,"event":"bye","data":{}}\n'


@both
def test_the_heartbeat_is_an_empty_line_and_there_is_no_retry(form: HttpForm) -> None:
    assert form.heartbeat == b"\n"
    assert form.retry(1000) == b""


def test_headers() -> None:
    assert NDJSON.headers == (
        b"content-type: application/x-ndjson",
        b"cache-control: no-store, no-transform",
        b"x-accel-buffering: no",
        b"transfer-encoding: chunked",
    )
    assert NDJSON_HTTP10.headers == (*NDJSON.headers[:3], b"connection: close")


@given(st.lists(st.tuples(cursors | st.just(b""), types, data)))
def test_every_line_is_json_and_says_what_the_frame_says(events: list[tuple[bytes, bytes, bytes]]) -> None:
    wire = NDJSON.heartbeat.join(NDJSON.frame(*event) for event in events)
    lines = [json.loads(line) for line in wire.split(b"\n") if line]
    assert lines == [
        {"cursor": cursor.decode() or None, "event": kind.decode(), "data": json.loads(text)}
        for cursor, kind, text in events
    ]
