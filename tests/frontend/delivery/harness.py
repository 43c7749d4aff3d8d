"""An audience whose fan-out does only what a test does, and sockets with a bounded room."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Iterable
from typing import Any

import trio

from liveserver.client.sse import SSEEvent, SSEParser
from liveserver.cursor import Cursor
from liveserver.edge.answer import SocketLike
from liveserver.event import Batch
from liveserver.frontend.delivery.audience import Audience
from liveserver.frontend.delivery.expiry import Expirable
from liveserver.frontend.delivery.flush_history import Delays
from liveserver.frontend.delivery.long_poll import PollWaiter
from liveserver.frontend.delivery.scheduler import DelayedTip
from liveserver.frontend.delivery.segment import Segment
from liveserver.frontend.delivery.statistics import FanOutStatistics
from liveserver.frontend.delivery.viewer import StreamViewer, Viewer
from liveserver.frontend.history.log import ChannelLog
from liveserver.transport.sse import SSE_HTTP10


class Scheduler:
    """A fan-out that flushes only what the test flushes."""

    segment_size = 10
    poll_bytes = 1000
    trace_flushes = 10

    def __init__(self, max_write: int = 1000) -> None:
        self.max_write = max_write
        self.counts = FanOutStatistics()
        self.delays = Delays()
        self.lagging: list[Viewer] = []
        self.answers: list[bytes] = []

    def schedule(self, segments: Iterable[Segment]) -> None: ...

    def wake(self, segment: Segment) -> None: ...

    def hold(self, segment: Segment, until: float) -> None: ...

    def drop(self, segment: Segment) -> None: ...

    def add_expiry(self, expirable: Expirable) -> None: ...

    def remove_expiry(self, expirable: Expirable) -> None: ...

    def catch_up(self, viewer: Viewer) -> None:
        self.lagging.append(viewer)

    def answer(self, waiter: PollWaiter, response: bytes) -> None:
        self.answers.append(response)

    def add_delayed(self, delayed: DelayedTip) -> None: ...

    def drop_delayed(self, delayed: DelayedTip) -> None: ...

    def advance_at(self, due: float) -> None: ...


class Socket:
    """Takes `room` bytes, and keeps them."""

    def __init__(self) -> None:
        self.sent = b""
        self.room = math.inf

    def send(self, data: bytes | memoryview, /) -> int:
        if not self.room:
            raise BlockingIOError
        size = int(min(len(data), self.room))
        self.room -= size
        self.sent += bytes(data[:size])
        return size

    def recv(self, size: int, /) -> bytes:
        raise BlockingIOError

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...

    def shutdown(self, how: int, /) -> None: ...

    def getpeername(self) -> Any:
        return "127.0.0.1"

    def events(self) -> list[SSEEvent]:
        return SSEParser().feed(self.sent)


class Peer:
    """A connection over such a socket."""

    def __init__(self) -> None:
        self.socket = Socket()
        self.deadline = 0.0
        self.closed = False

    @property
    def sock(self) -> SocketLike:
        return self.socket

    def wait_readable(self) -> Awaitable[None]:
        raise NotImplementedError

    def wait_writable(self) -> Awaitable[None]:
        raise NotImplementedError

    def take_received(self) -> bytes:
        return b""

    async def write(self, data: bytes) -> None: ...

    def close(self) -> None:
        self.closed = True


class Room:
    """An audience at a log of `events` events, and its viewers."""

    def __init__(self, events: int, max_write: int = 1000) -> None:
        self.log = ChannelLog("v", 1000, 600.0, Cursor.parse("dc1-aaa-0"))
        self.append(1, events)
        self.scheduler = Scheduler(max_write)
        self.audience = Audience(self.log, self.scheduler)
        self._serial = 0
        self.left = trio.Event()  # a poll has released its limits

    def append(self, first: int, count: int) -> None:
        lines = [b'like {"n":%d}' % n for n in range(first, first + count)]
        self.log.append(Batch("v", "aaa", first, "dc1", "aaa", first, lines), 0, 0.0)

    def join(self, position: int) -> tuple[StreamViewer, Socket]:
        peer = Peer()
        self._serial += 1
        viewer = StreamViewer(peer, self.audience, SSE_HTTP10, position, None, self._serial)
        self.audience.admit(viewer, b":\n")
        return viewer, peer.socket

    def flush(self) -> None:
        for segment in self.audience.segments():
            segment.flush()
