"""Convert Quart's auth-related headers to the edge's lower-case byte mapping."""

from __future__ import annotations

from collections.abc import Mapping

from werkzeug.datastructures import Headers

NAMES = ("authorization", "cookie", "host", "origin", "x-forwarded-for")


def asked_by(headers: Headers) -> Mapping[bytes, bytes]:
    """The headers that say it, by their lower-case names."""
    return {name.encode(): headers[name].encode("latin-1", "replace") for name in NAMES if name in headers}
