"""One process: opens what its roles need, runs it in one nursery, and lets it go in order.

    bus ─ dispatcher ─ backend ─ frontend ─ edge (public port), and beside them the ops port

SIGTERM or SIGINT drains: readiness goes red, accepting stops, viewers are told `bye` over
`node.drain`, leases are withdrawn, the process ends. A second signal ends it at once.
"""

from __future__ import annotations

import gc
import resource
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import hypercorn.trio
import msgspec
import structlog
import trio
from hypercorn.config import Config as HypercornConfig
from quart import Blueprint
from quart_trio import QuartTrio

from liveserver import __version__
from liveserver.backend.backend import open_backend
from liveserver.backend.dispatchers import Dispatchers as BackendDispatchers
from liveserver.backend.outbox import Dispatcher
from liveserver.backend.routes import backend_routes
from liveserver.bus.canary import Canary, CanaryPerch
from liveserver.bus.interface import Bus
from liveserver.bus.memory import MemoryBus
from liveserver.bus.redis import RedisBus
from liveserver.config import Settings
from liveserver.dispatcher.local import LocalDispatcher
from liveserver.dispatcher.parse import Parser
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.routes import DispatcherRoutes
from liveserver.dispatcher.subscriptions import Subscriptions
from liveserver.edge.cors import PREFLIGHT, Origins
from liveserver.edge.handoff import open_handoff
from liveserver.edge.router import Router
from liveserver.edge.server import EdgeServer, listen
from liveserver.errors import ConfigError, LiveserverError
from liveserver.frontend.dispatchers import Dispatchers
from liveserver.frontend.frontend import Frontend, open_frontend
from liveserver.frontend.routes import WatchRoutes
from liveserver.frontend.table import Leases
from liveserver.ops.app import ops_app
from liveserver.ops.health import Check
from liveserver.web.app import public_app

SPARE_DESCRIPTORS = 300  # for everything that is no client's connection
FINISH_SECONDS = 1.0  # for requests under way, once the viewers have been let go
GC_THRESHOLDS = 50_000, 20, 50  # a full collection over 10,000 viewers takes 40 ms: rarely, then

log = structlog.get_logger(__name__)


class Addresses(msgspec.Struct, frozen=True):
    """Where a node listens: `host:port`."""

    name: str
    public: str
    ops: str


class NotReady(LiveserverError):
    """Why a readiness check fails."""


class Node:
    """The parts of one process, as its roles need them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        node = settings.node
        self.name = node.name or f"{node.datacenter}-{'-'.join(node.roles)}-{secrets.token_hex(3)}"
        self.router = Router()
        self.is_draining = False
        self.parts: dict[str, Any] = {}
        self.checks: dict[str, Check] = {"accepting": self._check_accepting}
        self.frontend: Frontend | None = None
        self.blueprints: list[Blueprint] = []

    @asynccontextmanager
    async def opened(self) -> AsyncIterator[Node]:
        """Open the bus and the roles for the duration of the block."""
        settings = self.settings
        async with trio.open_nursery() as nursery, AsyncExitStack() as stack:
            # Called last: the roles may still want to publish while they leave.
            stack.callback(nursery.cancel_scope.cancel)
            if settings.node.roles == ["backend"]:
                await self._backend(None, stack)  # which can store while the bus is away
                yield self
                return
            bus: Bus
            if settings.bus.kind == "memory":
                bus = MemoryBus(settings.node.datacenter, settings.log, settings.bus.inbox_batches)
            else:
                bus = await stack.enter_async_context(
                    RedisBus.open(settings.node.datacenter, settings.bus, settings.log)
                )
            self.checks["bus"] = bus.ping
            local: LocalDispatcher | None = None
            if "dispatcher" in settings.node.roles:
                publisher = Publisher(bus, settings.node.datacenter, settings.dispatcher)
                subscriptions = Subscriptions(bus, settings.dispatcher.max_lease)
                parser = Parser(settings.dispatcher)
                DispatcherRoutes(parser, publisher, subscriptions).add_to(self.router)
                local = LocalDispatcher(parser, publisher, subscriptions)
                nursery.start_soon(publisher.run)
                self.parts["publish"] = publisher.statistics
            if "backend" in settings.node.roles:
                await self._backend(local, stack)
            if "frontend" in settings.node.roles:
                self.frontend = await stack.enter_async_context(self._frontend(bus, local))
            elif local is not None:
                perch = CanaryPerch(bus, self.name)
                canary = Canary(self.name, local, settings.canary, perch.renew)
                nursery.start_soon(perch.run, canary)
                nursery.start_soon(canary.run)
                self.parts["canary"] = canary.statistics
                self.checks["delivery"] = canary.check
            yield self

    @asynccontextmanager
    async def _frontend(self, bus: Bus, local: Leases | None) -> AsyncIterator[Frontend]:
        settings = self.settings
        async with AsyncExitStack() as stack:
            leases = local
            if settings.frontend.dispatchers or leases is None:
                leases = await stack.enter_async_context(
                    Dispatchers.open(settings.frontend.dispatchers, settings.frontend.dispatcher_timeout)
                )
            frontend = await stack.enter_async_context(open_frontend(self.name, settings, bus, leases))
            WatchRoutes(frontend, settings.frontend).add_to(self.router)
            self.parts["frontend"] = frontend.statistics
            self.checks["delivery"] = frontend.canary.check
            yield frontend

    async def _backend(self, local: Dispatcher | None, stack: AsyncExitStack) -> None:
        settings = self.settings.backend
        if settings.dispatchers or local is None:
            local = await stack.enter_async_context(
                BackendDispatchers.open(settings.dispatchers, settings.dispatcher_timeout)
            )
        backend = await stack.enter_async_context(open_backend(settings, local))
        self.blueprints.append(backend_routes(backend, settings))
        self.parts["backend"] = backend.statistics
        self.checks["database"] = backend.check

    def public_app(self) -> QuartTrio:
        """The ordinary web of the roles; they are opened by then."""
        origins = Origins(self.settings.edge.allow_origins)
        return public_app(*self.blueprints, headers_for=origins.headers, preflight=PREFLIGHT)

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


class Running:
    """A node that serves; `drain` lets everybody go, in order, and returns when that is done."""

    def __init__(self, node: Node, edge: EdgeServer, addresses: Addresses) -> None:
        self.node = node
        self.addresses = addresses
        self._edge = edge

    async def drain(self) -> None:
        self.node.is_draining = True
        self._edge.stop_accepting()
        if self.node.frontend is not None:
            await self.node.frontend.drain()
        await self._edge.finish(FINISH_SECONDS)


async def run(settings: Settings) -> None:
    """Run one node until it is told to end by SIGTERM or SIGINT. Raises as `serve` does."""
    settings = _tuned(settings)
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            running: Running = await nursery.start(serve, settings)
            gc.collect()
            gc.freeze()
            log.info("ready", **msgspec.structs.asdict(running.addresses), roles=settings.node.roles)
            await anext(signals)
            log.info("draining", seconds=settings.node.drain)
            async with trio.open_nursery() as draining:

                async def drain() -> None:
                    await running.drain()
                    draining.cancel_scope.cancel()

                draining.start_soon(drain)
                await anext(signals)
                draining.cancel_scope.cancel()
            nursery.cancel_scope.cancel()


async def serve(
    settings: Settings, *, task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled. Started once it listens.

    Raises `ConfigError` when it cannot listen where it was told to.
    """
    node = Node(settings)
    limits = settings.edge
    with _listen(settings) as public:
        async with (
            node.opened(),
            open_handoff(node.public_app(), max_body=limits.max_body, timeout=limits.body_timeout) as handoff,
            trio.open_nursery() as nursery,
        ):
            edge = EdgeServer(limits, node.router, handoff.serve)
            node.parts["edge"] = edge.statistics
            if node.frontend is not None:
                node.frontend.is_full = lambda: edge.is_full
            ops = ops_app(node.identity, node.parts, lambda: node.checks)
            ops_address = await nursery.start(_serve_ops, ops, settings)
            nursery.start_soon(edge.serve, public)
            addresses = Addresses(node.name, _text(public.getsockname()), ops_address)
            task_status.started(Running(node, edge, addresses))


def _tuned(settings: Settings) -> Settings:
    """What holds for the whole process: descriptors, collections, the interpreter's switching.

    Returns the settings with no more connections than there are descriptors for: who is over that is told
    to go elsewhere, and not kept waiting.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    wanted = room = settings.edge.max_connections
    if hard != resource.RLIM_INFINITY:
        room = max(1, min(wanted, hard - SPARE_DESCRIPTORS))
    because = "edge.max_connections" if room == wanted else "the limit of descriptors"
    log.info(
        "capacity",
        connections=room,
        because=because,
        descriptors=hard if hard != resource.RLIM_INFINITY else "any",
    )
    sys.setswitchinterval(settings.node.switch_interval)
    gc.set_threshold(*GC_THRESHOLDS)
    return msgspec.structs.replace(
        settings, edge=msgspec.structs.replace(settings.edge, max_connections=room)
    )


def _listen(settings: Settings) -> socket.socket:
    address, frontend = settings.listen.public, settings.frontend
    try:
        return listen(
            address,
            settings.listen.backlog,
            shared=settings.node.workers > 1,
            send_buffer=frontend.send_buffer if "frontend" in settings.node.roles else 0,
            user_timeout=frontend.slow_timeout,
        )
    except OSError as error:
        raise ConfigError(
            "listen.public",
            f"cannot listen at {address} ({error.strerror}); end what listens there, or choose another",
        ) from error


async def _serve_ops(
    app: Any, settings: Settings, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    address = settings.listen.ops
    config = HypercornConfig()
    config.bind = [address]
    config.accesslog = config.errorlog = None
    config.include_server_header = False
    config.graceful_timeout = 0.5
    async with trio.open_nursery() as nursery:
        try:
            binds = await nursery.start(hypercorn.trio.serve, app, config)
        except OSError as error:
            raise ConfigError(
                "listen.ops",
                f"cannot listen at {address} ({error.strerror}); end what listens there, or choose another",
            ) from error
        task_status.started(binds[0].removeprefix("http://"))


def _text(where: tuple[Any, ...]) -> str:
    host, port = where[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
