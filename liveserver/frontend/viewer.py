"""One viewer of one video, on a stream.

A viewer is a position in the channel's log and a socket to send to: no queue, no timer, no task
beyond the one that waits for it to go. Where it stands with its audience is its `state`:

    JOINING ──seated by a visit──▶ SEATED ──its socket is full──▶ LAGGING
       ▲                                                            │ level again
       └────────────────────────────────────────────────────────────┘
    any state ──it went, or was let go──▶ GONE
"""

from __future__ import annotations

import socket
from enum import Enum, auto
from typing import TYPE_CHECKING

import trio

from liveserver.cursor import Cursor
from liveserver.edge.connection import Connection, Stream
from liveserver.transport.form import Bye, Form, Reason, encode

if TYPE_CHECKING:
    from liveserver.frontend.channel import Channel
    from liveserver.frontend.segment import StreamSegment

LAST_WORDS = 1024 * 1024  # bytes of socket buffer for what a viewer is told at the end
CLOSING_SECONDS = 2.0
CHATTER = 16 * 1024  # bytes a viewer may send although nobody listens


class State(Enum):
    """Where a viewer stands with its audience."""

    JOINING = auto()
    SEATED = auto()
    LAGGING = auto()
    GONE = auto()


class Viewer(Stream):
    """A viewer on a stream. `serial` is the order of arrival, in which sockets are best visited.

    `seen` is set while the log holds, or still expects, events that this viewer saw elsewhere: they
    are withheld from it, which takes a task of its own until both are level.
    """

    __slots__ = (
        "channel",
        "connection",
        "form",
        "position",
        "seen",
        "segment",
        "send",
        "serial",
        "state",
        "unsent",
    )

    def __init__(
        self,
        connection: Connection,
        channel: Channel,
        form: Form,
        position: int,
        seen: Cursor | None,
        serial: int,
    ) -> None:
        self.connection = connection
        self.send = connection.sock.send
        self.channel = channel
        self.form = form
        self.position = position
        self.seen = seen
        self.serial = serial
        self.state = State.JOINING
        self.segment: StreamSegment | None = None
        self.unsent: memoryview | None = None  # of the chunk on which it fell behind

    @property
    def is_gone(self) -> bool:
        return self.state is State.GONE

    async def wait_gone(self) -> None:
        sock = self.connection.sock
        heard = 0
        try:
            while heard < CHATTER and not self.connection.closed:
                await trio.lowlevel.wait_readable(sock)
                try:
                    data = sock.recv(4096)
                except BlockingIOError:
                    continue
                if not data:
                    return
                heard += len(data)
        except (OSError, trio.ClosedResourceError):
            return
        finally:
            self.channel.audience.leave(self)

    def _cursor(self) -> bytes:
        """Where this viewer stands; empty when the log has forgotten, and the viewer's own last id holds."""
        if self.seen is not None:
            return str(self.seen).encode()
        log = self.channel.log
        return log.cursor_at(self.position) if self.position >= log.base else b""

    def say_bye(self, reason: Reason, retry: int) -> None:
        """Tell why, end the response, and let the connection end; `retry` in milliseconds.

        Also a viewer that has stopped reading is told: its socket's buffer is enlarged for these
        last bytes, so that they are there when it reads on.
        """
        payload = self.form.retry(retry) + self.form.frame(
            self._cursor(), b"bye", encode(Bye(reason.word, reason.reconnect))
        )
        sock = self.connection.sock
        self.channel.audience.leave(self)
        self.connection.deadline = trio.current_time() + CLOSING_SECONDS
        try:
            if self.unsent:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LAST_WORDS)
            sock.send(b"".join([self.unsent or b"", self.form.envelope(payload), self.form.end]))
            sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.connection.close()
