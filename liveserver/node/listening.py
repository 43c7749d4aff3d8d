"""Where a process listens: the public port, and the ops port beside it."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from typing import Any

import hypercorn.trio
import trio
from hypercorn.config import Config as HypercornConfig

from liveserver.config import Address, Settings
from liveserver.edge.server import Secured, listen
from liveserver.edge.tls import TLSAcceptor
from liveserver.errors import ConfigError


def listen_public(settings: Settings) -> socket.socket:
    """The public port's socket, listening. Raises `ConfigError` when it cannot."""
    return _listen(settings, "public", settings.listen.public)


def listen_tls(settings: Settings, stack: ExitStack) -> Secured | None:
    """The TLS port, if there is one. Raises `ConfigError` when it cannot be, or its certificate."""
    if settings.listen.tls is None:
        return None
    door = TLSAcceptor(settings.tls)
    return Secured(stack.enter_context(_listen(settings, "tls", settings.listen.tls)), door)


def _listen(settings: Settings, name: str, address: Address) -> socket.socket:
    frontend = settings.frontend
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
            f"listen.{name}",
            f"cannot listen at {address} ({error.strerror}); end what listens there, or choose another",
        ) from error


async def serve_ops(
    app: Any, settings: Settings, *, task_status: trio.TaskStatus[str] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve the ops pages until cancelled. Started, with its `host:port`, once it listens.

    Raises `ConfigError` when it cannot.
    """
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


def written(where: tuple[Any, ...]) -> str:
    """A socket's address as `host:port`."""
    host, port = where[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
