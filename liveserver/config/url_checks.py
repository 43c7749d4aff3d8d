"""Checks the form of the URLs among the settings. Their passwords are not repeated in errors."""

from __future__ import annotations

from collections.abc import Collection
from urllib.parse import urlsplit

from liveserver.config.sections import Settings
from liveserver.errors import ConfigError

REDIS = (
    "redis", "rediss", "unix", "redis+sentinel", "rediss+sentinel", "redis+cluster", "rediss+cluster"
)  # fmt: skip
DATABASES = ("postgresql", "postgresql+psycopg", "sqlite")
HTTP = ("http", "https")
DISPATCHERS = (*HTTP, "dns+http", "dns+https")


def check_urls(settings: Settings) -> None:
    """Check all URLs. Raises `ConfigError`."""
    if settings.bus.kind == "redis":
        check_url("bus.url", settings.bus.url, REDIS, "redis://127.0.0.1:6379/0")
    for name, peer in settings.peers.items():
        check_url(f"peers.{name}.url", peer.url, REDIS, "redis://10.1.0.2:6379/0")
    for section, urls in (
        ("frontend", settings.frontend.dispatchers),
        ("backend", settings.backend.dispatchers),
    ):
        for url in urls:
            check_url(f"{section}.dispatchers", url, DISPATCHERS, "http://127.0.0.1:8111")
    if settings.review.url:
        check_url("review.url", settings.review.url, HTTP, "https://example.org/review")
    if settings.auth.jwks and "://" in settings.auth.jwks:
        check_url("auth.jwks", settings.auth.jwks, HTTP, "https://example.org/.well-known/jwks.json")
    if "://" in settings.backend.database:
        example = "postgresql://user:password@host:5432/name"
        check_url("backend.database", settings.backend.database, DATABASES, example)


def check_url(setting: str, url: str, schemes: Collection[str], example: str) -> None:
    """Check one URL, of one of `schemes`, with a host and perhaps a port. Raises `ConfigError`."""
    try:
        scheme, separator, _ = url.partition("://")
        parts = urlsplit(url)
        has_hosts = parts.scheme in ("unix", "sqlite") or all(
            _has_host(host) for host in parts.netloc.rpartition("@")[2].split(",")
        )
        is_good = bool(separator) and scheme in schemes and (has_hosts or "host=" in parts.query)
    except ValueError:  # a malformed IPv6 host
        is_good = False
    if not is_good:
        permitted = ", ".join(f"{each}://" for each in schemes)
        shown = "" if "@" in url or "password" in url else f"{url!r} "
        raise ConfigError(setting, f"{shown}is not a URL like {example} (permitted: {permitted})")


def _has_host(text: str) -> bool:
    """Return whether `host` or `host:port` has a host, and a port that is one. Raises `ValueError`."""
    parts = urlsplit(f"//{text}")
    return bool(parts.hostname) and parts.port != 0
