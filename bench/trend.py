"""The growth of a figure with time: a straight line through samples, with its confidence.

A node's memory depends on its viewers, which come and go. So it is explained by the viewers first, and the
slope is that of the residuals (Frisch, Waugh and Lovell's theorem on partial regression).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import fmean
from typing import NamedTuple

HOUR = 3600.0
BLOCK = 30.0  # seconds


class Trend(NamedTuple):
    """Growth in units an hour, and half the width of its 95 % confidence interval."""

    per_hour: float
    margin: float

    @property
    def at_least(self) -> float:
        """The lower bound of the growth an hour."""
        return self.per_hour - self.margin


def blocks(
    seconds: Sequence[float], values: Sequence[float], viewers: Sequence[float], length: float = BLOCK
) -> tuple[list[float], list[float], list[float]]:
    """Return the means of all three over blocks of `length` seconds.

    Consecutive samples are correlated, so a confidence interval that counts each is too narrow.
    Means over longer blocks are independent (batch means; Law, Simulation Modeling and Analysis, 9.5.3).
    """
    groups: dict[int, list[tuple[float, float, float]]] = {}
    for sample in zip(seconds, values, viewers, strict=True):
        groups.setdefault(int(sample[0] // length), []).append(sample)
    means = [[fmean(column) for column in zip(*group, strict=True)] for group in groups.values()]
    return [mean[0] for mean in means], [mean[1] for mean in means], [mean[2] for mean in means]


def trend(seconds: Sequence[float], values: Sequence[float], viewers: Sequence[float]) -> Trend:
    """Return how `values` grow with time when `viewers` are held equal. Needs four samples or more."""
    if not 4 <= len(seconds) == len(values) == len(viewers):
        raise ValueError("a trend needs four samples or more, of all three")
    times, figures = _residuals(seconds, viewers), _residuals(values, viewers)
    spread = sum(time * time for time in times)
    if not spread:
        return Trend(0.0, math.inf)
    slope = sum(time * figure for time, figure in zip(times, figures, strict=True)) / spread
    left = sum((figure - slope * time) ** 2 for time, figure in zip(times, figures, strict=True))
    error = math.sqrt(left / (len(times) - 3) / spread)
    return Trend(slope * HOUR, _quantile(len(times) - 3) * error * HOUR)


def _quantile(degrees: int) -> float:
    """Return the 97.5 % quantile of Student's distribution, within 2 % from five degrees of freedom on."""
    return 1.96 + 2.8 / degrees


def _residuals(values: Sequence[float], by: Sequence[float]) -> list[float]:
    """Return the residuals of `values` from a straight line in `by`."""
    mean, mean_by = fmean(values), fmean(by)
    spread = sum((each - mean_by) ** 2 for each in by)
    slope = sum((each - mean_by) * (value - mean) for each, value in zip(by, values, strict=True))
    slope = slope / spread if spread else 0.0
    return [value - mean - slope * (each - mean_by) for each, value in zip(by, values, strict=True)]
