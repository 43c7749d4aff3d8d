"""The parts of a process: the bus, the roles and their routes, opened for the time of a block.

Redis, databases and HTTP clients are imported where they are needed: each takes a tenth of a second, and
megabytes.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from liveserver import __version__
from liveserver.auth.authorizer import Authorizer
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import Settings
from liveserver.dispatcher.local import LocalDispatcher
from liveserver.dispatcher.role import open_dispatcher_role
from liveserver.edge.access_log import AccessLog
from liveserver.edge.cors import Origins, preflight_headers
from liveserver.edge.router import Router
from liveserver.errors import LiveserverError
from liveserver.frontend.frontend import Frontend
from liveserver.frontend.role import open_frontend_role
from liveserver.node.site import open_site
from liveserver.recorder.role import open_history, open_recorder_role, open_recordings
from liveserver.role import Check, PrepareReload, Process, Role

if TYPE_CHECKING:
    from quart import Blueprint
    from quart_trio import QuartTrio

    from liveserver.backend.outbox import PublishTarget
    from liveserver.bus.redis.bus import RedisBus
    from liveserver.tracing.tracer import Tracer


class NotReady(LiveserverError):
    """A readiness check fails; the message says why."""


def named(settings: Settings) -> Settings:
    """Return the settings with a name for the node, generated if there is none."""
    node = settings.node
    name = node.name or f"{node.datacenter}-{'-'.join(node.roles)}-{secrets.token_hex(3)}"
    return msgspec.structs.replace(settings, node=msgspec.structs.replace(node, name=name))


class Node:
    """The parts of one process, as its roles need them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.name = named(settings).node.name or ""
        self.router = Router()
        self.router.is_complete = False  # before `public_app`
        self.access_log = AccessLog(settings.edge)
        self.is_draining = False
        self.parts: dict[str, Any] = {}
        self.checks: dict[str, Check] = {"accepting": self._check_accepting}
        self.frontend: Frontend | None = None
        self.bus: MemoryBus | RedisBus | None = None
        self.acts: Callable[[int], Awaitable[list[msgspec.Raw]]] | None = None
        self.authorizer = Authorizer(settings, self.name)
        self.blueprints: list[Callable[[], Blueprint]] = []
        self.reloads: list[PrepareReload] = []
        self.is_known_path: Callable[[str], bool] = lambda path: True

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Node]:
        """Open the bus and the roles for the duration of the block."""
        settings, roles = self.settings, self.settings.node.roles
        async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
            # Called last: the roles may still publish while they are closed.
            stack.callback(nursery.cancel_scope.cancel)
            nursery.start_soon(self.authorizer.run)
            self.parts["auth"] = self.authorizer.statistics
            local: LocalDispatcher | None = None
            target: PublishTarget | None = None  # a dispatcher here, or over HTTP
            self.bus = bus = await self._open_bus(stack)
            tracer = await self._open_tracer(stack)
            process = None
            if bus is not None:
                process = Process(self.name, settings, self.authorizer, nursery, bus, tracer)
            if process is not None and "dispatcher" in roles:
                role, local = await stack.enter_async_context(open_dispatcher_role(process))
                self._add(role)
                self._add(open_history(process))
                target = local
            if "backend" in roles:
                from liveserver.backend.role import open_backend_role

                role, published_to = await stack.enter_async_context(
                    open_backend_role(settings, self.authorizer, bus, local, tracer)
                )
                self._add(role)
                target = target or published_to
            if process is not None and "frontend" in roles:
                role, self.frontend = await stack.enter_async_context(open_frontend_role(process, local))
                self._add(role)
            if process is not None and "recorder" in roles:
                self._add(open_recorder_role(process))
            elif "backend" in roles:
                self._add(open_recordings(settings.recorder, self.authorizer))
            if process is not None and "hooks" in roles:
                from liveserver.hooks.role import open_hooks_role

                self._add(await stack.enter_async_context(open_hooks_role(process)))
            self._add(
                open_site(self.name, settings, self.authorizer, nursery, bus, target, self.frontend, tracer)
            )
            yield self

    async def _open_tracer(self, stack: AsyncExitStack) -> Tracer | None:
        """Return the tracer; None if `tracing.endpoint` is not set. Raises `ConfigError`."""
        if not self.settings.tracing.endpoint:
            return None
        from liveserver.tracing.exporting import open_tracer

        tracer = await stack.enter_async_context(open_tracer(self.settings.tracing, self.name))
        self.parts["tracing"] = tracer.statistics
        self.reloads.append(lambda settings: tracer.prepare(settings.tracing))
        return tracer

    async def _open_bus(self, stack: AsyncExitStack) -> MemoryBus | RedisBus | None:
        """Return the bus; None for a likes backend by itself, unless there is Redis."""
        settings = self.settings
        is_backend = settings.node.roles == ["backend"]
        bus: MemoryBus | RedisBus
        if settings.bus.kind == "redis":
            from liveserver.bus.redis.bus import RedisBus

            bus = await stack.enter_async_context(
                RedisBus.open(settings.node.datacenter, settings.bus, settings.history)
            )
        elif is_backend:
            return None
        else:
            bus = MemoryBus(settings.node.datacenter, settings.history, settings.bus.inbox_batches)
        if not is_backend:  # a backend stores likes also while the bus is unavailable
            self.checks["bus"] = bus.ping
            self.parts["redis" if settings.bus.kind == "redis" else "memory_bus"] = bus.statistics
        return bus

    def _add(self, role: Role) -> None:
        """Register a role's routes, statistics and checks."""
        for routes in role.routes:
            routes.add_to(self.router)
        self.blueprints += role.blueprints
        self.parts.update(role.statistics)
        self.checks.update(role.checks)
        self.reloads += role.reloads
        self.acts = self.acts or role.acts

    def public_app(self) -> QuartTrio:
        """Return the Quart application of the opened roles. To be called once.

        Its pages that the edge answers itself are added to the router, which is then complete.
        """
        from liveserver.moderation.arguments import check_arguments
        from liveserver.node.pages import add_pages, known_paths, log_requests, pass_on
        from liveserver.web.app import public_app
        from liveserver.web.identity import identity_blueprint
        from liveserver.web.openapi import public_document

        edge = self.settings.edge
        origins = Origins(edge.allow_origins, credentials=edge.allow_credentials)
        openapi = public_document(self.settings)
        add_pages(self.router, openapi)
        identity = identity_blueprint(self.authorizer.liker)
        check_arguments(identity)
        app = public_app(
            *(make() for make in self.blueprints),
            identity,
            headers_for=origins.headers,
            preflight=preflight_headers,
            openapi=openapi,
        )
        self.is_known_path = known_paths(app)
        pass_on(app, self.router)
        log_requests(app, self.access_log)
        self.router.is_complete = True
        return app

    async def _check_accepting(self) -> None:
        if self.is_draining:
            raise NotReady("this node is draining")

    @property
    def identity(self) -> Mapping[str, Any]:
        node = self.settings.node
        return {
            "node": self.name,
            "version": __version__,
            "datacenter": node.datacenter,
            "roles": node.roles,
            "bus": self.settings.bus.kind,
        }
