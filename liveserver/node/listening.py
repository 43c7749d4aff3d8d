"""A node's listeners: the public port, the TLS port, and the ops port."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from liveserver.config import Address, Settings
from liveserver.edge.deferred_handoff import open_deferred_handoff
from liveserver.edge.hosts import AllowedHosts
from liveserver.edge.listener import listen
from liveserver.edge.router import Router
from liveserver.edge.server import EdgeServer, Secured
from liveserver.edge.tls import TLSAcceptor
from liveserver.errors import ConfigError
from liveserver.role import HotRoutes

if TYPE_CHECKING:
    from quart_trio import QuartTrio

OPS_ACCEPT_RATE = 500  # connections per second: probes and scrapes are few
OPS_BACKLOG = 128
OPS_MAX_BODY = 64 * 1024  # bytes


def listen_public(settings: Settings) -> socket.socket:
    """Return the listening socket of the public port. Raises `ConfigError`."""
    return _listen(settings, "public", settings.listen.public)


def listen_tls(settings: Settings, stack: ExitStack) -> Secured | None:
    """Return the TLS listener, if configured. Raises `ConfigError`, also for an unusable certificate."""
    if settings.listen.tls is None:
        return None
    acceptor = TLSAcceptor(settings.tls)
    address = settings.listen.tls
    return Secured(
        stack.enter_context(_listen(settings, "tls", address)), acceptor, allowed_hosts(settings, address)
    )


def allowed_hosts(settings: Settings, address: Address) -> AllowedHosts:
    """Return the host names that are accepted at this address."""
    return AllowedHosts(settings.edge.allow_hosts, is_local=address.is_loopback)


def _listen(settings: Settings, name: str, address: Address) -> socket.socket:
    frontend = settings.frontend
    return _listen_at(
        name,
        address,
        settings.listen.backlog,
        shared=settings.node.workers > 1,
        send_buffer=frontend.send_buffer if "frontend" in settings.node.roles else 0,
        user_timeout=frontend.slow_timeout,
    )


def _listen_at(name: str, address: Address, backlog: int, **options: Any) -> socket.socket:
    try:
        return listen(address, backlog, **options)
    except OSError as error:
        raise ConfigError(
            f"listen.{name}",
            f"cannot listen at {address} ({error.strerror}); stop what listens there, or choose another",
        ) from error


async def serve_ops(
    make_app: Callable[[], QuartTrio],
    settings: Settings,
    routes: Sequence[HotRoutes] = (),
    *,
    task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve the ops pages until cancelled; `task_status` receives its `host:port` once it listens.

    An edge server accepts the connections, so its rules apply: strict parsing, deadlines, a limited number of
    connections, HTTP/1.1 only. It answers `routes`; `make_app` is called when a request first needs more, of
    which a connection serves one.

    Raises `ConfigError` if it cannot listen.
    """
    ops = settings.ops
    limits = msgspec.structs.replace(
        settings.edge,
        allow_origins=[],
        max_connections=ops.max_connections,
        max_per_address=0,
        accept_rate=OPS_ACCEPT_RATE,
        max_body=OPS_MAX_BODY,
        header_timeout=min(settings.edge.header_timeout, ops.timeout),
        keep_alive=min(settings.edge.header_timeout, ops.timeout),
    )
    listener = _listen_at("ops", settings.listen.ops, OPS_BACKLOG)
    with listener:
        router = Router()
        router.is_complete = False
        for each in routes:
            each.add_to(router)

        def make_and_complete() -> QuartTrio:
            app = make_app()
            router.is_complete = True
            return app

        async with open_deferred_handoff(
            make_and_complete, ["liveserver.ops.app"], max_body=OPS_MAX_BODY, timeout=ops.timeout
        ) as handoff:

            async def serve(sock: socket.socket, received: bytes) -> None:
                with trio.move_on_after(ops.timeout):
                    await handoff.serve(sock, received)

            hosts = allowed_hosts(settings, settings.listen.ops)
            edge = EdgeServer(limits, router, serve, hosts, reserve=0)
            edge.load_web = handoff.load
            task_status.started(written(listener.getsockname()))
            await edge.serve(listener)


def written(where: tuple[Any, ...]) -> str:
    """Format a socket's address as `host:port`."""
    host, port = where[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
