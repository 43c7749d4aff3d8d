"""Leases on the wire: what a dispatcher has is what a frontend gets."""

from __future__ import annotations

import msgspec
import pytest

from liveserver.bus.interface import Head, Lease
from liveserver.bus.leases import LeaseAnswer, LeaseRequest
from liveserver.cursor import Cursor, CursorError
from liveserver.viewer_count import ViewerCount


def test_leases_survive_the_wire() -> None:
    cursor = Cursor.parse("dc1-e1-5")
    leases = {
        "v": Lease(Head("e1", 5, cursor, None), ViewerCount("v", "dc1", 3, 8), False, [b"settings {}"]),
        "w": Lease(Head("e2", 0, Cursor.parse("dc1-e2-0"), cursor), ViewerCount("w", "dc1", 0, 0), True, []),
    }
    wire = msgspec.json.encode(LeaseAnswer.from_leases(leases))
    assert msgspec.json.decode(wire, type=LeaseAnswer).to_leases() == leases


def test_a_malformed_cursor_is_an_error() -> None:
    answer = msgspec.json.decode(b'{"heads":{"v":{"epoch":"e","offset":1,"cursor":"?"}}}', type=LeaseAnswer)
    with pytest.raises(CursorError):
        answer.to_leases()


@pytest.mark.parametrize("node", ["", "-a", "a b", "a\n", "a" * 129, "a/b"])
def test_a_nodes_name_is_checked(node: str) -> None:
    body = msgspec.json.encode({"node": node, "lease": 30, "videos": {}})
    with pytest.raises(msgspec.ValidationError, match="node"):
        msgspec.json.decode(body, type=LeaseRequest)
