"""Each video has one owner, which changes only if the owner leaves."""

from __future__ import annotations

from collections import Counter

from liveserver.dispatcher.relay.rendezvous import owner

VIDEOS = [f"v{number}" for number in range(3000)]


def test_videos_are_shared_evenly() -> None:
    shares = Counter(owner(video, ["di1", "di2", "di3"]) for video in VIDEOS)
    assert sorted(shares) == ["di1", "di2", "di3"]
    assert min(shares.values()) > 900


def test_only_the_videos_of_a_member_that_leaves_move() -> None:
    for video in VIDEOS:
        before = owner(video, ["di1", "di2", "di3"])
        after = owner(video, ["di3", "di1"])
        assert after == before or before == "di2"


def test_a_single_dispatcher_owns_every_video() -> None:
    assert {owner(video, ["di1"]) for video in VIDEOS} == {"di1"}


def test_dispatchers_of_all_versions_agree() -> None:
    """While they are replaced one by one, each video is to have one owner."""
    owners = [owner(f"v{number}", ["n1", "n2", "n3"]) for number in range(12)]
    assert "".join(each[1:] for each in owners) == "211221231313"
