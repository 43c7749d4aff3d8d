"""How many different users have watched a video, in the memory bus; the counterpart of Redis' HyperLogLog.

Of all names the smallest hashes are kept: exact while they fit, and then an estimate from how densely they
lie (k minimum values; Bar-Yossef et al., Counting distinct elements in a data stream, 2002).
"""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable

KEPT = 4_096  # hashes: a standard error of 1.6 %
_BYTES = 8  # of a hash
_HASHES = 1 << 8 * _BYTES


class DistinctCounter:
    """Counts different names, in bounded memory."""

    __slots__ = ("_hashes", "_largest")

    def __init__(self) -> None:
        self._hashes: set[int] = set()
        self._largest: list[int] = []  # the same, negated: a heap with the largest first

    def add(self, names: Iterable[str]) -> None:
        for name in names:
            value = int.from_bytes(hashlib.blake2b(name.encode(), digest_size=_BYTES).digest())
            if value in self._hashes:
                continue
            if len(self._hashes) < KEPT:
                heapq.heappush(self._largest, -value)
            elif value < -self._largest[0]:
                self._hashes.remove(-heapq.heapreplace(self._largest, -value))
            else:
                continue
            self._hashes.add(value)

    def count(self) -> int:
        if len(self._hashes) < KEPT:
            return len(self._hashes)
        return (KEPT - 1) * _HASHES // -self._largest[0]
