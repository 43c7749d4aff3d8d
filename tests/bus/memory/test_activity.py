"""Videos by time: in pages, each with all of its last millisecond."""

from __future__ import annotations

from liveserver.bus.memory.activity import Activity


def noted(*at: tuple[str, float]) -> Activity:
    activity = Activity()
    for video, when in at:
        activity.note(video, when)
    return activity


def test_a_video_counts_with_its_last_time() -> None:
    active = noted(("a", 1.0), ("b", 2.0), ("a", 3.0)).since(0, 10, 5.0)
    assert (active.videos, active.upto, active.now) == (["b", "a"], 3000, 5000)


def test_a_page_has_all_of_its_last_millisecond() -> None:
    activity = noted(("a", 1.0), ("b", 2.0), ("c", 2.0), ("d", 3.0))
    page = activity.since(0, 2, 5.0)
    assert (page.videos, page.upto) == (["a", "b", "c"], 2000)
    assert activity.since(page.upto + 1, 2, 5.0).videos == ["d"]
    nothing = activity.since(9000, 2, 10.0)
    assert (nothing.videos, nothing.upto) == ([], 9000)


def test_those_up_to_a_time_expire() -> None:
    activity = noted(("a", 1.0), ("b", 2.0), ("c", 3.0))
    assert activity.expire(2.0) == ["a", "b"]
    assert activity.expire(2.0) == []
    assert activity.since(0, 10, 5.0).videos == ["c"]
