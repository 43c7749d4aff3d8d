"""When likes are published one by one: by the rate of this second and of the one before."""

from __future__ import annotations

from liveserver.backend import rates
from liveserver.backend.rates import LikeRates
from liveserver.config import LikeSettings


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def counted(like_rates: LikeRates, count: int, video: str = "v") -> int:
    """Count so many likes; return how many are events of their own."""
    return sum(like_rates.is_each(video) for _ in range(count))


def test_the_first_likes_of_a_burst_are_events_of_their_own() -> None:
    clock = Clock()
    like_rates = LikeRates(LikeSettings(each_up_to=3), clock)
    assert counted(like_rates, 10) == 3
    clock.now += 1
    assert counted(like_rates, 10) == 0  # the second before had more than three
    clock.now += 1
    assert counted(like_rates, 2) == 0
    clock.now += 1
    assert counted(like_rates, 2) == 2
    assert counted(like_rates, 2, "other") == 2


def test_an_idle_second_ends_a_burst() -> None:
    clock = Clock()
    like_rates = LikeRates(LikeSettings(each_up_to=3), clock)
    counted(like_rates, 10)
    clock.now += 2
    assert counted(like_rates, 3) == 3


def test_of_more_videos_than_are_counted_the_one_without_likes_for_longest_is_dropped() -> None:
    like_rates = LikeRates(LikeSettings(each_up_to=1), Clock())
    for number in range(rates.MAX_VIDEOS):
        assert like_rates.is_each(f"v{number}")
    assert not like_rates.is_each("v0")
    assert like_rates.is_each("new")  # drops v1
    assert len(like_rates._windows) == rates.MAX_VIDEOS
    assert not like_rates.is_each("v0")
    assert not like_rates.is_each("new")
    assert like_rates.is_each("v1")
