"""What is left of a retracted event."""

from __future__ import annotations

import json

import msgspec
import pytest

from liveserver.event import Event
from liveserver.redaction import redacted, target_prefix


def test_a_redacted_event_keeps_only_its_id_and_time() -> None:
    event = Event("e1", "v", "comment", at=7, user="ada", data=msgspec.Raw(b'{"text":"rude"}'))
    left = redacted(msgspec.json.encode(event))
    assert left is not None
    assert b"rude" not in left
    assert b"ada" not in left
    document = json.loads(left)
    assert (document["id"], document["type"], document["at"]) == ("e1", "retract", 7)
    assert document["data"] == {"id": "e1"}


def test_the_prefix_is_how_the_target_begins() -> None:
    for name in ("e1", 'a"b', "é"):
        prefix = target_prefix(msgspec.json.encode({"data": {"id": name}}))
        assert prefix is not None
        assert msgspec.json.encode(Event(name, "v", "comment", at=7)).startswith(prefix)
        assert not msgspec.json.encode(Event(name + "2", "v", "comment", at=7)).startswith(prefix)


@pytest.mark.parametrize("data", [b"", b"{", b"{}", b'{"data":{}}', b'{"data":{"id":1}}', b'{"data":[]}'])
def test_what_names_no_target_has_none(data: bytes) -> None:
    assert target_prefix(data) is None


def test_what_is_no_event_is_not_redacted() -> None:
    assert redacted(b'{"id":1}') is None
