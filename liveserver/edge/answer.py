"""The interfaces of handlers: a peer is passed to them, and an answer is returned."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from liveserver.edge.request import Request


class SocketLike(Protocol):
    """A non-blocking socket, or an HTTP/2 exchange in its place."""

    def send(self, data: bytes | memoryview, /) -> int:
        """Send as much as there is room for; return its size. Raises `BlockingIOError` if none, `OSError`."""
        ...

    def recv(self, size: int, /) -> bytes: ...

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...

    def shutdown(self, how: int, /) -> None: ...

    def getpeername(self) -> Any: ...


class Peer(Protocol):
    """The client's connection, as handlers use it. `deadline` is in Trio's time."""

    @property
    def sock(self) -> SocketLike: ...

    deadline: float
    closed: bool

    def wait_readable(self) -> Awaitable[None]:
        """Wait until something was received. Raises `OSError`, `trio.ClosedResourceError`."""
        ...

    def wait_writable(self) -> Awaitable[None]:
        """Wait until there is room to send. Raises `OSError`, `trio.ClosedResourceError`."""
        ...

    def take_received(self) -> bytes:
        """Remove and return the bytes received after the request."""
        ...

    async def write(self, data: bytes) -> None:
        """Send all of the data. Raises `OSError`, `trio.ClosedResourceError`."""
        ...

    def close(self) -> None:
        """Close the connection now. Idempotent."""
        ...


class StreamResponse(ABC):
    """An answer that owns the connection from then on."""

    __slots__ = ()

    @abstractmethod
    async def wait_gone(self) -> None:
        """Return when the client has disconnected or was disconnected; the connection is then closed."""

    def expire(self) -> bool:
        """Handle a deadline that has passed; return whether it was extended."""
        return False


class DeferredResponse(ABC):
    """An answer that another task writes later."""

    __slots__ = ()

    @property
    @abstractmethod
    def is_written(self) -> bool: ...

    @abstractmethod
    async def wait_written(self) -> None: ...

    def end_early(self) -> None:
        """Answer now if possible, otherwise `abandon`: the client sends no more, but may still read."""
        self.abandon()

    @abstractmethod
    def abandon(self) -> None:
        """Cancel the answer, as the client has disconnected. Does nothing if it was written."""


Answer = bytes | DeferredResponse | StreamResponse


def status_of(request: Request, answer: Answer) -> int:
    """Return the status of an answer to a request."""
    if isinstance(answer, bytes):
        return int(answer[9:12])  # HTTP/1.1 200
    return 101 if b"upgrade" in request.headers else 200


Handler = Callable[[Request, Peer], Awaitable[Answer]]
