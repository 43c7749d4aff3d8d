"""The pause of a segment, by the loop's load."""

from __future__ import annotations

import pytest

from liveserver.frontend.delivery.load import FULL, LIGHT, WINDOW, Load


def rest_at(share: float, windows: int = 60) -> float:
    load, now, rest = Load(), 0.0, 0.0
    for _ in range(windows):
        load.add(share * WINDOW)
        now += WINDOW
        rest = load.rest(now)
    return rest


@pytest.mark.parametrize("share", [0.0, 0.3, LIGHT])
def test_a_light_load_does_not_rest(share: float) -> None:
    assert rest_at(share) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.parametrize("share", [FULL, 0.97, 1.0, 3.0])
def test_a_full_load_rests_for_all(share: float) -> None:
    assert rest_at(share) == pytest.approx(1.0)


def test_between_them_it_rests_in_proportion() -> None:
    assert rest_at((LIGHT + FULL) / 2) == pytest.approx(0.5)


def test_one_busy_moment_after_a_quiet_time_is_not_a_load() -> None:
    load = Load()
    load.add(0.5)
    assert load.rest(100.0) == 0.0


def test_a_past_load_has_no_effect() -> None:
    load, now = Load(), 0.0
    for _ in range(60):
        load.add(WINDOW)
        now += WINDOW
        load.rest(now)
    assert load.share > FULL
    assert load.rest(now + 2.0) == 0.0
