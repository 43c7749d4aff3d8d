"""A trend is detected; viewers that come and go do not count as one."""

from __future__ import annotations

import math
import random

import pytest

from bench.trend import blocks, trend

SECONDS = [10.0 * number for number in range(100)]
VIEWERS = [500 + 400 * math.sin(second / 90) for second in SECONDS]


def test_a_steady_growth_is_found_beneath_a_tide_of_viewers() -> None:
    values = [
        90 + 0.004 * viewers + 20 * second / 3600 for second, viewers in zip(SECONDS, VIEWERS, strict=True)
    ]
    found = trend(SECONDS, values, VIEWERS)
    assert found.per_hour == pytest.approx(20)
    assert found.margin == pytest.approx(0, abs=1e-6)


def test_noise_is_no_growth_and_the_margin_says_how_sure_that_is() -> None:
    chance = random.Random(4)
    values = [90 + 0.004 * viewers + chance.gauss(0, 1) for viewers in VIEWERS]
    found = trend(SECONDS, values, VIEWERS)
    assert found.at_least < 0 < found.per_hour + found.margin
    assert 0.5 < found.margin < 5


@pytest.mark.parametrize("samples", [0, 3])
def test_too_few_samples_are_refused(samples: int) -> None:
    with pytest.raises(ValueError, match="four"):
        trend(SECONDS[:samples], SECONDS[:samples], SECONDS[:samples])


def test_samples_that_say_the_same_do_not_make_it_surer() -> None:
    chance = random.Random(5)
    level, values = 0.0, []
    seconds = [2.0 * number for number in range(1800)]
    viewers = [500 + 400 * math.sin(second / 500) for second in seconds]
    for _ in seconds:  # wanders, and comes back within a minute
        level += chance.gauss(0, 0.2) - level / 30
        values.append(90 + level)
    single, blocked = trend(seconds, values, viewers), trend(*blocks(seconds, values, viewers, 120.0))
    assert blocked.margin > 2 * single.margin
    assert blocked.at_least < 0 < blocked.per_hour + blocked.margin


def test_blocks_have_the_means_of_what_is_in_them() -> None:
    assert blocks([0, 10, 29, 30, 61], [1, 2, 3, 4, 5], [0, 0, 3, 6, 9], 30) == (
        [13, 30, 61],
        [2, 4, 5],
        [1, 6, 9],
    )
