"""The token bucket."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from liveserver.token_bucket import TokenBucket


def test_a_burst_at_once_and_then_one_for_each_interval() -> None:
    bucket = TokenBucket(3, 0.5)
    assert [bucket.acquire(10.0) for _ in range(4)] == [True, True, True, False]
    assert not bucket.acquire(10.4)
    assert bucket.acquire(10.5)
    assert not bucket.acquire(10.5)
    assert [bucket.acquire(100.0) for _ in range(4)] == [True, True, True, False]


def test_several_are_taken_together_or_not_at_all() -> None:
    bucket = TokenBucket(3, 1)
    assert not bucket.acquire(0.0, 4)
    assert bucket.acquire(0.0, 2)
    assert not bucket.acquire(0.0, 2)
    assert bucket.acquire(0.0)


def test_an_early_take_returns_the_wait() -> None:
    bucket = TokenBucket(2, 0.1)
    assert [round(bucket.reserve(5.0), 6) for _ in range(4)] == [0.0, 0.0, 0.1, 0.2]
    assert round(bucket.reserve(9.0, 5), 6) == 0.3


@given(st.lists(st.floats(0, 0.3), max_size=60), st.integers(1, 5))
def test_never_more_than_the_burst_and_the_rate_allow(waits: list[float], burst: int) -> None:
    bucket, now, taken = TokenBucket(burst, 0.1), 0.0, list[float]()
    for wait in waits:
        now += wait
        if bucket.acquire(now):
            taken.append(now)
    for start in taken:
        for length in (0.0, 0.25, 1.0):
            inside = sum(start <= at <= start + length for at in taken)
            assert inside <= burst + length / 0.1 + 1e-3
