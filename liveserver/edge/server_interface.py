"""The interfaces between the server and its connections."""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import Protocol

from liveserver.config import EdgeSettings
from liveserver.edge.access_log import AccessLog
from liveserver.edge.bodies import BodyMemory
from liveserver.edge.connection_limit import ConnectionLimit
from liveserver.edge.cors import Origins
from liveserver.edge.hosts import AllowedHosts
from liveserver.edge.known_heads import KnownHeads
from liveserver.edge.router import Router


class Client(Protocol):
    """An open connection or HTTP/2 exchange, with a `deadline` in Trio's time."""

    deadline: float

    @property
    def is_idle(self) -> bool: ...

    def expire(self) -> bool:
        """Handle a deadline that has passed; return whether the client is disconnected."""
        ...

    def close(self) -> None: ...

    def __hash__(self) -> int: ...


class ConnectionInterface(Client, Protocol):
    """A client with a socket of its own. `counted_as`: see connection_limit.py."""

    counted_as: str

    def release(self) -> socket.socket:
        """Give up the socket without closing it."""
        ...


class Http2Client(Protocol):
    """A connection that speaks HTTP/2; it is idle while it has no streams."""

    def release(self) -> socket.socket:
        """Give up the socket without closing it."""
        ...

    def set_idle(self, close: Callable[[], None]) -> None:
        """Note that it is idle, and how to end it."""
        ...

    def set_busy(self, close: Callable[[], None]) -> None:
        """Undo `set_idle(close)`, unless it was called again since."""
        ...


class ServerInterface(Protocol):
    """The server, as its connections use it."""

    settings: EdgeSettings
    router: Router
    origins: Origins
    connections: set[Client]
    bodies: BodyMemory
    heads: KnownHeads
    limit: ConnectionLimit
    secured_hosts: AllowedHosts  # at the TLS port

    is_known_path: Callable[[str], bool]  # whether the ordinary web serves the path
    load_web: Callable[[], Awaitable[object]]  # completes the router
    access_log: AccessLog
    is_ending: bool
    requests: int

    @property
    def is_full(self) -> bool: ...

    async def hand_over(self, connection: ConnectionInterface, received: bytes) -> None:
        """Hand the connection over to Hypercorn, with the bytes that were read from it."""
        ...

    def remove(self, connection: ConnectionInterface) -> None:
        """Remove a connection that has ended or was handed over. Idempotent."""
        ...

    def count_refusal(self, status: int) -> None:
        """Count a request that was answered with a problem of this status."""
        ...

    def count_failure(self, request_id: str = "", what: str = "") -> None:
        """Count and log the exception being handled: a defect has ended a request."""
        ...
