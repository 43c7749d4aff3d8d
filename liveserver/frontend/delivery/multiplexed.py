"""A connection shared by the viewers of several videos.

Rules:

1. Each subscription is a viewer of its own (`MultiplexedViewer`): a position in that channel's log, in a
   segment like any other. Live events are written by the fan-out.
2. A partly written message blocks all others. The connection keeps its rest (`_rest`), one task writes it,
   and until then the `send` of all its viewers raises `BlockingIOError` like that of a full socket. So each
   viewer with something to send lags, catches up like any lagging viewer, and waits for the connection
   instead of a socket. There is at most one such rest, and no queue.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress

import trio

from liveserver.cursor import Cursor
from liveserver.edge.answer import Peer, StreamResponse
from liveserver.frontend.delivery.catchup import MIN_WRITE_RATE
from liveserver.frontend.delivery.fanout import FanOut
from liveserver.frontend.delivery.viewer import (
    AudienceInterface,
    Viewer,
    peer_writable,
    random_retry,
    send_last,
)
from liveserver.transport.form import Form, Reason


class MultiplexedViewer(Viewer):
    """A viewer on a connection that it shares with viewers of other videos."""

    __slots__ = ("_connection",)

    def __init__(
        self,
        connection: MultiplexedConnection,
        audience: AudienceInterface,
        form: Form,
        position: int,
        seen: Cursor | None,
        serial: int,
    ) -> None:
        super().__init__(connection.peer, audience, form, position, seen, serial)
        self._connection = connection
        if connection.is_blocked:
            self.send = _refuse

    @property
    def is_blocked(self) -> bool:
        return bool(self.unsent) or self._connection.is_blocked

    def save_unsent(self, chunk: bytes | memoryview, sent: int) -> None:
        rest = memoryview(chunk)[sent:]
        self.unsent = None if not rest or self._connection.save_unsent(rest) else rest

    async def wait_writable(self, timeout: float) -> bool:
        await self._connection.wait_unblocked()  # the connection disconnects slow clients
        return True

    def disconnect(self, reason: Reason, retry: int) -> None:
        self._connection.disconnect(reason, retry)

    def remove(self, video: str, reason: Reason, retry: int) -> None:
        """End this viewer's subscription; the connection too, if it has no other or is blocked."""
        connection = self._connection
        if len(connection.viewers) > 1 and not connection.is_blocked and not connection.is_gone:
            del connection.viewers[video]
            self.audience.leave(self)
            self.audience.counts.count_bye(reason)
            connection.send_removed(video, reason)
        else:
            connection.disconnect(reason, retry)


class MultiplexedConnection(StreamResponse):
    """A connection with `viewers`, by their videos."""

    __slots__ = ("_fanout", "_freed", "_rest", "is_gone", "peer", "viewers")

    def __init__(self, peer: Peer, fanout: FanOut) -> None:
        self.peer = peer
        self.viewers: dict[str, MultiplexedViewer] = {}
        self.is_gone = False
        self._fanout = fanout
        self._rest: memoryview | None = None
        self._freed: trio.Event | None = None  # set once the rest is written

    @property
    def is_blocked(self) -> bool:
        """Whether a message was sent only in part."""
        return self._rest is not None

    def save_unsent(self, rest: memoryview) -> bool:
        """Keep the rest of a message; return False if another message is incomplete."""
        if self.is_blocked:
            return False
        self._rest = rest
        self._freed = trio.Event()
        for viewer in self.viewers.values():
            viewer.set_send(_refuse)
        self._fanout.push(self)
        return True

    async def flush_rest(self) -> None:
        """Write the rest of a message. Raises nothing."""
        sock, settings = self.peer.sock, self._fanout.settings
        due = trio.current_time() + settings.slow_timeout + len(self._rest or b"") / MIN_WRITE_RATE
        try:
            while self._rest and not self.is_gone:
                timeout = min(settings.slow_timeout, due - trio.current_time())
                if not await peer_writable(self.peer, timeout):
                    if not self.is_gone and not self.peer.closed:
                        self._fanout.counts.slow += 1
                        self.disconnect(Reason.SLOW, random_retry(settings))
                    return
                if not self.is_gone:  # otherwise the rest was sent with the last frame
                    with suppress(BlockingIOError):
                        self._rest = self._rest[sock.send(self._rest) :]
        except OSError:
            self.peer.close()
            return
        finally:
            self._rest = None
            for viewer in self.viewers.values():
                viewer.set_send(sock.send)
            if self._freed is not None:
                self._freed.set()
                self._freed = None

    async def wait_unblocked(self) -> None:
        """Wait until another message may be sent, or the connection is closed."""
        while self._freed is not None:
            await self._freed.wait()

    def send_message(self, message: bytes) -> None:
        """Send a message of the connection itself, which must not be blocked."""
        assert not self.is_blocked
        try:
            sent = self.peer.sock.send(message)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.peer.close()
            return
        if sent != len(message):
            self.save_unsent(memoryview(message)[sent:])

    @abstractmethod
    def disconnect(self, reason: Reason, retry: int) -> None:
        """Send `bye`, and end the connection; `retry` is in milliseconds."""

    @abstractmethod
    def send_removed(self, video: str, reason: Reason) -> None:
        """Send why a video is not watched here any more; the connection must not be blocked."""

    def end(self, frame: bytes) -> None:
        """Send the last message, and shut the connection down."""
        rest = self._rest
        self.leave()
        send_last(self.peer, rest or b"", frame)

    def leave(self) -> None:
        """Remove all viewers. Idempotent."""
        self.is_gone = True
        for viewer in self.viewers.values():
            viewer.audience.leave(viewer)
        self.viewers.clear()


def _refuse(chunk: bytes | memoryview) -> int:
    """Refuse to send, as a full socket does; the viewers' `send` while a message is incomplete."""
    raise BlockingIOError
