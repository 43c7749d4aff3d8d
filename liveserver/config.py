"""The configuration: frozen settings with units, validated once, before anything is started.

Three sources, later ones winning: a TOML file, environment variables
(`LIVESERVER_FRONTEND__LEASE=10s`) and `--set frontend.lease=10s`. Durations are written with their
unit (`"20ms"`, `"15s"`, `"5m"`; a bare number means seconds), sizes likewise (`"64KiB"`; a bare
number means bytes). Every limit of the server stands here with its number.
"""

from __future__ import annotations

import difflib
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from liveserver.errors import ConfigError
from liveserver.quantities import Address as Address
from liveserver.quantities import Duration as Duration
from liveserver.quantities import Size as Size
from liveserver.quantities import quantity

ENVIRONMENT_PREFIX = "LIVESERVER_"

T = TypeVar("T")

Role = Literal["frontend", "dispatcher", "backend"]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Datacenter = Annotated[str, Meta(pattern=r"^[a-z0-9]{1,16}\Z")]
Count = Annotated[int, Meta(ge=1)]

_UNKNOWN = re.compile("Object contains unknown field `(.+)`")


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of all sections: immutable, and strict about names."""


class NodeSettings(Section, frozen=True):
    """Who this process is."""

    name: Name | None = None  # default: datacenter, roles and a random ending
    datacenter: Datacenter = "dc1"
    roles: list[Role] = msgspec.field(default_factory=lambda: ["frontend", "dispatcher", "backend"])
    workers: Count = 1  # processes sharing listen.public, named NAME-w1, NAME-w2, …
    open_to_all: bool = False  # listen beyond loopback although anybody may publish
    drain: Duration = Duration(10.0)  # how long viewers are let go for after SIGTERM
    switch_interval: Duration = Duration(0.0005)  # how long Redis' threads may wait for the interpreter


class ListenSettings(Section, frozen=True):
    """Where this process listens."""

    public: Address = Address("127.0.0.1:8000")
    ops: Address = Address("127.0.0.1:9000")  # worker 1 has it; each further one the next port
    backlog: Count = 4096  # the kernel caps it at net.core.somaxconn


class EdgeSettings(Section, frozen=True):
    """The HTTP/1.1 server: its limits, and which pages may use it."""

    allow_origins: list[str] = msgspec.field(default_factory=list)  # "*" for all; none: its own pages only
    max_connections: Count = 19_000
    accept_rate: Count = 5_000  # new connections a second; the kernel holds the others meanwhile
    max_head: Size = Size(16 * 1024)  # request line and headers
    max_body: Size = Size(4 * 1024**2)
    max_bodies: Size = Size(256 * 1024**2)  # all that are being received, together
    head_timeout: Duration = Duration(10.0)  # from the first byte to the end of the headers
    body_timeout: Duration = Duration(20.0)
    keep_alive: Duration = Duration(75.0)  # between requests
    write_timeout: Duration = Duration(20.0)  # a response that makes no progress


class BusSettings(Section, frozen=True):
    """What stands between the nodes."""

    kind: Literal["memory", "redis"] = "memory"
    url: str = "redis://127.0.0.1:6401/0"
    timeout: Duration = Duration(2.0)  # to connect, and for each answer
    inbox_batches: Count = 10_000  # waiting to be taken in; beyond it they are mended from the log


class LogSettings(Section, frozen=True):
    """How much of each video is remembered, in the bus and on the frontends watching it."""

    events: Count = 10_000
    age: Duration = Duration(600.0)
    idle: Duration = Duration(86_400.0)  # a quiet video's keys expire after this
    ids: Duration = Duration(300.0)  # how long an event's id is known


class DispatcherSettings(Section, frozen=True):
    """Publishing."""

    max_events: Count = 1_000  # in one request
    max_data: Size = Size(16 * 1024)  # one event's data
    max_depth: Count = 64  # arrays and objects inside each other
    commit_events: Count = 4_000  # in one group commit
    queue_events: Count = 50_000  # accepted for the next commits; beyond it: 503
    commit_timeout: Duration = Duration(10.0)  # retries of a commit included
    max_lease: Duration = Duration(300.0)


class FrontendSettings(Section, frozen=True):
    """Watching."""

    dispatchers: list[str] = msgspec.field(default_factory=list)  # empty: the one in this process
    dispatcher_timeout: Duration = Duration(3.0)
    lease: Duration = Duration(30.0)  # renewed three times within it
    linger: Duration = Duration(10.0)  # a video stays subscribed after its last viewer
    subscribe_timeout: Duration = Duration(10.0)  # a viewer's wait for a new video's dispatcher
    segment: Count = 500  # viewers written to between two checkpoints
    flush_interval: Duration = Duration(0.02)
    heartbeat: Duration = Duration(15.0)
    slow_timeout: Duration = Duration(30.0)  # a viewer that takes nothing for this long is let go
    slow_policy: Literal["skip", "close"] = "skip"  # one out of the log's reach: told `gap`, or let go
    max_write: Size = Size(64 * 1024)  # one write to a viewer
    send_buffer: Size = Size(64 * 1024)  # a viewer's socket in the kernel
    retry_min: Duration = Duration(1.0)
    retry_max: Duration = Duration(4.0)
    max_wait: Duration = Duration(60.0)  # long-poll
    default_wait: Duration = Duration(25.0)
    poll_events: Count = 500
    replay_events: Count = 200


class BackendSettings(Section, frozen=True):
    """Likes and comments: stored, then published."""

    database: Annotated[str, Meta(min_length=1)] = "liveserver.db"  # or postgresql://user:secret@host/name
    directory: Annotated[str, Meta(min_length=1)] = "data"  # where an SQLite file is, from where one stands
    dispatchers: list[str] = msgspec.field(default_factory=list)  # empty: the one in this process
    dispatcher_timeout: Duration = Duration(3.0)
    max_request: Size = Size(16 * 1024)  # one request's body
    max_text: Count = 500  # characters of a comment
    max_reactions: Count = 64  # different ones of a video
    summary_comments: Count = 50
    idempotency_window: Duration = Duration(3600.0)  # how long an Idempotency-Key is known
    commit_wishes: Count = 1_000  # in one transaction
    queue: Count = 10_000  # waiting for the next transactions; beyond it: 503
    batch_events: Count = 500  # handed to a dispatcher at once
    outbox_rows: Count = 10_000  # kept in memory while no dispatcher answers; the others in the database


class CanarySettings(Section, frozen=True):
    """How a node proves to itself that it delivers."""

    interval: Duration = Duration(5.0)
    timeout: Duration = Duration(3.0)  # for the whole way; beyond it the node is not ready


class Settings(Section, frozen=True):
    """Everything a process is told. Build it with `load`; it is checked then, and immutable."""

    node: NodeSettings = NodeSettings()
    listen: ListenSettings = ListenSettings()
    edge: EdgeSettings = EdgeSettings()
    bus: BusSettings = BusSettings()
    log: LogSettings = LogSettings()
    dispatcher: DispatcherSettings = DispatcherSettings()
    frontend: FrontendSettings = FrontendSettings()
    backend: BackendSettings = BackendSettings()
    canary: CanarySettings = CanarySettings()


def load(
    path: Path | None = None,
    overrides: Iterable[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """The settings from a file, the environment and `name=value` overrides, checked.

    Raises `ConfigError`, which says what is wrong, where, and what to write instead.
    """
    tree = read_toml(path) if path else {}
    for variable, value in sorted(environment.items()):
        if variable.startswith(ENVIRONMENT_PREFIX) and "__" in variable:
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", ".")
            _put(tree, name, value, f"environment variable {variable}")
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(f"--set {override}", "write it as section.name=value, log.age=5m for example")
        _put(tree, name.strip(), value.strip(), f"--set {name}")
    settings = convert(tree, Settings)
    check(settings)
    return settings


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a tree. Raises `ConfigError` when it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(str(path), f"is not TOML: {error}") from error


def convert(tree: Any, kind: type[T]) -> T:
    """A tree of plain values as typed settings. Raises `ConfigError` with the setting's name."""
    try:
        return msgspec.convert(tree, kind, dec_hook=quantity)
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        where = where.strip("`.")
        if unknown := _UNKNOWN.fullmatch(message):
            siblings = getattr(getattr(Settings(), where, None) if where else kind, "__struct_fields__", ())
            likely = difflib.get_close_matches(unknown[1], siblings, n=1)
            hint = f"there is no such name{f'; is it {likely[0]}?' if likely else ''}"
            raise ConfigError(f"{where}.{unknown[1]}".strip("."), hint) from error
        raise ConfigError(where or "configuration", message) from error


def check(settings: Settings) -> None:
    """What no single value shows. Raises `ConfigError`."""
    node, listen, frontend = settings.node, settings.listen, settings.frontend
    if not node.roles:
        raise ConfigError("node.roles", 'is empty; name at least one of "frontend", "dispatcher", "backend"')
    if node.workers > 1 and settings.bus.kind == "memory":
        raise ConfigError(
            "node.workers", 'more than one needs bus.kind = "redis": the other is one process\'s own'
        )
    if listen.ops.port + node.workers - 1 > 65535:
        raise ConfigError("node.workers", f"is more than there are ports from listen.ops, {listen.ops}, on")
    if "frontend" in node.roles and "dispatcher" not in node.roles and not frontend.dispatchers:
        raise ConfigError("frontend.dispatchers", "is empty, and this node is no dispatcher; give their URLs")
    if "frontend" in node.roles and settings.bus.kind == "memory" and frontend.dispatchers:
        raise ConfigError("frontend.dispatchers", 'with other nodes, bus.kind must be "redis"')
    if "backend" in node.roles and "dispatcher" not in node.roles and not settings.backend.dispatchers:
        raise ConfigError("backend.dispatchers", "is empty, and this node is no dispatcher; give their URLs")
    for section, urls in (("frontend", frontend.dispatchers), ("backend", settings.backend.dispatchers)):
        for url in urls:
            if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
                raise ConfigError(
                    f"{section}.dispatchers", f"{url!r} is not a URL like http://127.0.0.1:8111"
                )
    for name in ("public", "ops"):
        address: Address = getattr(listen, name)
        if not node.open_to_all and not address.is_loopback:
            raise ConfigError(
                f"listen.{name}",
                f"{address} is reachable from outside while anybody may publish and see the ops pages; "
                "listen on 127.0.0.1, or set node.open_to_all = true if a firewall or proxy decides who may",
            )
    if settings.backend.batch_events > settings.dispatcher.max_events:
        raise ConfigError("backend.batch_events", "is over dispatcher.max_events")
    if frontend.retry_min > frontend.retry_max:
        raise ConfigError("frontend.retry_min", "is over frontend.retry_max")
    if frontend.default_wait > frontend.max_wait:
        raise ConfigError("frontend.default_wait", "is over frontend.max_wait")
    if frontend.lease > settings.dispatcher.max_lease:
        raise ConfigError("frontend.lease", "is over dispatcher.max_lease")


def _put(tree: dict[str, Any], name: str, value: str, where: str) -> None:
    *sections, key = name.split(".")
    if len(sections) != 1 or not key:
        raise ConfigError(where, "write it as section.name=value, log.age=5m for example")
    section = tree.setdefault(sections[0], {})
    if not isinstance(section, dict):
        raise ConfigError(sections[0], "is a section, not a value")
    section[key] = _guess(value)


def _guess(text: str) -> Any:
    """A value as TOML would read it; what TOML does not understand is a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
