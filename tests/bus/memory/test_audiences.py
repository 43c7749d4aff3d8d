"""Audiences in the memory bus: memory stays bounded."""

from __future__ import annotations

from liveserver.bus.memory.audiences import VIDEOS, Audiences
from liveserver.bus.memory.distinct import KEPT, DistinctCounter
from liveserver.viewer_count import AudienceReport, AudienceSize


def test_names_beyond_those_kept_are_estimated() -> None:
    counter = DistinctCounter()
    counter.add(f"user-{number}" for number in range(KEPT - 1))
    assert counter.count() == KEPT - 1
    counter.add(f"user-{number}" for number in range(10 * KEPT))
    assert abs(counter.count() - 10 * KEPT) < 0.05 * 10 * KEPT
    assert len(counter._hashes) == len(counter._largest) == KEPT


def test_only_the_latest_unexpired_videos_are_kept() -> None:
    audiences = Audiences()
    for number in range(VIDEOS + 10):
        audiences.add(AudienceReport(f"v{number}", ["ada"], 1), now=0, ttl=10)
    assert len(audiences._videos) == VIDEOS
    assert audiences.size("v9", 0) == AudienceSize()
    assert audiences.size("v10", 9) == AudienceSize(1, 1)
    assert audiences.size("v10", 10) == AudienceSize()
    for number in range(VIDEOS):
        audiences.add(AudienceReport("w", [f"user-{number}"], 2), now=20, ttl=10)
    assert list(audiences._videos) == ["w"]
    assert audiences.size("w", 20) == AudienceSize(VIDEOS, 2)
