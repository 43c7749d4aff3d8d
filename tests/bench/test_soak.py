"""The evening of the soak."""

from __future__ import annotations

import pytest

from bench.soak import Evening, viewers_at
from bench.soak_node import Sample


def test_an_evening_begins_with_few_and_has_most_after_two_thirds() -> None:
    curve = [viewers_at(number / 600) for number in range(601)]
    assert max(curve) <= 1.0
    assert min(curve) > 0.05
    assert curve[0] < 0.15
    assert 0.5 < curve.index(max(curve)) / 600 < 0.8
    assert 0.25 < curve[-1] < 0.6


class Node:
    """A process whose memory grows while it warms up, and then by some MiB an hour."""

    def __init__(self, per_hour: float) -> None:
        self.name = "frontend 1"
        self.samples = [
            Sample(second, 100 + number % 7, 90 + min(second, 600) / 60 + per_hour * second / 3600, 50)
            for number, second in enumerate(float(each) for each in range(1, 3600, 2))
        ]


@pytest.mark.parametrize("per_hour", [0.0, 20.0])
def test_what_is_taken_while_warming_up_is_no_growth(
    monkeypatch: pytest.MonkeyPatch, per_hour: float
) -> None:
    evening = Evening(1, 60, 400, 30, 60.0)
    monkeypatch.setattr(Evening, "nodes", [Node(per_hour)])
    found = evening.trends()["frontend 1"]
    assert found["MiB"].per_hour == pytest.approx(per_hour, abs=0.1)
    assert found["MiB"].margin < 0.5
    assert found["descriptors"].per_hour == pytest.approx(0, abs=0.01)
