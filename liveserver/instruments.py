"""Annotations of statistics, and histograms.

A part's `statistics()` returns a frozen struct. The annotation of a field has its description for operators,
from which `/metrics` is generated: `writes: Annotated[int, total("…")]`. Parts count in plain ints, and
nothing is computed until it is read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

import msgspec
from msgspec import Meta

DELAYS = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5,
    1.0, 2.0, 5.0, 10.0, 30.0,
)  # fmt: skip
"""Upper bounds of a delay's buckets, in seconds."""

SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000)
"""Upper bounds of a count's buckets."""


def total(text: str, *, name: str | None = None, label: str | None = None) -> Meta:
    """Annotate a count since the start.

    `name` replaces the field's name in the metric, with its unit; `label` names the label whose values are
    the keys of a dictionary, or this field of each of a list of structs.
    """
    return _meta("counter", text, name, label)


def gauge(text: str, *, name: str | None = None, label: str | None = None) -> Meta:
    """Annotate a current value; the arguments are those of `total`."""
    return _meta("gauge", text, name, label)


def histogram(text: str, *, name: str | None = None) -> Meta:
    """Annotate a `Distribution`."""
    return _meta("histogram", text, name, None)


def _meta(kind: str, text: str, name: str | None, label: str | None) -> Meta:
    return Meta(description=text, extra={"kind": kind, "name": name, "label": label})


class Exemplar(msgspec.Struct, frozen=True):
    """An observed value and the trace that it belongs to; `at` is in seconds since the epoch."""

    trace_id: str
    value: float
    at: float


class Distribution(msgspec.Struct, frozen=True, omit_defaults=True):
    """The values of a histogram: `counts[i]` are at most `bounds[i]`, and above the bound before it.

    The last of `counts` is that of the values above the last bound. `exemplars` are the last traced values of
    buckets, by their indexes.
    """

    bounds: Sequence[float]
    counts: list[int]
    sum: float
    exemplars: dict[int, Exemplar] = {}


class Histogram:
    """Counts values into buckets. Observing costs a bisection."""

    __slots__ = ("_bounds", "_counts", "_exemplars", "_sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self._sum = 0.0
        self._exemplars: dict[int, Exemplar] = {}

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def note_trace(self, value: float, trace_id: str, at: float) -> None:
        """Record that an observed value belongs to a trace."""
        bucket = bisect_left(self._bounds, value)
        if self._counts[bucket]:
            self._exemplars[bucket] = Exemplar(trace_id, value, at)

    def read(self) -> Distribution:
        return Distribution(self._bounds, self._counts.copy(), self._sum, self._exemplars.copy())
