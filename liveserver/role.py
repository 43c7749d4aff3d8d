"""A role, as its process uses it.

Each role's `role.py` opens it and returns a `Role`, which the node puts together. So the node knows which
roles there are, and nothing of their insides.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import trio
from msgspec import Raw

from liveserver.auth.authorizer import Authorizer
from liveserver.config import Settings
from liveserver.edge.router import Router

if TYPE_CHECKING:
    from quart import Blueprint

    from liveserver.bus.memory.bus import MemoryBus
    from liveserver.bus.redis.bus import RedisBus
    from liveserver.tracing.tracer import Tracer

Check = Callable[[], Awaitable[str | None]]  # raises a `LiveserverError` if it fails; returns a warning
PrepareReload = Callable[[Settings], Callable[[], None]]


class HotRoutes(Protocol):
    """Routes that the edge serves by itself."""

    def add_to(self, router: Router) -> None:
        """Register the handlers."""


class Role(NamedTuple):
    """A role that is open: its routes, at the edge and in Quart, its statistics, its readiness checks.

    Names of statistics and checks are those of `/v1/status` and `/readyz`. The blueprints are made when a
    request first needs one. `reloads` prepare other settings for a part that runs, or raise `ConfigError`;
    what they return puts them in force, and cannot fail.
    `acts` returns the newest of moderators' acts, where they are kept.
    """

    routes: Sequence[HotRoutes] = ()
    blueprints: Sequence[Callable[[], Blueprint]] = ()
    statistics: Mapping[str, Callable[[], Any]] = {}
    checks: Mapping[str, Check] = {}
    reloads: Sequence[PrepareReload] = ()
    acts: Callable[[int], Awaitable[list[Raw]]] | None = None


class Process(NamedTuple):
    """What a process has for its roles. Tasks in `nursery` run until all roles are closed."""

    name: str
    settings: Settings
    authorizer: Authorizer
    nursery: trio.Nursery
    bus: MemoryBus | RedisBus
    tracer: Tracer | None = None
