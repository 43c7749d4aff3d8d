"""What the server is to those it has let in, and what they are to it."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Protocol

from liveserver.config import EdgeSettings
from liveserver.edge.bodies import BodyMemory
from liveserver.edge.connection_limit import ConnectionLimit
from liveserver.edge.cors import Origins
from liveserver.edge.hosts import AllowedHosts
from liveserver.edge.request import KnownHeads
from liveserver.edge.router import Router


class Client(Protocol):
    """An open connection or HTTP/2 exchange, with a `deadline` in Trio's time."""

    deadline: float

    @property
    def is_idle(self) -> bool: ...

    def expire(self) -> bool:
        """The deadline has passed; whether that is the end."""
        ...

    def close(self) -> None: ...

    def __hash__(self) -> int: ...


class ConnectionInterface(Client, Protocol):
    """A client that has a socket of its own. `seat`: see connection_limit.py."""

    seat: str

    def release(self) -> socket.socket:
        """Give the socket away."""
        ...


class ServerInterface(Protocol):
    """The server."""

    settings: EdgeSettings
    router: Router
    origins: Origins
    connections: set[Client]
    bodies: BodyMemory
    heads: KnownHeads
    seats: ConnectionLimit
    secured_hosts: AllowedHosts  # at the TLS port

    is_known_path: Callable[[str], bool]  # whether the ordinary web has something there
    is_ending: bool
    requests: int

    @property
    def is_full(self) -> bool: ...

    async def hand_over(self, connection: ConnectionInterface, received: bytes) -> None:
        """Give the connection to the ordinary web server, with what was read of it."""
        ...

    def forget(self, connection: ConnectionInterface) -> None:
        """It has ended, or is somebody else's. Idempotent."""
        ...

    def count_refusal(self, status: int) -> None:
        """A request was answered with a problem of this status."""
        ...

    def count_failure(self, request_id: str = "", what: str = "") -> None:
        """A defect of ours has ended a request; it is the exception being handled."""
        ...
