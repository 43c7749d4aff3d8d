"""When an event was accepted, read from its bytes."""

from __future__ import annotations

import msgspec
import pytest

from liveserver.event import Event
from liveserver.frontend.history.times import accepted_at


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b'{"id":"a","video":"v","type":"like","at":17}', 17),
        (b'{"id":"a","video":"v","type":"like","at":17,"accepted":23}', 23),
        (b'{"id":"a","video":"v","type":"like","at":17,"data":{"x":1,"at":5,"accepted":6}}', 17),
        (b"{}", None),
        (b'{"at":17}', None),
    ],
)
def test_the_events_own_times_count(data: bytes, expected: int | None) -> None:
    assert accepted_at(data) == expected


def test_events_are_rendered_as_they_are_read() -> None:
    data = msgspec.Raw(b'{"z":0,"at":1}')
    assert accepted_at(msgspec.json.encode(Event("a", "v", "like", at=42, data=data))) == 42
