"""One viewer of one video, on a connection of its own or on one that is shared with others.

A viewer is a position in the channel's log and a socket to send to: no queue, no timer, no task
beyond the one that waits for it to go. Where it stands with its audience is its `state`:

    JOINING ──seated by a visit──▶ JOINED ──its socket is full──▶ LAGGING
       ▲                                                            │ level again
       └────────────────────────────────────────────────────────────┘
    any state ──it went, or was let go──▶ GONE
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

LAST_WORDS = 1024 * 1024  # bytes of socket buffer for what a viewer receives at the end
CLOSING_SECONDS = 2.0
CHATTER = 16 * 1024  # bytes that a viewer may send, which are ignored

Send = Callable[[bytes | memoryview], int]


def random_retry(settings: FrontendSettings) -> int:
    """How long one viewer is asked to wait before it comes back, in milliseconds; random, so that not
    all come back at once."""
    return round(1000 * random.uniform(settings.retry_min, settings.retry_max))


def attempt(send: Send, data: bytes) -> int:
    """How much of it was taken just now; -1: the socket is broken."""
    try:
        return send(data)
    except BlockingIOError:
        return 0
    except OSError:
        return -1


class State(Enum):
    """Where a viewer stands with its audience."""

    JOINING = auto()
    JOINED = auto()
    LAGGING = auto()
    GONE = auto()


class AudienceInterface(Protocol):
    """What a viewer knows of the audience it belongs to."""

    log: AudienceLog
    is_closed: bool
    counts: FanOutStatistics
    flush_history: FlushHistory

    def leave(self, viewer: Viewer) -> None:
        """It has gone, or is let go."""
        ...

    def on_partial_send(self, viewer: Viewer, chunk: bytes, sent: int) -> None:
        """Its socket took only `sent` bytes of the chunk; -1: the socket is broken."""
        ...

    def move(self, viewer: Viewer, home: AudienceInterface) -> None:
        """Hand it over to another audience of the channel."""
        ...

    def take(self, viewer: Viewer) -> None:
        """Take it over from another audience of the channel."""
        ...

    def rejoin(self, viewer: Viewer) -> None:
        """It was behind, and is level again."""
        ...

    async def wait_appended(self) -> None:
        """Return when the log has grown."""
        ...

    def __hash__(self) -> int: ...


class SegmentInterface(Protocol):
    """The segment that a viewer is in, as far as the viewer knows it."""

    @property
    def position(self) -> int:
        """The position of the viewers that joined."""
        ...

    def remove(self, viewer: Viewer) -> None: ...

    def renew(self) -> None:
        """Note that the `send` of a viewer has changed."""
        ...


class Viewer(ABC):
    """Who is written to. `serial` is the order of resumption, in which sockets are best visited.

    `send` takes bytes as a non-blocking socket does. `seen` is set while the log holds, or still
    expects, events that this viewer saw elsewhere: they are withheld from it, which takes a task of its
    own until both are level. `unsent` is what is left of the chunk on which it fell behind. `until` is when
    its permission ends, in Trio's time; `on_leave` gives back what its being here takes; `grant` is what a
    token was good for, by which viewers are found that it is not good for any more.
    """

    __slots__ = (
        "form",
        "grant",
        "home",
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
        home: AudienceInterface,
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
        self.home = home
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
        """From now on by another `send`."""
        self.send = send
        if self.segment is not None:
            self.segment.renew()

    @property
    @abstractmethod
    def is_blocked(self) -> bool:
        """Whether what is under way has to be waited for before anything else can be sent."""

    @abstractmethod
    def save_unsent(self, chunk: bytes | memoryview, sent: int) -> None:
        """Only so much of the chunk was sent; remember the rest."""

    @abstractmethod
    async def wait_writable(self, timeout: float) -> bool:
        """Until more can be sent; False when nothing could for `timeout` seconds, or the socket is gone."""

    @abstractmethod
    def disconnect(self, reason: Reason, retry: int) -> None:
        """Tell why, and let the connection end; `retry` in milliseconds."""


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
            while heard < CHATTER and not peer.closed:
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
            self.home.leave(self)

    def _cursor(self) -> bytes:
        """Where this viewer stands; empty when the log has forgotten, and the viewer's own last id holds."""
        if self.seen is not None:
            return str(self.seen).encode()
        log, position = self.home.log, self.position
        if self.state is State.JOINED and self.segment is not None:
            position = self.segment.position  # its own is from when it sat down
        return log.cursor_at(position) if position >= log.base else b""

    def disconnect(self, reason: Reason, retry: int) -> None:
        words = self.form.disconnect_frame(self._cursor(), reason, retry)
        self.home.leave(self)
        self.home.counts.count_bye(reason)
        send_last(self.peer, self.unsent or b"", words)


def send_last(peer: Peer, unsent: bytes | memoryview, words: bytes) -> None:
    """End what is said on a connection with `words`, behind what is still `unsent`.

    One that has stopped reading gets it as well: its socket's buffer is enlarged for these last bytes, so
    that they are there when it reads on.
    """
    sock = peer.sock
    peer.deadline = trio.current_time() + CLOSING_SECONDS
    try:
        if unsent:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LAST_WORDS)
        sock.send(b"".join([unsent, words]))
        sock.shutdown(socket.SHUT_WR)
    except OSError:
        peer.close()


async def peer_writable(peer: Peer, timeout: float) -> bool:
    """Until the client takes more; False when it did not within `timeout` seconds, or has gone."""
    with trio.move_on_after(timeout) as scope:
        try:
            await peer.wait_writable()
        except (OSError, trio.ClosedResourceError):
            return False
    return not scope.cancelled_caught
