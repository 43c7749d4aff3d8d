"""The filter of a viewer: some types of events, and a sample of the comments."""

from __future__ import annotations

import msgspec

COMMENT = b"comment"
BREAKS = frozenset({b"gap", b"skip"})  # missing events are reported, whatever the filter


class Filter(msgspec.Struct, frozen=True):
    """`types`: the only types of events; None: all. `rate`: at most so many comments a second; None: all.

    The comments of a second, by their `at`, are counted in the order of the log, and those beyond `rate` are
    left out: so all viewers with one rate have the same sample.
    """

    types: frozenset[bytes] | None = None
    rate: int | None = None

    def includes(self, event: bytes, rank: int) -> bool:
        """Return whether an event of this type is sent; `rank`: comments of its second before it."""
        if self.types is not None and event not in self.types and event not in BREAKS:
            return False
        return self.rate is None or event != COMMENT or rank < self.rate

    def omits(self, event: bytes, rank: int) -> bool:
        """Return whether it is a comment that the rate leaves out."""
        if self.rate is None or event != COMMENT or (self.types is not None and event not in self.types):
            return False
        return rank >= self.rate


def filter_of(types: frozenset[bytes] | None, rate: int | None) -> Filter | None:
    """Return the filter; None when it includes everything."""
    return None if types is None and rate is None else Filter(types, rate)
