"""Ids for events whose publisher made none up."""

from __future__ import annotations

import itertools
import secrets

_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


class IdMaker:
    """Unique ids that sort by time: the 48 bits of a ULID's milliseconds, 30 random ones of this
    process, and a count, in Crockford's base 32."""

    def __init__(self) -> None:
        self._process = "".join(secrets.choice(_BASE32) for _ in range(6))
        self._count = itertools.count(1)
        self._time = (-1, "")

    def __call__(self, milliseconds: int) -> str:
        if self._time[0] != milliseconds:
            digits = (_BASE32[milliseconds >> shift & 31] for shift in range(45, -1, -5))
            self._time = (milliseconds, "".join(digits))
        return f"{self._time[1]}{self._process}{next(self._count):010d}"
