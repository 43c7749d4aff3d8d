"""Ids of events without a publisher's own id, of epochs, and of failed requests."""

from __future__ import annotations

import itertools
import random
import re
import secrets
import time

_BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
_EPOCH_START = 1_577_836_800  # 2020-01-01, in seconds since 1970; six digits last until 2088
_BASE32 = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = [high + low for high in _BASE32 for low in _BASE32]  # two digits, by their number
_REQUEST_ID = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._:+/=@-]{0,63}")


def new_epoch(after: str = "") -> str:
    """Return a name for a new epoch of a log: it sorts after the names made in earlier seconds.

    Six digits in base 36 count seconds, four are random: no name is used twice. It also sorts after
    `after`, the newest epoch known of the same log, whatever the clock says.
    """
    second = int(time.time()) - _EPOCH_START
    if len(after) == 10:
        second = max(second, int(after[:6], 36) + 1)
    digits = (_BASE36[second // 36**place % 36] for place in range(5, -1, -1))
    return "".join([*digits, *random.choices(_BASE36, k=4)])


class IdMaker:
    """Makes unique ids that sort by time: the 48 bits of a ULID's milliseconds, 30 random bits of this
    process, and a counter, in Crockford's base 32.
    """

    def __init__(self) -> None:
        self._process = "".join(secrets.choice(_BASE32) for _ in range(6))
        self._count = itertools.count(1)
        self._second = -1  # of 1,024 ms
        self._high = ""

    def __call__(self, milliseconds: int) -> str:
        second = milliseconds >> 10
        if self._second != second:
            self._second = second
            self._high = "".join([_PAIRS[second >> shift & 1023] for shift in (30, 20, 10, 0)])
        return f"{self._high}{_PAIRS[milliseconds & 1023]}{self._process}{next(self._count):010d}"


def request_id(given: bytes | None, *, trusted: bool) -> str:
    """Return the id of a request, for its response and the log.

    The id that a proxy has `given` (`x-request-id`) is used if it is `trusted` and harmless in a log;
    otherwise a new one is generated.
    """
    if trusted and given is not None and _REQUEST_ID.fullmatch(given):
        return given.decode("ascii")
    return secrets.token_hex(8)
