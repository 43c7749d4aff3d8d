"""A connection and an inbox to be fed, without sockets and without Redis."""

from __future__ import annotations

import re
import socket
from typing import Any, cast

import trio

from liveserver.bus.interface import Head, Slice
from liveserver.bus.redis.listener import Listener
from liveserver.config import EdgeSettings, HistorySettings
from liveserver.cursor import Cursor
from liveserver.edge.connection import Connection
from liveserver.edge.router import Router
from liveserver.edge.server import EdgeServer
from liveserver.edge.server_interface import ConnectionInterface
from liveserver.event import Batch, MalformedBatch
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.delivery.poll_pages import PollPages
from liveserver.frontend.delivery.statistics import FanOutStatistics
from liveserver.transport.ndjson import NDJSON
from liveserver.transport.sse import SSE
from liveserver.transport.websocket import SOCKET
from tests.edge.harness import echo

_CHANGING = re.compile(
    rb"date: [^\r]*\r\n|HTTP/1\.1 100 Continue\r\n\r\n|x-request-id: [^\r]*\r\n|,\"request_id\":\"[^\"]*\""
)


class _NoSocket:
    """What a connection does with its socket beside receiving and sending."""

    def __init__(self) -> None:
        self.said = bytearray()

    def recv(self, size: int) -> bytes:
        """The pieces come later."""
        raise BlockingIOError

    def send(self, data: bytes | memoryview) -> int:
        self.said += data
        return len(data)

    def shutdown(self, how: int) -> None:
        """Nothing is left to be said."""


class FedConnection(Connection):
    """A connection whose client sends these pieces and ends."""

    def __init__(self, pieces: list[bytes], server: EdgeServer) -> None:
        super().__init__(cast(socket.socket, _NoSocket()), server)
        self.pieces = list(pieces)

    @property
    def said(self) -> bytes:
        return bytes(cast(_NoSocket, self.sock).said)

    async def receive(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return self.pieces.pop(0) if self.pieces else b""

    def close(self) -> None:
        self.closed = True


class _Edge(EdgeServer):
    handed_over = b""

    async def hand_over(self, connection: ConnectionInterface, received: bytes) -> None:
        assert isinstance(connection, FedConnection)
        connection.release()
        self.handed_over = received + connection.take_received() + b"".join(connection.pieces)

    def count_failure(self, request_id: str = "", what: str = "") -> None:
        raise  # it is being handled: a find


async def _nowhere(sock: socket.socket, received: bytes) -> None:
    raise AssertionError("it is handed over by another way")


def served(pieces: list[bytes]) -> tuple[bytes, bytes]:
    """What is answered to these pieces, and what is handed over, all of it."""

    async def main() -> tuple[bytes, bytes]:
        router = Router()
        for method in ("GET", "POST"):
            router.add(method, "/echo", echo)
        router.add("POST", "/v1/videos/{video}/events", echo)
        edge = _Edge(EdgeSettings(max_header_size=4096, max_body=4096), router, _nowhere)  # type: ignore[arg-type]
        connection = FedConnection(pieces, edge)
        edge.connections.add(connection)
        await connection.run()
        assert not edge.connections
        return _CHANGING.sub(b"", connection.said), _CHANGING.sub(b"", edge.handed_over)

    return trio.run(main)


class _Messages:
    """A pub/sub connection on which all of these have come."""

    def __init__(self, payloads: list[bytes]) -> None:
        self._payloads = payloads

    def read_response(self) -> list[bytes]:
        return [b"message", b"ls:inbox:n", self._payloads.pop(0)]

    def can_read(self, timeout: float) -> bool:
        return bool(self._payloads)


class _NoScheduler:
    """A fan-out without viewers."""

    trace_flushes = 10
    poll_bytes = 1000
    delays: Any = None

    def __init__(self) -> None:
        self.counts = FanOutStatistics()

    def schedule(self, segments: object) -> None:
        """There are none."""


CAPACITY = 32  # batches that wait, and events of the log


def listen(data: bytes) -> None:
    """Have an inbox's messages, with NUL between them, taken in, and everything rendered that got through."""

    async def main() -> None:
        listener = Listener(cast(Any, None), "ls:inbox:n", CAPACITY, lambda _: None)
        listener._subscription._read_messages(_Messages(data.split(b"\0")))
        statistics = listener.statistics()
        assert statistics.malformed + statistics.received <= data.count(b"\0") + 1
        listener.mailbox.mark_missed()
        history = HistorySettings(max_events=CAPACITY, ephemeral_events=CAPACITY)
        channel = Channel("v", cast(Any, _NoScheduler()), history)
        channel.open(Head("e", 0, Cursor()))
        assert channel.drain_stash()
        taken = await anext(listener.mailbox)
        assert len(taken) <= CAPACITY
        for each in taken:
            try:
                each.check()
            except MalformedBatch:
                continue
            if not channel.append_batch(each):
                _mend(channel, each)
            _show(channel)

    trio.run(main)


def _mend(channel: Channel, batch: Batch) -> None:
    """As if the log had just this batch."""
    channel.is_backfilling = True
    cursor = channel.log.cursor.advanced(
        batch.origin, batch.origin_epoch, batch.number + len(batch.lines) - 1
    )
    channel.apply_slice(Slice(Head(batch.epoch, batch.last, cursor), batch.first, [batch]))
    channel.drain_stash()
    channel.is_backfilling = False


def _show(channel: Channel) -> None:
    log = channel.log
    assert log.tip - log.base == len(log.items) <= 2 * CAPACITY + 1000
    for form in (SSE, NDJSON, SOCKET):
        position = log.base
        while position < log.tip:
            chunk, position = log.frames(form).write(position, 1000)
            assert chunk
    for cursor in (Cursor(), log.floor, log.cursor, Cursor.parse_trusted("dc1-e-1~dc2-f-3")):
        place = log.locate(cursor)
        assert log.kept_from <= place.position <= log.tip  # before `base`, of the others than likes
        PollPages(log, 1000).answer(place.position, place.seen, 10, is_cut=place.is_cut, empty=True)
