"""What a handler is given and what it may answer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from liveserver.edge.request import Request


class SocketLike(Protocol):
    """What is sent to: a socket, non-blocking, or what takes its place in HTTP/2."""

    def send(self, data: bytes | memoryview, /) -> int:
        """Take as much as there is room for. Raises `BlockingIOError` when there is none, `OSError`."""
        ...

    def recv(self, size: int, /) -> bytes: ...

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...

    def shutdown(self, how: int, /) -> None: ...

    def getpeername(self) -> Any: ...


class Peer(Protocol):
    """The client's connection, as a handler knows it. `deadline` is in Trio's time."""

    @property
    def sock(self) -> SocketLike: ...

    deadline: float
    closed: bool

    def wait_readable(self) -> Awaitable[None]:
        """Until something was received. Raises `OSError`, `trio.ClosedResourceError`."""
        ...

    def wait_writable(self) -> Awaitable[None]:
        """Until there is room to send. Raises `OSError`, `trio.ClosedResourceError`."""
        ...

    def take_received(self) -> bytes:
        """What was received behind the request; the connection forgets it."""
        ...

    async def write(self, data: bytes) -> None:
        """Send it all. Raises `OSError`, `trio.ClosedResourceError`."""
        ...

    def close(self) -> None:
        """End the connection now. Idempotent."""
        ...


class StreamResponse(ABC):
    """What a connection belongs to from now on."""

    __slots__ = ()

    @abstractmethod
    async def wait_gone(self) -> None:
        """Return when the client has gone or was let go; the connection is closed then."""

    def expire(self) -> bool:
        """The peer's deadline has passed; whether the stream goes on, with another deadline."""
        return False


class DeferredResponse(ABC):
    """An answer that somebody else writes, later."""

    __slots__ = ()

    @property
    @abstractmethod
    def is_written(self) -> bool: ...

    @abstractmethod
    async def wait_written(self) -> None: ...

    def end_early(self) -> None:
        """The client sends no more: answer now with what there is, or else `abandon`. It may still read."""
        self.abandon()

    @abstractmethod
    def abandon(self) -> None:
        """The client has gone; nothing is to be written any more. Does nothing when it was written."""


Answer = bytes | DeferredResponse | StreamResponse
Handler = Callable[[Request, Peer], Awaitable[Answer]]
