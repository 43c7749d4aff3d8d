"""Runs one node from its start to the end of its drain.

SIGHUP and `POST /v1/reload` reload its configuration (`reload.py`).

SIGTERM drains: the node is no longer ready and, after `node.lame_duck`, stops accepting, sends `bye` to its
viewers over `node.drain_timeout`, withdraws its leases, and ends. SIGINT and a closed terminal (SIGHUP) do
the same without the lame-duck time. A second SIGTERM or SIGINT ends it at once.
"""

from __future__ import annotations

import gc
import ipaddress
import os
import signal
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import ExitStack, asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING

import msgspec
import structlog
import trio

from liveserver.config import Settings, unknown_in
from liveserver.edge.deferred_handoff import DeferredHandoff, open_deferred_handoff
from liveserver.edge.server import EdgeServer
from liveserver.errors import ConfigError
from liveserver.node import logs
from liveserver.node.assembly import Node, named
from liveserver.node.listening import allowed_hosts, listen_public, listen_tls, serve_ops, written
from liveserver.node.reload import Reloader, ReloadResult
from liveserver.node.tuning import tuned
from liveserver.ops.cluster import Cluster
from liveserver.ops.health import ProbeRoutes
from liveserver.ops.publishing import EventPublisher
from liveserver.ops.scrape import MetricsRoute
from liveserver.terminal import has_terminal

if TYPE_CHECKING:
    from quart_trio import QuartTrio

FINISH_SECONDS = 1.0  # for requests in progress, once the viewers are disconnected
PROGRESS_SECONDS = 2.0  # between two log lines about a drain

log = structlog.get_logger(__name__)


class ListenAddresses(msgspec.Struct, frozen=True, omit_defaults=True):
    """A node's addresses, as `host:port`."""

    name: str
    public: str
    ops: str
    tls: str | None = None


class Running:
    """A running node, which can be drained."""

    def __init__(
        self,
        node: Node,
        edge: EdgeServer,
        handoff: DeferredHandoff,
        addresses: ListenAddresses,
        reload: Callable[[], ReloadResult],
    ) -> None:
        self.node = node
        self.reload = reload
        self.addresses = addresses
        self._edge = edge
        self._handoff = handoff

    @property
    def connections(self) -> int:
        """The number of open client connections."""
        return len(self._edge.connections)

    async def drain(self, lame_duck: float = 0.0) -> None:
        """Disconnect all clients gracefully, and return when that is done.

        For the first `lame_duck` seconds it is only not ready, and still serves requests from load balancers
        that have not noticed that yet.
        """
        self.node.is_draining = True
        await trio.sleep(lame_duck)
        self._edge.stop_accepting()
        if self.node.frontend is not None:
            await self.node.frontend.drain()
        await self._handoff.end()
        await self._edge.finish(FINISH_SECONDS)


async def run(settings: Settings, load: Callable[[], Settings] | None = None) -> None:
    """Run one node until SIGTERM or SIGINT, or until its terminal is closed. Raises `ConfigError`.

    `load` reads the configuration again, for SIGHUP and `POST /v1/reload`.
    """
    had_terminal = has_terminal()
    settings = named(settings)
    logs.configure(settings.node.log_format, settings.node.name or "", max_lines=settings.node.log_queue)
    logs.set_level(settings.node.log_level)
    logs.capture_libraries()
    if unknown := unknown_in(os.environ):
        log.warning(
            "environment_ignored", variables=unknown, hint="liveserver config --full has all settings"
        )
    settings = tuned(settings)
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT, signal.SIGHUP) as signals:
            async with ending_on_signal(signals, nursery.cancel_scope) as is_reload_due:
                running: Running = await nursery.start(partial(serve, load=load), settings)
            gc.freeze()  # without a collection: two of a hundred objects made by imports are garbage
            gc.enable()
            addresses = running.addresses
            pages = {"page": f"http://{addresses.public}/"} if "backend" in settings.node.roles else {}
            pages["dashboard"] = f"http://{addresses.ops}/"
            log.info("ready", **msgspec.to_builtins(addresses), roles=settings.node.roles, **pages)
            if is_reload_due():
                with suppress(ConfigError):  # it was logged
                    running.reload()
            async for number in signals:
                if number != signal.SIGHUP or (had_terminal and not has_terminal()):
                    break
                with suppress(ConfigError):  # it was logged
                    running.reload()
            async with trio.open_nursery() as draining:
                draining.start_soon(_drain, running, number, draining.cancel_scope)
                draining.start_soon(_report_progress, running)
                async for number in signals:
                    if number != signal.SIGHUP:
                        break
                log.warning("drain_cut_short", connections=running.connections)
                draining.cancel_scope.cancel()
            if running.node.frontend is not None:
                await running.node.frontend.disconnect_all()  # the remaining viewers, after a second signal
            nursery.cancel_scope.cancel()


@asynccontextmanager
async def ending_on_signal(
    signals: AsyncIterator[int], scope: trio.CancelScope
) -> AsyncIterator[Callable[[], bool]]:
    """Cancel `scope` when a signal to end comes during the block, in which the node starts: a database may
    keep it waiting. Yields what returns whether SIGHUP came.
    """
    reloads = list[int]()

    async def listen() -> None:
        async for number in signals:
            if number == signal.SIGHUP:
                reloads.append(number)
            else:
                log.info("ended_while_starting", signal=signal.Signals(number).name)
                scope.cancel()

    async with trio.open_nursery() as listening:
        listening.start_soon(listen)
        yield lambda: bool(reloads)
        listening.cancel_scope.cancel()


async def _drain(running: Running, number: int, scope: trio.CancelScope) -> None:
    """Drain after a signal, then cancel `scope`."""
    settings = running.node.settings.node
    lame_duck = settings.lame_duck if number == signal.SIGTERM else 0.0
    log.info(
        "draining",
        signal=signal.Signals(number).name,
        connections=running.connections,
        lame_duck=lame_duck,
        drain_timeout=settings.drain_timeout,
        hint="a second Ctrl-C or SIGTERM ends it at once",
    )
    await running.drain(lame_duck)
    log.info("drained")
    scope.cancel()


async def _report_progress(running: Running) -> None:
    """Log the number of remaining connections during a drain, until cancelled."""
    while True:
        await trio.sleep(PROGRESS_SECONDS)
        log.info("still_draining", connections=running.connections)


def _dispatchers(settings: Settings, public: socket.socket) -> Sequence[str]:
    """Return the URLs of the dispatchers that this node knows, itself first."""
    others = [*settings.backend.dispatchers, *settings.frontend.dispatchers]
    if "dispatcher" not in settings.node.roles:
        return others
    host, port = public.getsockname()[:2]
    if ipaddress.ip_address(host).is_unspecified:
        host = "::1" if ":" in host else "127.0.0.1"
    return [f"http://{written((host, port))}", *others]


async def serve(
    settings: Settings,
    *,
    load: Callable[[], Settings] | None = None,
    task_status: trio.TaskStatus[Running] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled; `task_status` is started once it listens. `load` reads the configuration again.

    Raises `ConfigError` if it cannot listen at the configured addresses.
    """
    node = Node(settings)
    limits = settings.edge
    with ExitStack() as stack:
        secured = listen_tls(settings, stack)
        public = stack.enter_context(listen_public(settings))
        async with (
            node.opened(),
            open_deferred_handoff(
                node.public_app,
                ["liveserver.node.pages", "liveserver.web.openapi"],
                max_body=limits.max_body,
                timeout=limits.body_timeout,
            ) as handoff,
            trio.open_nursery() as nursery,
        ):
            edge = EdgeServer(
                limits, node.router, handoff.serve, allowed_hosts(settings, settings.listen.public)
            )
            edge.access_log = node.access_log
            node.parts["edge"] = edge.statistics
            node.parts["log"] = logs.statistics
            edge.http2 = handoff.http2(edge)
            edge.is_known_path = lambda path: node.is_known_path(path)
            edge.load_web = handoff.load
            if secured is not None:
                node.parts["tls"] = secured.acceptor.statistics
                node.checks["certificate"] = secured.acceptor.check
            if node.frontend is not None:
                node.frontend.is_full = lambda: edge.is_full
            reload = Reloader(node, edge, load or (lambda: settings)).reload
            cluster = Cluster(
                node.name, settings.node.datacenter, settings.node.roles, node.bus, settings.ops
            )
            started = trio.current_time()

            def make_ops() -> QuartTrio:
                from liveserver.ops.app import ops_app

                return ops_app(
                    node.identity,
                    node.parts,
                    lambda: node.checks,
                    node.frontend,
                    started=started,
                    guard=node.authorizer.check_operator,
                    reload=reload,
                    trust_request_ids=limits.trust_request_ids,
                    cluster=cluster,
                    publisher=EventPublisher(_dispatchers(settings, public), settings.tls.ca_file),
                    acts=lambda: node.acts,
                )

            probes = ProbeRoutes(lambda: node.checks)
            metrics = MetricsRoute(node.parts, node.identity, node.authorizer.check_operator)
            ops_address = await nursery.start(serve_ops, make_ops, settings, [probes, metrics])
            nursery.start_soon(cluster.run, ops_address)
            nursery.start_soon(edge.serve, public, secured)
            addresses = ListenAddresses(
                node.name,
                written(public.getsockname()),
                ops_address,
                written(secured.listener.getsockname()) if secured else None,
            )
            task_status.started(Running(node, edge, handoff, addresses, reload))
