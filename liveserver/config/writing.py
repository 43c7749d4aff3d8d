"""Settings as TOML that is read back to the same; secrets are left out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import msgspec

from liveserver.quantities import Duration, Secret, Size

HIDDEN = "…"
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml(value: Any) -> str:
    """A setting's value on one line. A secret is `"…"`, which no secret can be."""
    if isinstance(value, Secret):
        return json.dumps(HIDDEN, ensure_ascii=False)
    if isinstance(value, msgspec.Struct):
        value = {name: each for name, each in msgspec.structs.asdict(value).items() if each is not None}
    if isinstance(value, Mapping):
        pairs = [f"{_name(name)} = {toml(each)}" for name, each in value.items()]
        return f"{{ {', '.join(pairs)} }}" if pairs else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, Duration):
        if value and value < 1:
            return f'"{value * 1000:g}ms"'
        for unit, seconds in (("d", 86400), ("h", 3600), ("m", 60)):
            if value and value % seconds == 0:
                return f'"{value / seconds:g}{unit}"'
        return f'"{value:g}s"'
    if isinstance(value, Size):
        for unit, size in (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
            if value and value % size == 0:
                return f'"{value // size}{unit}"'
        return str(int(value))
    # Text, numbers, yes and no: TOML writes them as JSON does.
    return json.dumps(value, ensure_ascii=False)


def _name(name: str) -> str:
    return name if _BARE.fullmatch(name) else json.dumps(name)
