"""What a process is made of: the bus, the roles and their routes, opened for the time of a block.

Redis, databases and HTTP clients are imported where they are needed: each takes a tenth of a second, and
megabytes.
"""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import trio
from quart import Blueprint
from quart_trio import QuartTrio

from liveserver import __version__
from liveserver.auth.authorizer import Authorizer
from liveserver.bus.canary import Canary, CanaryInbox
from liveserver.bus.interface import Bus
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import Settings
from liveserver.config.certificates import client_context
from liveserver.dispatcher.local import LocalDispatcher
from liveserver.dispatcher.parse import Parser
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.routes import DispatcherRoutes
from liveserver.dispatcher.subscriptions import Subscriptions
from liveserver.edge.cors import Origins, preflight_headers
from liveserver.edge.router import Router
from liveserver.errors import LiveserverError
from liveserver.frontend.admission import Admission
from liveserver.frontend.channels.subscriptions import LeaseService
from liveserver.frontend.frontend import Frontend, open_frontend
from liveserver.frontend.routes import WatchRoutes
from liveserver.frontend.summary import SummaryRoutes
from liveserver.moderation.log_moderator import LogModerator
from liveserver.moderation.routes import moderation_routes
from liveserver.node.pages import add_pages, known_paths, pass_on
from liveserver.node.site import open_site
from liveserver.ops.health import Check
from liveserver.recorder.directory import Directory
from liveserver.recorder.recorder import Recorder
from liveserver.recorder.routes import recorder_routes
from liveserver.web.app import public_app
from liveserver.web.identity import identity_blueprint
from liveserver.web.openapi import public_document

if TYPE_CHECKING:
    from liveserver.backend.outbox import PublishTarget
    from liveserver.bus.redis.bus import RedisBus


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
        self.is_draining = False
        self.parts: dict[str, Any] = {}
        self.checks: dict[str, Check] = {"accepting": self._check_accepting}
        self.frontend: Frontend | None = None
        self._target: PublishTarget | None = None  # a dispatcher here, or over HTTP
        self.authorizer = Authorizer(settings, self.name)
        self.blueprints: list[Blueprint] = []
        self.is_known_path: Callable[[str], bool] = lambda path: True

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Node]:
        """Open the bus and the roles for the duration of the block."""
        settings = self.settings
        async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
            # Called last: the roles may still publish while they are closed.
            stack.callback(nursery.cancel_scope.cancel)
            authorizer = self.authorizer
            nursery.start_soon(authorizer.run)
            self.parts["auth"] = authorizer.statistics
            if settings.node.roles == ["backend"]:
                reader: RedisBus | None = None
                if settings.bus.kind == "redis":  # not checked: it stores while the bus is away
                    reader = await self._open_redis(stack)
                await self._backend(None, authorizer, stack, reader)
                self._open_site(nursery, reader)
                yield self
                return
            bus: MemoryBus | RedisBus
            if settings.bus.kind == "memory":
                bus = MemoryBus(settings.node.datacenter, settings.history, settings.bus.inbox_batches)
            else:
                bus = await self._open_redis(stack)
            self.checks["bus"] = bus.ping
            self.parts["redis" if settings.bus.kind == "redis" else "memory_bus"] = bus.statistics
            local: LocalDispatcher | None = None
            if "dispatcher" in settings.node.roles:
                publisher = Publisher(bus, settings.node.datacenter, settings.dispatcher)
                subscriptions = Subscriptions(bus, settings.dispatcher.max_lease)
                parser = Parser(settings.dispatcher)
                DispatcherRoutes(parser, publisher, subscriptions, authorizer).add_to(self.router)
                local = LocalDispatcher(parser, publisher, subscriptions)
                nursery.start_soon(publisher.run)
                self._target = local
                self.parts["publish"] = publisher.statistics
                self.parts["leases"] = subscriptions.statistics
                if "backend" not in settings.node.roles:
                    moderator = LogModerator(bus, partial(local.publish, retractions=False))
                    self.blueprints.append(moderation_routes(moderator, authorizer.liker))
                if settings.peers:
                    from liveserver.dispatcher.relay.relay import open_relay

                    relay = await stack.enter_async_context(open_relay(bus, self.name, settings))
                    nursery.start_soon(relay.run)
                    self.parts["relay"] = relay.statistics
            if "backend" in settings.node.roles:
                await self._backend(local, authorizer, stack, bus)
            if "frontend" in settings.node.roles:
                self.frontend = await stack.enter_async_context(self._frontend(bus, local, authorizer))
            elif local is not None:
                inbox = CanaryInbox(bus, self.name)
                canary = Canary(self.name, local, settings.canary, inbox.reconnect)
                nursery.start_soon(inbox.run, canary)
                nursery.start_soon(canary.run)
                self.parts["canary"] = canary.statistics
                self.checks["delivery"] = canary.check
                self.checks["name"] = canary.check_name
            if "recorder" in settings.node.roles:
                store = Directory(Path(settings.recorder.directory))
                recorder = Recorder(bus, store, settings.recorder)
                nursery.start_soon(recorder.run)
                self.blueprints.append(recorder_routes(recorder, authorizer))
                self.parts["recorder"] = recorder.statistics
                self.checks["recorder"] = recorder.check
            self._open_site(nursery, bus)
            yield self

    async def _open_redis(self, stack: AsyncExitStack) -> RedisBus:
        from liveserver.bus.redis.bus import RedisBus

        settings = self.settings
        return await stack.enter_async_context(
            RedisBus.open(settings.node.datacenter, settings.bus, settings.history)
        )

    def _open_site(self, nursery: trio.Nursery, bus: MemoryBus | RedisBus | None) -> None:
        blueprints, parts = open_site(
            self.name, self.settings, self.authorizer, nursery, bus, self._target, self.frontend
        )
        self.blueprints += blueprints
        self.parts.update(parts)

    @asynccontextmanager
    async def _frontend(
        self, bus: Bus, local: LeaseService | None, authorizer: Authorizer
    ) -> AsyncIterator[Frontend]:
        settings = self.settings
        async with AsyncExitStack() as stack:
            leases = local
            if settings.frontend.dispatchers or leases is None:
                from liveserver.dispatcher_client.leases import LeaseClient

                leases = await stack.enter_async_context(
                    LeaseClient.open(
                        settings.frontend.dispatchers,
                        settings.frontend.dispatcher_timeout,
                        client_context(settings.tls.ca_file),
                        authorizer.signature,
                    )
                )
            frontend = await stack.enter_async_context(open_frontend(self.name, settings, bus, leases))
            admission = Admission(authorizer, frontend.table.channels)
            frontend.joining = admission.joining
            WatchRoutes(frontend, settings.frontend, admission).add_to(self.router)
            if "backend" not in settings.node.roles:
                SummaryRoutes(frontend, admission).add_to(self.router)
            self.parts["frontend"] = frontend.statistics
            self.checks["delivery"] = frontend.canary.check
            self.checks["name"] = frontend.canary.check_name
            yield frontend

    async def _backend(
        self,
        local: PublishTarget | None,
        authorizer: Authorizer,
        stack: AsyncExitStack,
        reader: MemoryBus | RedisBus | None,
    ) -> None:
        from liveserver.backend.backend import open_backend
        from liveserver.backend.likes import LikeRoutes
        from liveserver.backend.routes import backend_routes

        settings = self.settings.backend
        if settings.dispatchers or local is None:
            from liveserver.dispatcher_client.publish import PublishClient

            local = await stack.enter_async_context(
                PublishClient.open(
                    settings.dispatchers,
                    settings.dispatcher_timeout,
                    client_context(self.settings.tls.ca_file),
                    authorizer.signature,
                )
            )
        likes, review = self.settings.likes, self.settings.review
        backend = await stack.enter_async_context(open_backend(settings, local, likes, reader, review))
        self._target = self._target or local
        LikeRoutes(backend, settings, authorizer).add_to(self.router)
        self.blueprints += [backend_routes(backend, authorizer), moderation_routes(backend, authorizer.liker)]
        self.parts["backend"] = backend.statistics
        self.checks["database"] = backend.check

    def public_app(self) -> QuartTrio:
        """Return the Quart application of the opened roles. To be called once.

        Its pages that the edge answers itself are added to the router.
        """
        edge = self.settings.edge
        origins = Origins(edge.allow_origins, credentials=edge.allow_credentials)
        openapi = public_document(self.settings)
        add_pages(self.router, openapi)
        app = public_app(
            *self.blueprints,
            identity_blueprint(self.authorizer.liker),
            headers_for=origins.headers,
            preflight=preflight_headers,
            openapi=openapi,
        )
        self.is_known_path = known_paths(app)
        pass_on(app, self.router)
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
