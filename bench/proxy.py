"""A TCP hop that misbehaves on command, for benches and tests: put it in front of Redis or of a node.

Rules:

1. A command applies to the existing connections and, where that makes sense, to later ones, until `heal`.
2. Bytes are passed on in order, or lost with their connection, as by a network.
3. One direction can be cut in the middle of a message: `cut` counts bytes, not messages.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Literal

import trio

HOST = "127.0.0.1"
CHUNK = 64 * 1024
UNDER_WAY = 1_000  # pieces that are delayed at a time
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER with no time to linger: close sends RST

Direction = Literal["up", "down"]  # towards the server; towards the client


class Proxy:
    """A hop to `127.0.0.1:target` that listens on a port of its own. Get one from `open_proxy`."""

    def __init__(self, target: int, nursery: trio.Nursery) -> None:
        self.target = target
        self.port = 0
        self._nursery = nursery
        self._listening = trio.CancelScope()
        self._pairs: set[_Pair] = set()
        self._flowing = trio.Event()
        self._flowing.set()
        self._delay = 0.0
        self._budget: dict[Direction, int | None] = {"up": None, "down": None}
        self._is_refusing = False
        self._reserved: socket.socket | None = None

    async def listen(self) -> None:
        """Accept connections; return once that has begun."""
        if self._reserved is None:
            listeners = await trio.open_tcp_listeners(self.port, host=HOST)
        else:
            self._reserved.listen()
            listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(self._reserved))]
            self._reserved = None
        self.port = listeners[0].socket.getsockname()[1]
        self._listening = trio.CancelScope()
        self._nursery.start_soon(self._accept, listeners, self._listening)

    @property
    def connections(self) -> int:
        return len(self._pairs)

    def delay(self, seconds: float) -> None:
        """Delay every piece by so many seconds."""
        self._delay = seconds

    def stall(self) -> None:
        """Accept, but read no more: the sender fills the kernel's buffers and waits."""
        if self._flowing.is_set():
            self._flowing = trio.Event()

    def reset(self) -> None:
        """Break all existing connections with RST; new ones work."""
        for pair in list(self._pairs):
            pair.reset()

    def half_close(self) -> None:
        """End the server's direction of all existing connections; the client's still passes."""
        for pair in list(self._pairs):
            pair.half_close()

    def cut(self, after: int, direction: Direction) -> None:
        """Pass on so many more bytes in that direction, then reset the connection of the last one."""
        self._budget[direction] = after

    async def refuse(self) -> None:
        """Stop listening: new connections are refused, existing ones continue."""
        self._is_refusing = True
        self._listening.cancel()
        await trio.lowlevel.checkpoint()  # the listener closes on its way out
        # Bound, so that no other process takes the port meanwhile; connecting is refused all the same.
        self._reserved = socket.socket()
        self._reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        for attempt in range(100):
            try:
                self._reserved.bind((HOST, self.port))
                break
            except OSError:
                if attempt == 99:
                    raise
                await trio.sleep(0.01)  # the listener is not closed yet

    async def heal(self) -> None:
        """Forward normally again; broken connections are not repaired."""
        self._delay = 0.0
        self._budget = {"up": None, "down": None}
        self._flowing.set()
        if self._is_refusing:
            self._is_refusing = False
            await self.listen()

    async def _accept(self, listeners: list[trio.SocketListener], scope: trio.CancelScope) -> None:
        with scope:
            await trio.serve_listeners(self._carry, listeners, handler_nursery=self._nursery)

    async def _carry(self, client: trio.SocketStream) -> None:
        pair = _Pair(client)
        self._pairs.add(pair)
        try:
            await self._flowing.wait()
            with pair.scope:
                pair.server = await trio.open_tcp_stream(HOST, self.target)
                async with trio.open_nursery() as nursery:
                    nursery.start_soon(self._copy, pair, "up", client, pair.server)
                    nursery.start_soon(self._copy, pair, "down", pair.server, client)
        except OSError:
            pair.reset()  # the target refuses connections
        finally:
            self._pairs.discard(pair)
            await pair.aclose()

    async def _copy(
        self, pair: _Pair, direction: Direction, source: trio.SocketStream, sink: trio.SocketStream
    ) -> None:
        """Copy pieces; delayed ones are in transit, as on a long cable, and do not delay those behind
        them.
        """
        into, out_of = trio.open_memory_channel[tuple[float, bytes]](UNDER_WAY)
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._deliver, pair, direction, out_of, sink)
                while True:
                    await self._flowing.wait()
                    chunk = await source.receive_some(CHUNK)
                    await into.send((trio.current_time() + self._delay, chunk))
                    if not chunk:
                        return
        except* (trio.BrokenResourceError, trio.ClosedResourceError):
            pair.reset()

    async def _deliver(
        self,
        pair: _Pair,
        direction: Direction,
        chunks: trio.MemoryReceiveChannel[tuple[float, bytes]],
        sink: trio.SocketStream,
    ) -> None:
        async for due, chunk in chunks:
            await trio.sleep_until(due)
            await self._flowing.wait()
            if not chunk:
                await sink.send_eof()
                return
            budget = self._budget[direction]
            if budget is not None:
                self._budget[direction] = budget - len(chunk)
                if len(chunk) >= budget:
                    self._budget[direction] = None
                    await sink.send_all(chunk[:budget])
                    pair.reset()
                    return
            await sink.send_all(chunk)


class _Pair:
    """A client's connection, and the one to the target."""

    def __init__(self, client: trio.SocketStream) -> None:
        self.client = client
        self.server: trio.SocketStream | None = None
        self.scope = trio.CancelScope()

    def reset(self) -> None:
        for stream in (self.client, self.server):
            if stream is not None and stream.socket.fileno() >= 0:
                stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
                stream.socket.close()
        self.scope.cancel()

    def half_close(self) -> None:
        if self.client.socket.fileno() >= 0 and self.server is not None:
            try:
                self.client.socket.shutdown(socket.SHUT_WR)
                self.server.socket.shutdown(socket.SHUT_RD)
            except OSError:
                self.reset()

    async def aclose(self) -> None:
        with trio.CancelScope(shield=True):
            for stream in (self.client, self.server):
                if stream is not None:
                    await trio.aclose_forcefully(stream)


@asynccontextmanager
async def open_proxy(target: int) -> AsyncIterator[Proxy]:
    """Yield a proxy that listens while the block lasts."""
    async with trio.open_nursery() as nursery:
        proxy = Proxy(target, nursery)
        await proxy.listen()
        yield proxy
        nursery.cancel_scope.cancel()
