"""Converts Quart's auth-related headers to the edge's lower-case byte mapping."""

from __future__ import annotations

from collections.abc import Mapping

from werkzeug.datastructures import Headers

NAMES = ("authorization", "cookie", "host", "origin", "x-forwarded-for")


def auth_headers(headers: Headers) -> Mapping[bytes, bytes]:
    """Return the headers of a request that concern authentication, by lower-case name."""
    return {name.encode(): headers[name].encode("latin-1", "replace") for name in NAMES if name in headers}
