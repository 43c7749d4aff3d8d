"""Checks the settings for authentication, and that no node is open to the public by accident."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from liveserver.config.auth_sections import AuthSettings
from liveserver.config.sections import Settings
from liveserver.errors import ConfigError

NODES_AUDIENCE = "liveserver-nodes"
_COOKIE = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]*")
_ORIGIN = re.compile(r"\*|https?://[^/\s,]+")


def check_auth(settings: Settings) -> None:
    """Check the settings for authentication. Raises `ConfigError`."""
    auth, edge = settings.auth, settings.edge
    _check_keys(auth)
    for origin in edge.allow_origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                "edge.allow_origins", f"{origin!r} is not an origin like https://example.org, without a path"
            )
    if edge.allow_credentials and (not edge.allow_origins or "*" in edge.allow_origins):
        raise ConfigError("edge.allow_credentials", "needs edge.allow_origins by name, without a *")
    for text in edge.trusted_proxies:
        try:
            ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ConfigError(
                "edge.trusted_proxies", f"{text!r} is not an address or network like 10.0.0.0/8"
            ) from None
    if not settings.node.allow_unauthenticated:
        _check_exposure(settings)
    is_closed = auth.publishers or has_nodes_secret(auth)
    if settings.node.roles == ["dispatcher"] and is_closed and not has_nodes_secret(auth):
        raise ConfigError(
            "auth.nodes_secret_file",
            "is needed where auth.publishers are: frontends and backends ask this dispatcher too",
        )


def has_nodes_secret(auth: AuthSettings) -> bool:
    """Return whether requests between nodes are signed."""
    return auth.nodes_secret is not None or auth.nodes_secret_file is not None


def _check_keys(auth: AuthSettings) -> None:
    has_keys = any((auth.secret, auth.secret_file, auth.public_key_file, auth.jwks))
    if auth.viewers == "token" and not has_keys:
        raise ConfigError(
            "auth.viewers", "tokens need a key: give auth.secret_file, auth.public_key_file or auth.jwks"
        )
    for name in ("secret", "nodes_secret", "ops_key"):
        if getattr(auth, name) is not None and getattr(auth, f"{name}_file") is not None:
            raise ConfigError(f"auth.{name}", f"is set as well as auth.{name}_file; remove one of them")
    if auth.jwks is not None and "://" in auth.jwks:
        url = urlsplit(auth.jwks)
        is_here = url.hostname in ("localhost", "127.0.0.1", "::1")
        if not url.hostname or (url.scheme != "https" and not (url.scheme == "http" and is_here)):
            raise ConfigError("auth.jwks", "is a file, or a URL that begins with https://")
    if not _COOKIE.fullmatch(auth.cookie):
        raise ConfigError("auth.cookie", f"{auth.cookie!r} is not a cookie's name")
    if auth.audience == NODES_AUDIENCE:
        raise ConfigError("auth.audience", f"{NODES_AUDIENCE} is reserved for nodes; choose another")
    for name, publisher in auth.publishers.items():
        where = f"auth.publishers.{name}"
        if (publisher.key is None) == (publisher.key_file is None):
            raise ConfigError(where, "needs a key_file, or a key: one of them")


def _check_exposure(settings: Settings) -> None:
    """Refuse addresses that are reachable from outside without authentication. Raises `ConfigError`."""
    auth, listen, roles = settings.auth, settings.listen, settings.node.roles
    instead = (
        "; or listen on 127.0.0.1, or set node.allow_unauthenticated = true if a firewall or proxy decides"
    )
    for name, address in (("public", listen.public), ("tls", listen.tls)):
        if address is None or address.is_loopback:
            continue
        if "dispatcher" in roles and not (auth.publishers or has_nodes_secret(auth)):
            raise ConfigError(
                f"listen.{name}",
                f"{address} is reachable from outside, and publishing needs no key; set auth.publishers, "
                f"and auth.nodes_secret_file for the cluster's nodes{instead}",
            )
        if "backend" in roles and auth.viewers == "open":
            raise ConfigError(
                f"listen.{name}",
                f"{address} is reachable from outside, and likes and comments need no token; set "
                f'auth.viewers = "token"{instead}',
            )
    if not listen.ops.is_loopback and auth.ops_key is None and auth.ops_key_file is None:
        raise ConfigError(
            "listen.ops",
            f"{listen.ops} is reachable from outside, and the ops pages need no key; set "
            f"auth.ops_key_file{instead}",
        )
