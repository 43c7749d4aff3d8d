"""A poll's answer, to the byte."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from liveserver.transport.longpoll import poll_body
from tests.transport.test_sse import cursors, data


def test_bodies() -> None:
    assert poll_body(b"dc1-a-1", False, []) == b'{"cursor":"dc1-a-1","gap":false,"events":[]}'
    assert poll_body(b"dc1-a-3", True, [b'{"a":1}', b"{}"]) == (
        b'{"cursor":"dc1-a-3","gap":true,"events":[{"a":1},{}]}'
    )


@given(cursors, st.booleans(), st.lists(data))
def test_a_body_is_json(cursor: bytes, gap: bool, events: list[bytes]) -> None:
    assert json.loads(poll_body(cursor, gap, events)) == {
        "cursor": cursor.decode(),
        "gap": gap,
        "events": [json.loads(event) for event in events],
    }
