"""The encoding of viewer counts."""

from __future__ import annotations

import pytest

from liveserver.event import Batch, MalformedBatch
from liveserver.viewer_count import MARK, MalformedViewerCount, ViewerCount


def test_a_tally_survives_the_wire() -> None:
    tally = ViewerCount("v.1-a_B", "dc2", 340, 912, 29.5)
    assert tally.encode() == b"#v.1-a_B dc2 340 912 29500"
    assert ViewerCount.decode(tally.encode()) == tally


def test_a_tally_is_no_batch() -> None:
    with pytest.raises(MalformedBatch):
        Batch.decode(ViewerCount("v", "dc1").encode() + b"\nlike {}")
    assert not Batch("v", "e", 1, "dc1", "e", 1, [b"like {}"]).encode().startswith(MARK)


@pytest.mark.parametrize(
    "wire",
    [b"#", b"#v", b"#v dc1 1 2", b"#v dc1 1 2 3  4", b"#v dc1 1 x 3", b"#-v dc1 1 2 3", b"#v DC 1 2 3",
     b"#v dc1 -1 2 3", b"#v dc1 1 2 3.5", b"#v\xff dc1 1 2 3", b"#v  1 2 3"],
)  # fmt: skip
def test_malformed_viewer_counts_are_refused(wire: bytes) -> None:
    with pytest.raises(MalformedViewerCount):
        ViewerCount.decode(wire)
