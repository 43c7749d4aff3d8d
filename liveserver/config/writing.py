"""Formats settings as TOML; secrets are omitted, also those within URLs."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

import msgspec

from liveserver.units import Duration, Secret, Size

HIDDEN = "…"
_BARE = re.compile(r"[A-Za-z0-9_-]+")
# Greedy: the password of a malformed URL may not be percent-encoded.
_PASSWORD = re.compile(r"(://[^:/?#\s]*:)\S*@|([?&][a-z_]*password=)[^&\s]*")


def without_password(text: str) -> str:
    """Return the text without the passwords of its URLs."""
    return _PASSWORD.sub(lambda found: f"{found[1]}{HIDDEN}@" if found[1] else f"{found[2]}{HIDDEN}", text)


def toml(value: Any, *, reveal: bool = False) -> str:
    """Format a setting's value on one line. Unless revealed, a secret or a URL's password is `…`."""
    if isinstance(value, Secret):
        if reveal:
            return json.dumps(value.reveal(), ensure_ascii=False)
        return json.dumps(HIDDEN, ensure_ascii=False)
    if isinstance(value, msgspec.Struct):
        value = {name: each for name, each in msgspec.structs.asdict(value).items() if each is not None}
    if isinstance(value, Mapping):
        pairs = [f"{_name(name)} = {toml(each, reveal=reveal)}" for name, each in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(toml(each, reveal=reveal) for each in value)}]"
    if isinstance(value, Duration):
        if value and value < 1:
            return f'"{_decimal(value * 1000)}ms"'
        for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60)):
            if value and value % seconds == 0:
                return f'"{_decimal(value / seconds)}{unit}"'
        return f'"{_decimal(value)}s"'
    if isinstance(value, Size):
        for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
            if value and value % size == 0:
                return f'"{value // size}{unit}"'
        return str(int(value))
    if isinstance(value, str) and not reveal:
        value = without_password(value)
    # Text, numbers, yes and no: TOML writes them as JSON does.
    return json.dumps(value, ensure_ascii=False)


def _decimal(value: float) -> str:
    """Format a number without an exponent, which no setting is read with."""
    return f"{Decimal(f'{value:.15g}'):f}"


def _name(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)
