"""Opens everything that `run` opens: files, keys, addresses, the database, Redis, the dispatchers.

It leaves nothing behind except keys in Redis that expire.
"""

from __future__ import annotations

import errno
import os
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import httpx
import trio
from sqlalchemy.exc import SQLAlchemyError

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.jwks import Jwks
from liveserver.backend.engine import open_engine, reason
from liveserver.backend.migrations import read_version
from liveserver.backend.review import read_hook_secret
from liveserver.bus.canary import PREFIX
from liveserver.bus.interface import AppendRequest
from liveserver.bus.redis.bus import RedisBus
from liveserver.config import Address, BusSettings, Settings
from liveserver.config.certificates import client_context
from liveserver.edge.listener import listen
from liveserver.errors import BusError, ConfigError, LiveserverError, connection_fault
from liveserver.hooks.sinks import open_sink
from liveserver.recorder.opening import open_store
from liveserver.tracing.exporting import check_libraries
from liveserver.viewer_count import AudienceReport

TIMEOUT = 5.0  # seconds for each service
LEASE = 1.0  # seconds


class Finding(NamedTuple):
    """The result of one check; `trouble` says why it failed, empty if it succeeded."""

    setting: str
    trouble: str = ""


async def preflight(settings: Settings, *, offline: bool = False) -> list[Finding]:
    """Open everything that a node with these settings opens; with `offline`, only files and addresses.

    Raises `ConfigError` if a file or an address cannot be used.
    """
    Authorizer(settings)  # reads secrets and keys
    roles = settings.node.roles
    findings = [_listen(f"listen.{name}", address) for name, address in _addresses(settings)]
    if "backend" in roles and "://" not in settings.backend.database:
        _check_directory(settings)
    if "backend" in roles and settings.review.url:
        read_hook_secret(settings.review)
    if "recorder" in roles:
        open_store(settings.recorder)  # reads the secret key
        if not settings.recorder.s3_bucket:
            _check_writable("recorder.directory", Path(settings.recorder.directory))
    services: dict[str, Callable[[], Awaitable[None]]] = {}
    if settings.auth.jwks is not None:
        services["auth.jwks"] = lambda: _check_jwks(settings)
        if "://" not in settings.auth.jwks:
            findings.append(await _attempt("auth.jwks", services.pop("auth.jwks")))
    if settings.tracing.endpoint:
        check_libraries()
        services["tracing.endpoint"] = partial(_check_collector, settings.tracing.endpoint)
    endpoints = list(settings.hooks.endpoints) if "hooks" in roles else []
    for name in endpoints:
        async with open_sink(name, settings):  # reads its secrets
            pass
    if offline:
        return findings
    if settings.bus.kind == "redis" and roles != ["backend"]:
        services["bus.url"] = lambda: _check_redis(settings)
    for name, peer in settings.peers.items():
        services[f"peers.{name}.url"] = lambda url=peer.url, name=name: _check_peer(settings, name, url)  # type: ignore[misc]
    if "backend" in roles and "://" in settings.backend.database:
        services["backend.database"] = lambda: _check_database(settings)
    if "recorder" in roles and settings.recorder.s3_bucket:
        services["recorder.s3_bucket"] = lambda: _check_bucket(settings)
    for role, urls in (
        ("frontend", settings.frontend.dispatchers),
        ("backend", settings.backend.dispatchers),
    ):
        for url in urls if role in roles else ():
            services[f"{role}.dispatchers, {url}"] = lambda url=url: _check_dispatcher(settings, url)  # type: ignore[misc]
    for name in endpoints:
        services[f"hooks.endpoints.{name}.url"] = partial(_check_endpoint, settings, name)
    for name, check in services.items():
        findings.append(await _attempt(name, check))
    return findings


async def _attempt(name: str, check: Callable[[], Awaitable[None]]) -> Finding:
    try:
        with trio.fail_after(TIMEOUT):
            await check()
    except trio.TooSlowError:
        return Finding(name, f"no answer within {TIMEOUT:g} s")
    except ConfigError:
        raise
    except LiveserverError as error:
        return Finding(name, str(error))
    return Finding(name)


def _addresses(settings: Settings) -> list[tuple[str, Address]]:
    given = settings.listen
    addresses = [("public", given.public), ("ops", given.ops)]
    return [*addresses, ("tls", given.tls)] if given.tls is not None else addresses


def _listen(setting: str, address: Address) -> Finding:
    """Check an address. Raises `ConfigError`, unless it is in use: the server may be running."""
    try:
        listen(address, 1).close()
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            return Finding(setting, f"{address} is in use, perhaps by this server")
        raise ConfigError(setting, f"cannot listen at {address}: {error.strerror or error}") from error
    return Finding(setting)


def _check_directory(settings: Settings) -> None:
    if settings.backend.database == ":memory:":
        return
    file = Path(settings.backend.directory) / settings.backend.database
    _check_writable("backend.directory", file)
    if file.exists():
        try:
            _read_schema_version(f"sqlite:///{file}")
        except SQLAlchemyError as error:
            raise ConfigError("backend.database", f"{file} cannot be opened ({reason(error)})") from None


def _read_schema_version(url: str) -> None:
    """Connect to a database. Raises `ConfigError` if it is of a newer program, `SQLAlchemyError`."""
    engine = open_engine(url, writes=False)
    try:
        with engine.connect() as connection:
            read_version(connection)
    finally:
        engine.dispose()


def _check_writable(setting: str, file: Path) -> None:
    """Check that a file or directory can be written, or created. Raises `ConfigError`."""
    there = next(each for each in (file, *file.absolute().parents) if each.exists())
    if not os.access(there, os.W_OK):
        raise ConfigError(setting, f"{there} cannot be written to")
    if there != file and not there.is_dir():
        raise ConfigError(setting, f"{there} is not a directory")


async def _check_bucket(settings: Settings) -> None:
    store = open_store(settings.recorder, retries=False)
    try:
        await trio.to_thread.run_sync(store.check, abandon_on_cancel=True)
    except OSError as error:
        raise LiveserverError(str(error)) from None


async def _check_jwks(settings: Settings) -> None:
    keys = Jwks(settings.auth.jwks or "", settings.auth)
    await keys.refresh_on_miss()
    if keys.is_failing:
        raise LiveserverError("the key set cannot be fetched; the log line above says why")


async def _check_redis(settings: Settings) -> None:
    """Call everything on the bus that a node calls, so that every needed command and its permission is tried.

    It uses a video of a canary's name, which no dispatcher sends to other datacenters.
    """
    node = f"check-{secrets.token_hex(4)}"
    video = f"{PREFIX}{node}"
    line = b'canary {"id":"check","key":"check"}'
    async with RedisBus.open(settings.node.datacenter, settings.bus, settings.history) as bus:
        await bus.ping()
        if missing := await bus.missing_commands():
            raise LiveserverError(
                f"Redis, or its user, lacks commands: {', '.join(missing)}; see docs/datacenters.md#redis"
            )
        async with bus.inbox(node):
            leases = await bus.subscribe(node, {video: 0}, LEASE)
            await bus.append([AppendRequest(video, secrets.token_hex(8), [line], [node], is_keyed=True)])
            await bus.read(video, leases[video].head.offset, 1)
            await bus.merge_states({video: await bus.state(video)})
            await bus.acquire(video, node, node, LEASE)
            await bus.answer(video, node, node, b"check", LEASE)
            await bus.answers(video, node)
            await bus.count(video)
            await bus.add_audiences([AudienceReport(video, [node], 1)], LEASE)
            await bus.audience(video)
            await bus.join_group(node, node, LEASE)
            await bus.leave_group(node, node)
            await bus.unsubscribe(node, [video])


async def _check_collector(url: str) -> None:
    """Connect; a request would be a span."""
    collector = httpx.URL(url)
    port = collector.port or (443 if collector.scheme == "https" else 80)
    try:
        await (await trio.open_tcp_stream(collector.host, port)).aclose()
    except OSError as error:
        raise LiveserverError(f"cannot be connected to: {error.strerror or error}") from None


async def _check_endpoint(settings: Settings, name: str) -> None:
    async with open_sink(name, settings) as sink:
        await sink.check()


async def _check_peer(settings: Settings, name: str, url: str) -> None:
    relay, sharded = settings.relay, settings.bus.sharded
    peer = BusSettings(kind="redis", url=url, timeout=relay.timeout, sharded=sharded)
    async with RedisBus.open(name, peer, settings.history, named=f"peers.{name}.url") as bus, bus.feed():
        active = await bus.active_since(0, 1)
        await bus.read_several(dict.fromkeys(active.videos[:1], 0), 1)


async def _check_database(settings: Settings) -> None:
    try:
        await trio.to_thread.run_sync(_read_schema_version, settings.backend.database, abandon_on_cancel=True)
    except ValueError:
        # Not chained: the original may quote a part of the password.
        raise LiveserverError("is not a URL like postgresql://user:password@host:5432/name") from None
    except SQLAlchemyError as error:
        raise LiveserverError(f"cannot be opened ({reason(error)})") from None
    except ImportError as error:
        raise LiveserverError(f"{error}; for PostgreSQL, install liveserver[postgres]") from None


async def _check_dispatcher(settings: Settings, url: str) -> None:
    try:
        async with httpx.AsyncClient(trust_env=False, verify=client_context(settings.tls.ca_file)) as client:
            await client.get(f"{url.removeprefix('dns+').rstrip('/')}/v1/events")  # 405: that one answers
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise BusError(connection_fault(error)) from None
