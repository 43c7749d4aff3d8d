"""Reloads the settings of a running node: all at once or not at all, without losing connections.

Settings that are read at each use can change: keys, secrets, publishers, peers, limits, timeouts, the log
level. Those that only have an effect at the start cannot; they are reported. What would be in force
afterwards is checked as a whole: an address that stays may not become open by a setting that changes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import structlog

from liveserver.config import Settings
from liveserver.config.checks import check
from liveserver.config.writing import without_password
from liveserver.edge.server import EdgeServer
from liveserver.errors import ConfigError
from liveserver.node import logs
from liveserver.node.assembly import Node
from liveserver.node.tuning import room_for_connections

# The settings that a running node can change; `section.*`: all of a section except those in FIXED.
RELOADABLE = frozenset(
    {
        "auth.*",
        "edge.accept_rate",
        "edge.access_log",
        "edge.body_timeout",
        "edge.header_timeout",
        "edge.keep_alive",
        "edge.max_body_memory",
        "edge.max_connections",
        "edge.max_header_size",
        "edge.write_timeout",
        "hooks.*",
        "limits.*",
        "node.lame_duck",
        "node.log_level",
        "review.secret",
        "review.secret_file",
        "review.unanswered",
        "tracing.max_rate",
        "tracing.sample",
    }
)
FIXED = frozenset(
    {"auth.jwks", "auth.jwks_refresh", "auth.jwks_cooldown", "auth.jwks_timeout"}
    | {"auth.revocation_ttl", "auth.revocation_interval"}
)

log = structlog.get_logger(__name__)


class ReloadResult(msgspec.Struct, frozen=True):
    """The settings that were changed, and those that need a restart of the node."""

    changed: list[str]
    needs_restart: list[str]


class Reloader:
    """Reloads one node. `load` reads the configuration again, and may raise `ConfigError`."""

    def __init__(self, node: Node, edge: EdgeServer, load: Callable[[], Settings]) -> None:
        self._node = node
        self._edge = edge
        self._load = load

    def reload(self) -> ReloadResult:
        """Reload the configuration. Raises `ConfigError`, and then changes nothing."""
        try:
            wanted = self._load()
            current = self._node.settings
            changed, needs_restart = _compare(current, wanted)
            settings = _with_changes(current, wanted, changed)
            check(settings)
            changes = [prepare(settings) for prepare in self._node.reloads]
            self._node.authorizer.reload(settings)  # the last step that may fail
        except ConfigError as error:
            log.warning("reload_failed", reason=without_password(str(error)))
            raise
        for change in changes:
            change()
        room = room_for_connections(settings)
        self._edge.settings = msgspec.structs.replace(settings.edge, max_connections=room)
        self._node.access_log.settings = settings.edge
        logs.set_level(settings.node.log_level)
        self._node.settings = settings
        result = ReloadResult(changed, needs_restart)
        log.warning("reloaded", **msgspec.to_builtins(result))
        return result


def _compare(current: Settings, wanted: Settings) -> tuple[list[str], list[str]]:
    """Return the names of settings that differ: those that can change, and those that cannot."""
    changed: list[str] = []
    fixed: list[str] = []
    for section in current.__struct_fields__:
        before, after = getattr(current, section), getattr(wanted, section)
        if before == after:
            continue
        if isinstance(before, dict):  # peers; a node that relays has a dispatcher, and Redis
            can = "dispatcher" in current.node.roles and current.bus.kind == "redis"
            names = {*before, *after}
            (changed if can else fixed).extend(
                f"{section}.{name}" for name in sorted(names) if before.get(name) != after.get(name)
            )
            continue
        for name in before.__struct_fields__:
            full = f"{section}.{name}"
            if getattr(before, name) != getattr(after, name) and not _is_made_up(full, after):
                can = full not in FIXED and (full in RELOADABLE or f"{section}.*" in RELOADABLE)
                (changed if can else fixed).append(full)
    return changed, fixed


def _is_made_up(full: str, section: Any) -> bool:
    return full == "node.name" and section.name is None


def _with_changes(current: Settings, wanted: Settings, changed: list[str]) -> Settings:
    sections: dict[str, Any] = {}
    for full in changed:
        section, _, name = full.partition(".")
        if section == "peers":
            sections[section] = wanted.peers
            continue
        values = sections.get(section, getattr(current, section))
        sections[section] = msgspec.structs.replace(values, **{name: getattr(getattr(wanted, section), name)})
    return msgspec.structs.replace(current, **sections)
