"""URLs on the command line, checked before they are used."""

from __future__ import annotations

from urllib.parse import urlsplit

import typer


def is_url(text: str) -> bool:
    """Return whether this is an http(s) URL with a host, and perhaps a port."""
    try:
        parts = urlsplit(text)
        is_port = parts.port != 0
    except ValueError:  # a malformed IPv6 host, or no port
        return False
    is_plain = text.isprintable() and " " not in text
    return is_plain and is_port and parts.scheme in ("http", "https") and bool(parts.hostname)


def server_url(value: str) -> str:
    """Return a server's URL. Raises `BadParameter`."""
    return _checked(value, "like http://127.0.0.1:8000")


def other_urls(values: list[str] | None) -> list[str]:
    """Return servers' URLs. Raises `BadParameter`."""
    return [server_url(each) for each in values or ()]


def ops_urls(values: list[str] | None) -> list[str]:
    """Return URLs of ops addresses. Raises `BadParameter`."""
    return [_checked(each, "a URL like http://127.0.0.1:9101") for each in values or ()]


def _checked(url: str, like: str) -> str:
    if not is_url(url):
        shown = "" if "@" in url else f"{url!r} "
        raise typer.BadParameter(f"{shown}is not {like}")
    return url
