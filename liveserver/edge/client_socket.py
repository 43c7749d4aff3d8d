"""The socket of a client: bytes in and out, in time."""

from __future__ import annotations

import math
import socket
from collections.abc import Awaitable

import trio

from liveserver.edge.server_interface import ServerInterface

RECEIVE_BYTES = 64 * 1024
LINGER_SECONDS = 2.0  # for a client that is still sending a refused request


class ClientSocket:
    """A socket with a `deadline`, in Trio's time, that the server sweeps."""

    __slots__ = ("_server", "closed", "deadline", "sock")

    def __init__(self, sock: socket.socket, server: ServerInterface) -> None:
        self.sock = sock
        self.closed = False
        self.deadline = trio.current_time() + server.settings.header_timeout
        self._server = server

    async def receive(self) -> bytes:
        """Return the client's next bytes; empty at EOF. Raises `OSError`, `trio.ClosedResourceError`."""
        while True:
            if self.closed:
                raise trio.ClosedResourceError
            await trio.lowlevel.wait_readable(self.sock)
            try:
                return self.sock.recv(RECEIVE_BYTES)
            except BlockingIOError:
                continue

    async def write(self, data: bytes) -> None:
        """Send all of the data. Raises `OSError`, `trio.ClosedResourceError`."""
        rest: bytes | memoryview = data
        latest = math.inf
        while True:
            try:
                sent = self.sock.send(rest)
            except BlockingIOError:
                sent = 0
            if sent == len(rest):
                return
            rest = memoryview(rest)
            settings, now = self._server.settings, trio.current_time()
            if latest == math.inf:  # a client that reads very slowly must not keep it in memory for hours
                latest = now + settings.write_timeout + len(rest) / settings.min_write_rate
            rest = rest[sent:]
            self.deadline = min(latest, now + settings.write_timeout)
            await trio.lowlevel.wait_writable(self.sock)

    def wait_readable(self) -> Awaitable[None]:
        return trio.lowlevel.wait_readable(self.sock)  # noqa: ASYNC105  # a frame less for each viewer

    def wait_writable(self) -> Awaitable[None]:
        return trio.lowlevel.wait_writable(self.sock)  # noqa: ASYNC105  # a frame less for each viewer

    def close(self) -> None:
        """Close the socket; tasks that wait for it get `trio.ClosedResourceError`. Idempotent."""
        if not self.closed:
            self.closed = True
            trio.lowlevel.notify_closing(self.sock)
            self.sock.close()

    def release(self) -> socket.socket:
        """Return the socket, which is no longer closed here, nor swept."""
        self.closed = True
        self.deadline = math.inf
        return self.sock

    async def linger(self) -> None:
        """Let the client read a refusal before the reset that unread bytes would cause."""
        self.sock.shutdown(socket.SHUT_WR)
        with trio.move_on_after(LINGER_SECONDS):
            while await self.receive():
                pass
