"""Content negotiation (RFC 9110 §12.5): the media type that a client prefers, and whether it accepts gzip."""

from __future__ import annotations

import re
from collections.abc import Sequence

_QUALITY = re.compile(rb"(?:0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)")


def preferred(accept: bytes, offered: Sequence[bytes]) -> bytes:
    """Return the first offered type with the highest quality; the first if none is acceptable.

    `accept` is the header's value, empty if there is none; `offered` are types in lower case, without
    parameters.
    """
    ranges = [_range(text) for text in accept.lower().split(b",") if text.strip()]
    if not ranges:
        return offered[0]
    return max(offered, key=lambda kind: _quality(ranges, kind))


def accepts_gzip(accept_encoding: bytes) -> bool:
    """Return whether a client accepts gzip, and does not prefer the plain form.

    `accept_encoding` is the header's value, empty if there is none.
    """
    lower = accept_encoding.lower()
    if b"gzip" not in lower and b"*" not in lower:
        return False
    codings = dict(_range(text) for text in lower.split(b",") if text.strip())
    gzip = codings.get(b"gzip", codings.get(b"x-gzip", codings.get(b"*", 0.0)))
    return gzip > 0 and gzip >= codings.get(b"identity", 0.0)


def _range(text: bytes) -> tuple[bytes, float]:
    """Parse a media range and its quality. A malformed quality is 0: RFC 9110 has no rule for it."""
    kind, *parameters = [part.strip() for part in text.split(b";")]
    quality = 1.0
    for parameter in parameters:
        name, _, value = parameter.partition(b"=")
        if name.strip() == b"q":
            quality = float(value) if _QUALITY.fullmatch(value := value.strip()) else 0.0
    return kind, quality


def _quality(ranges: Sequence[tuple[bytes, float]], kind: bytes) -> float:
    """Return the quality of the most specific range that matches the type; 0.0 if none does."""
    for covering in (kind, kind.partition(b"/")[0] + b"/*", b"*/*"):
        qualities = [quality for text, quality in ranges if text == covering]
        if qualities:
            return max(qualities)
    return 0.0
