"""The types of settings: durations and sizes with units, addresses, secrets."""

from __future__ import annotations

import hmac
import ipaddress
import math
import re
from typing import Any

_UNITS = {
    "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0,
    "B": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3,
}  # fmt: skip
_QUANTITY = re.compile(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)")


# A larger number without a unit is probably meant to be milliseconds.
MAX_BARE_SECONDS = 3600

MAX_SECONDS = 36_500 * 86_400.0  # a hundred years; Redis counts in milliseconds, and has 63 bits
MAX_BYTES = 1024**5


class Duration(float):
    """Seconds."""


class Size(int):
    """Bytes."""


class Address(str):
    """`host:port`; port 0 means any free one. IPv6 hosts are in brackets."""

    __slots__ = ()

    @property
    def host(self) -> str:
        return self.rpartition(":")[0].strip("[]")

    @property
    def port(self) -> int:
        return int(self.rpartition(":")[2])

    def after(self, count: int) -> Address:
        """Return the address `count` ports higher; for port 0, itself."""
        return Address(f"{self.rpartition(':')[0]}:{self.port + count}") if self.port else self

    @property
    def is_loopback(self) -> bool:
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


class Secret:
    """A text that does not appear in logs, errors or status; `reveal` returns it."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self._text.encode(), other._text.encode())

    def __hash__(self) -> int:
        return hash(self._text)


def quantity(kind: type, value: Any) -> Any:
    """Convert a value to one of these types; msgspec's `dec_hook`. Raises `ValueError`."""
    if kind is Secret:
        if not isinstance(value, str) or not value:
            raise ValueError("a secret is a text in quotes, and not empty")
        return Secret(value)
    if kind is Address:
        host, colon, port = str(value).rpartition(":")
        if not (isinstance(value, str) and colon and host and port.isdigit() and int(port) < 65536):
            raise ValueError(f"{value!r} is not an address like 127.0.0.1:8000")
        return Address(value)
    if isinstance(value, str) and (match := _QUANTITY.fullmatch(value.strip())):
        number, unit = match.groups()
    elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        number, unit = str(value), ""
    else:
        number, unit = "", ""
    if kind is Duration:
        if number and not unit and float(number) > MAX_BARE_SECONDS:
            raise ValueError(
                f'{value!r} has no unit; write "{number}s" for seconds, or "{number}ms" for milliseconds'
            )
        if number and unit in ("", "ms", "s", "m", "h", "d") and float(number) >= 0:
            seconds = float(number) * _UNITS[unit or "s"]
            if seconds > MAX_SECONDS:
                raise ValueError(f"{_shortened(value)} is too long; at most {MAX_SECONDS / 86400:.0f}d")
            return Duration(seconds)
        raise ValueError(f'{value!r} is not a duration like "20ms", "15s" or "5m"')
    if kind is Size:
        if number and unit in ("", "B", "KiB", "MiB", "GiB") and float(number) >= 0:
            size = float(number) * _UNITS[unit or "B"]
            if size > MAX_BYTES:
                raise ValueError(f"{_shortened(value)} is too large; at most {MAX_BYTES // 1024**3}GiB")
            return Size(size)
        raise ValueError(f'{value!r} is not a size like "64KiB" or "4MiB"')
    raise NotImplementedError(kind)


def _shortened(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
