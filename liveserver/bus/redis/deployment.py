"""A Redis deployment: one server, the master that Sentinel names, or a Cluster. Made from a URL, without I/O.

    redis://user:password@host:6379/0                 rediss://… with TLS; unix:///run/redis.sock
    redis+sentinel://user:password@host1,host2/name   rediss+sentinel://…; `?sentinel_password=` for theirs
    redis+cluster://user:password@host1,host2         rediss+cluster://…

TLS options are query parameters: `ssl_ca_certs`, `ssl_certfile`, `ssl_keyfile` (files). Without them the
system's authorities are trusted; the certificate and its host name are always verified, unless the URL says
otherwise.

Rules:

1. After an error no connection is reused, and the servers are discovered again: through Sentinel at each
   connection, in a Cluster at the next call.
2. In a Cluster a call is one pipeline per server concerned. A transaction is one transaction per slot; a
   pipeline without one still uses a single connection, so that no restart comes between its commands.
"""

from __future__ import annotations

import threading
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import redis
from redis.connection import SSLConnection, parse_url
from redis.exceptions import ConnectionError as BrokenLink
from redis.sentinel import MasterNotFoundError, Sentinel, SentinelConnectionPool

from liveserver.bus.redis.redis_cluster import Cluster
from liveserver.bus.redis.server import Deployment, Server, no_retry
from liveserver.config import BusSettings

HEALTH_CHECK = 10  # seconds: a connection idle for longer is checked with a PING before it is used
SENTINEL_PORT = 26379


def in_cluster(url: str) -> bool:
    """Return whether the URL is a Cluster's, where each video may be on another server."""
    return url.partition("://")[0].endswith("+cluster")


def make_deployment(settings: BusSettings) -> Deployment:
    """Return the deployment of the URL. Raises `ValueError`, whose message may quote the URL."""
    url, timeout = settings.url, float(settings.timeout)
    options: dict[str, Any] = {
        "protocol": 2,  # pub/sub messages come in plain order, and a connection needs no HELLO
        "socket_timeout": timeout,
        "health_check_interval": HEALTH_CHECK,
    }
    if not url.startswith("unix:"):
        options |= {"socket_connect_timeout": timeout, "socket_keepalive": True}
    scheme, _, rest = url.partition("://")
    base, _, kind = scheme.partition("+")
    if not kind:
        # Nothing is retried here, see connection.py.
        pool = redis.ConnectionPool.from_url(url, retry=no_retry(), **options)
        parts = urlsplit(url)
        address = f"{parts.hostname}:{parts.port or 6379}" if parts.hostname else parts.path
        return Server(pool, address, _secrets(pool.connection_kwargs, parts.password))
    if base not in ("redis", "rediss") or kind not in ("sentinel", "cluster"):
        raise ValueError(f"no such scheme: {scheme}")
    parts = urlsplit(f"{base}://{rest}")
    user, _, hosts = parts.netloc.rpartition("@")
    servers = [_host(host, SENTINEL_PORT if kind == "sentinel" else 6379) for host in hosts.split(",")]
    query = {
        name: values[0] for name, values in parse_qs(parts.query, strict_parsing=bool(parts.query)).items()
    }
    sentinel = {name: query.pop(f"sentinel_{name}", None) for name in ("username", "password")}
    name, _, database = parts.path.strip("/").partition("/")
    if (kind == "cluster" and (name or any(sentinel.values()))) or (kind == "sentinel" and not name):
        raise ValueError("a Sentinel's URL ends with the master's name, a Cluster's has none")
    if database and not database.isdecimal():
        raise ValueError("a database is a number")
    options |= parse_url(f"{base}://{user}@host/{database}?{urlencode(query)}")
    options.pop("host", None)
    is_encrypted = options.pop("connection_class", None) is SSLConnection
    address = ",".join(f"{host}:{port}" for host, port in servers)
    secrets = _secrets(options, parts.password, sentinel["password"])
    if kind == "cluster":
        return Cluster(servers, options | ({"ssl": True} if is_encrypted else {}), address, secrets)
    theirs = {key: value for key, value in options.items() if key not in ("username", "password", "db")}
    theirs |= {key: value for key, value in sentinel.items() if value}
    watchers = LockedSentinel(servers, sentinel_kwargs=theirs | {"ssl": is_encrypted, "retry": no_retry()})
    pool = SentinelConnectionPool(name, watchers, ssl=is_encrypted, retry=no_retry(), **options)
    return Server(pool, f"{name} at {address}", secrets)


class LockedSentinel(Sentinel):
    """A `Sentinel` used by one thread at a time, as discovery reorders its list of sentinels."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)  # type: ignore[no-untyped-call]  # not annotated
        self._lock = threading.Lock()

    def discover_master(self, service_name: str) -> tuple[str, int]:
        with self._lock:
            try:
                found: tuple[str, int] = super().discover_master(service_name)  # type: ignore[no-untyped-call]
            except MasterNotFoundError:
                # Not chained: the original describes each Sentinel's connections in full.
                raise BrokenLink("no Sentinel that knows this master answered") from None
            return found


def _host(text: str, port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("a host is missing")
    return parts.hostname, parts.port or port


def _secrets(options: dict[str, Any], *others: str | None) -> frozenset[str]:
    return frozenset({options.get("password") or "", *(other or "" for other in others)} - {""})
