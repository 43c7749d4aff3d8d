"""One viewer of one video, on a connection of its own or a shared one.

A viewer is a position in the channel's log and a socket: no queue, no timer, no task except the one that
waits for the client to disconnect. Its `state` within the audience:

    JOINING ──a flush──▶ JOINED ──its socket is full──▶ LAGGING
       ▲                                                   │ level again
       └───────────────────────────────────────────────────┘
    any state ──disconnected──▶ GONE
"""

from __future__ import annotations

import math
import random
import socket
from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum, auto
from typing import Protocol

import trio

from liveserver.auth.grant import Grant
from liveserver.config import FrontendSettings
from liveserver.cursor import Cursor
from liveserver.edge.answer import Peer, StreamResponse
from liveserver.frontend.delivery.flush_history import FlushHistory
from liveserver.frontend.delivery.statistics import FanOutStatistics
from liveserver.frontend.history.delayed import AudienceLog
from liveserver.transport.form import Form, Reason

LAST_BUFFER = 1024 * 1024  # bytes of socket buffer for the last frames of a connection
CLOSING_SECONDS = 2.0
READING_PAUSE = 0.05  # seconds within which the socket of a viewer that keeps reading accepts more
MAX_IGNORED = 16 * 1024  # bytes that a viewer may send; they are ignored

Send = Callable[[bytes | memoryview], int]


def random_retry(settings: FrontendSettings) -> int:
    """Return how long a viewer should wait before it reconnects, in milliseconds; random, to spread them."""
    return round(1000 * random.uniform(settings.retry_min, settings.retry_max))


def attempt(send: Send, data: bytes) -> int:
    """Send without blocking; return how many bytes were accepted, -1 if the socket is broken."""
    try:
        return send(data)
    except BlockingIOError:
        return 0
    except OSError:
        return -1


class State(Enum):
    """A viewer's state within its audience."""

    JOINING = auto()
    JOINED = auto()
    LAGGING = auto()
    GONE = auto()


class AudienceInterface(Protocol):
    """An audience, as its viewers use it."""

    log: AudienceLog
    is_closed: bool
    counts: FanOutStatistics
    flush_history: FlushHistory

    def leave(self, viewer: Viewer) -> None:
        """Remove a viewer."""
        ...

    def on_partial_send(self, viewer: Viewer, chunk: bytes, sent: int) -> None:
        """Handle a socket that accepted only `sent` bytes of the chunk; -1: it is broken."""
        ...

    def move(self, viewer: Viewer, audience: AudienceInterface) -> None:
        """Hand a viewer over to another audience of the channel."""
        ...

    def take(self, viewer: Viewer) -> None:
        """Take a viewer over from another audience of the channel."""
        ...

    def note_reading(self, viewer: Viewer, now: float) -> None:
        """Note that a lagging viewer's socket has just accepted more."""
        ...

    def rejoin(self, viewer: Viewer) -> None:
        """Add a viewer that was behind and is level again."""
        ...

    async def wait_appended(self) -> None:
        """Wait until the log has grown."""
        ...

    def __hash__(self) -> int: ...


class SegmentInterface(Protocol):
    """A segment, as its viewers use it."""

    @property
    def position(self) -> int:
        """The position of the viewers that joined."""
        ...

    def remove(self, viewer: Viewer) -> None: ...

    def reset_sends(self) -> None:
        """Discard the list of `send`s: a viewer's has changed."""
        ...


class Viewer(ABC):
    """A viewer. `serial` numbers viewers in order of arrival, in which sockets are best written to.

    `send` accepts bytes as a non-blocking socket does. `seen` is set while the log has, or still expects,
    events that this viewer received elsewhere: these are withheld, in a task of its own, until both are
    level. `unsent` is the rest of the chunk on which it fell behind. `until` is when its grant expires, in
    Trio's time; `on_leave` releases its limits; `grant` is its token's, by which revoked viewers are found.
    """

    __slots__ = (
        "audience",
        "form",
        "grant",
        "on_leave",
        "peer",
        "position",
        "seen",
        "segment",
        "send",
        "serial",
        "state",
        "unsent",
        "until",
    )

    def __init__(
        self,
        peer: Peer,
        audience: AudienceInterface,
        form: Form,
        position: int,
        seen: Cursor | None,
        serial: int,
    ) -> None:
        self.until = math.inf
        self.on_leave: Callable[[], None] | None = None
        self.grant: Grant | None = None
        self.peer = peer
        self.send: Send = peer.sock.send
        self.audience = audience
        self.form = form
        self.position = position
        self.seen = seen
        self.serial = serial
        self.state = State.JOINING
        self.segment: SegmentInterface | None = None
        self.unsent: memoryview | None = None

    @property
    def is_gone(self) -> bool:
        return self.state is State.GONE

    def set_send(self, send: Send) -> None:
        """Replace `send`."""
        self.send = send
        if self.segment is not None:
            self.segment.reset_sends()

    @property
    @abstractmethod
    def is_blocked(self) -> bool:
        """Whether a partly sent message has to be completed before another can be sent."""

    @abstractmethod
    def save_unsent(self, chunk: bytes | memoryview, sent: int) -> None:
        """Keep the part of the chunk after the first `sent` bytes."""

    @abstractmethod
    async def wait_writable(self, timeout: float) -> bool:
        """Wait until more can be sent; return False after `timeout` seconds, or if the socket is closed."""

    @abstractmethod
    def disconnect(self, reason: Reason, retry: int) -> None:
        """Send `bye`, and end the connection; `retry` is in milliseconds."""


class StreamViewer(Viewer, StreamResponse):
    """A viewer on a connection of its own."""

    __slots__ = ()

    @property
    def is_blocked(self) -> bool:
        return bool(self.unsent)

    def save_unsent(self, chunk: bytes | memoryview, sent: int) -> None:
        self.unsent = memoryview(chunk)[sent:]

    async def wait_writable(self, timeout: float) -> bool:
        return await peer_writable(self.peer, timeout)

    async def wait_gone(self) -> None:
        peer = self.peer
        heard = 0
        try:
            while heard < MAX_IGNORED and not peer.closed:
                await peer.wait_readable()
                try:
                    data = peer.sock.recv(4096)
                except BlockingIOError:
                    continue
                if not data:
                    return
                heard += len(data)
        except (OSError, trio.ClosedResourceError):
            return
        finally:
            self.audience.leave(self)

    def _cursor(self) -> bytes:
        """Return the viewer's cursor; empty if its position is no longer in the log, so its last id
        counts.
        """
        if self.seen is not None:
            return str(self.seen).encode()
        log, position = self.audience.log, self.position
        if self.state is State.JOINED and self.segment is not None:
            position = self.segment.position  # its own is the one at which it joined
        return log.cursor_at(position) if position >= log.base else b""

    def disconnect(self, reason: Reason, retry: int) -> None:
        frame = self.form.disconnect_frame(self._cursor(), reason, retry)
        self.audience.leave(self)
        self.audience.counts.count_bye(reason)
        send_last(self.peer, self.unsent or b"", frame)


def send_last(peer: Peer, unsent: bytes | memoryview, frame: bytes) -> None:
    """Send `unsent` and the last `frame` of a connection, and shut it down.

    The socket's buffer is enlarged for these last bytes, so that a client that has stopped reading finds
    them when it reads on.
    """
    sock = peer.sock
    peer.deadline = trio.current_time() + CLOSING_SECONDS
    try:
        if unsent:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LAST_BUFFER)
        sock.send(b"".join([unsent, frame]))
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        peer.close()


async def peer_writable(peer: Peer, timeout: float) -> bool:
    """Wait until the client accepts more; return False after `timeout` seconds, or if it has disconnected."""
    with trio.move_on_after(timeout) as scope:
        try:
            await peer.wait_writable()
        except (OSError, trio.ClosedResourceError):
            return False
    return not scope.cancelled_caught
