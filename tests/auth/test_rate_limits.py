"""Rate and concurrency limits, on a virtual clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import MockClock

from liveserver.auth.rate_limits import CompositeLimit, CompositeRateLimiter, ConcurrencyLimit, RateLimiter
from liveserver.errors import TooMany


async def test_a_burst_and_then_the_rate(autojump_clock: MockClock) -> None:
    rates = CompositeRateLimiter(RateLimiter("likes", 2.0, 5.0, 100))
    for _ in range(10):
        rates.acquire("a")
    with pytest.raises(TooMany, match="too many likes") as caught:
        rates.acquire("a")
    assert caught.value.headers == (("retry-after", "1"),)
    rates.acquire("b")
    autojump_clock.jump(0.51)
    rates.acquire("a")
    with pytest.raises(TooMany):
        rates.acquire("a")
    assert rates.refused == 2


async def test_a_refused_action_costs_none_of_its_limits(autojump_clock: MockClock) -> None:
    rates = CompositeRateLimiter(
        RateLimiter("of a user", 1.0, 3.0, 100), RateLimiter("of a video", 1.0, 1.0, 100)
    )
    rates.acquire("u", "v")
    for _ in range(5):
        with pytest.raises(TooMany, match="of a video"):
            rates.acquire("u", "v")
    rates.acquire("u", "w")
    rates.acquire(None, "x")
    rates.acquire("u", "y")
    with pytest.raises(TooMany, match="of a user"):
        rates.acquire("u", "z")


async def test_more_than_a_burst_at_once_is_let_in_and_paid_for(autojump_clock: MockClock) -> None:
    rates = CompositeRateLimiter(RateLimiter("events", 10.0, 1.0, 100))
    rates.acquire("a", count=100)
    with pytest.raises(TooMany) as caught:
        rates.acquire("a")
    assert caught.value.retry_after == 10
    autojump_clock.jump(9.2)
    rates.acquire("a")


@given(st.floats(0.01, 1000), st.floats(0, 100), st.lists(st.floats(0, 5), max_size=60))
def test_no_more_than_a_burst_and_the_rate_in_any_time(rate: float, burst: float, steps: list[float]) -> None:
    bucket, now, taken = RateLimiter("x", rate, burst, 10), 1000.0, 0
    for step in steps:
        now += step
        if bucket.delay("a", 1, now) == 0:
            bucket.charge("a", 1, now)
            taken += 1
    assert taken <= rate * (now - 1000.0) + max(1.0, rate * burst) + 1e-6


def test_memory_is_bounded() -> None:
    bucket = RateLimiter("x", 1.0, 10.0, 3)
    for name in range(100):
        bucket.charge(str(name), 1, 0.0)
    assert len(bucket) == 3


async def test_nothing_is_counted_where_nothing_is_limited() -> None:
    bucket = RateLimiter("x", 0.0, 10.0, 3)
    rates, limit = CompositeRateLimiter(bucket), CompositeLimit(ConcurrencyLimit("y", 0))
    rates.acquire("a", count=10**9)
    limit.acquire("a")()
    assert (len(bucket), rates.is_any, limit.is_any) == (0, False, False)


def test_a_place_is_taken_and_given_back_once() -> None:
    users, videos = ConcurrencyLimit("users", 2), ConcurrencyLimit("videos", 3)
    limit = CompositeLimit(users, videos)
    leave = [limit.acquire("u", "v"), limit.acquire("u", "w")]
    with pytest.raises(TooMany, match="too many users"):
        limit.acquire("u", "v")
    limit.acquire(None, "v")
    leave[0]()
    leave[0]()
    leave[1]()
    assert (len(users), len(videos)) == (0, 1)
    assert limit.refused == 1
