"""One process from its start to its last viewer.

SIGTERM or SIGINT drains: readiness goes red, accepting stops, viewers are told `bye` over
`node.drain_timeout`, leases are withdrawn, the process ends. A second signal ends it at once.
"""

from __future__ import annotations

import gc
import signal
from contextlib import ExitStack

import msgspec
import structlog
import trio

from liveserver.config import Settings
from liveserver.edge.handoff import Handoff, open_handoff
from liveserver.edge.server import EdgeServer
from liveserver.node import logs
from liveserver.node.assembly import Node, named
from liveserver.node.listening import listen_public, listen_tls, serve_ops, written
from liveserver.node.tuning import tuned
from liveserver.ops.app import ops_app

FINISH_SECONDS = 1.0  # for requests under way, once the viewers have been let go

log = structlog.get_logger(__name__)


class ListenAddresses(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where a node listens: `host:port`."""

    name: str
    public: str
    ops: str
    tls: str | None = None


class Running:
    """A node that serves; `drain` lets everybody go, in order, and returns when that is done."""

    def __init__(self, node: Node, edge: EdgeServer, handoff: Handoff, addresses: ListenAddresses) -> None:
        self.node = node
        self.addresses = addresses
        self._edge = edge
        self._handoff = handoff

    async def drain(self) -> None:
        self.node.is_draining = True
        self._edge.stop_accepting()
        if self.node.frontend is not None:
            await self.node.frontend.drain()
        await self._handoff.end()
        await self._edge.finish(FINISH_SECONDS)


async def run(settings: Settings) -> None:
    """Run one node until it is told to end by SIGTERM or SIGINT. Raises as `serve` does."""
    settings = named(settings)
    logs.configure(settings.node.log_format, settings.node.name or "")
    settings = tuned(settings)
    async with trio.open_nursery() as nursery:
        with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            running: Running = await nursery.start(serve, settings)
            gc.collect()
            gc.freeze()
            log.info("ready", **msgspec.to_builtins(running.addresses), roles=settings.node.roles)
            await anext(signals)
            log.info("draining", seconds=settings.node.drain_timeout)
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
    with ExitStack() as stack:
        secured = listen_tls(settings, stack)
        public = stack.enter_context(listen_public(settings))
        async with (
            node.opened(),
            open_handoff(node.public_app(), max_body=limits.max_body, timeout=limits.body_timeout) as handoff,
            trio.open_nursery() as nursery,
        ):
            edge = EdgeServer(limits, node.router, handoff.serve)
            node.parts["edge"] = edge.statistics
            edge.http2 = handoff.http2(edge)
            if secured is not None:
                node.parts["tls"] = secured.door.statistics
                node.checks["certificate"] = secured.door.check
            if node.frontend is not None:
                node.frontend.is_full = lambda: edge.is_full
            ops = ops_app(
                node.identity,
                node.parts,
                lambda: node.checks,
                node.frontend,
                guard=node.gate.operator,
                trust_request_ids=limits.trust_request_ids,
            )
            ops_address = await nursery.start(serve_ops, ops, settings)
            nursery.start_soon(edge.serve, public, secured)
            addresses = ListenAddresses(
                node.name,
                written(public.getsockname()),
                ops_address,
                written(secured.listener.getsockname()) if secured else None,
            )
            task_status.started(Running(node, edge, handoff, addresses))
