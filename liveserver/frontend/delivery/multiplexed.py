"""One connection that viewers of several videos share.

Rules:

1. Each video is watched by a viewer of its own (`MultiplexedViewer`): a position in that channel's log, in a
   segment among others. What is live is written by the fan-out, as everywhere.
2. A message that was written in part stands in the way of all others. The line has its rest then
   (`_rest`), one task waits to get it out, and until it is out the `send` of all viewers here refuses as
   that of a full socket does. So each that has something to send begins to lag, is caught up like
   any lagging viewer, and waits for the connection where others wait for their socket. There is one such
   rest at most, and no queue.
"""

from __future__ import annotations

from abc import abstractmethod
from contextlib import suppress

import trio

from liveserver.cursor import Cursor
from liveserver.edge.answer import Peer, StreamResponse
from liveserver.frontend.delivery.catchup import LEAST_PACE
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
    """A viewer on a line that it shares with those of other videos."""

    __slots__ = ("_connection",)

    def __init__(
        self,
        connection: MultiplexedConnection,
        home: AudienceInterface,
        form: Form,
        position: int,
        seen: Cursor | None,
        serial: int,
    ) -> None:
        super().__init__(connection.peer, home, form, position, seen, serial)
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
        await self._connection.wait_unblocked()  # which knows whether its client is slow
        return True

    def disconnect(self, reason: Reason, retry: int) -> None:
        self._connection.disconnect(reason, retry)


class MultiplexedConnection(StreamResponse):
    """A connection with `viewers`, by their videos."""

    __slots__ = ("_fanout", "_freed", "_rest", "is_gone", "peer", "viewers")

    def __init__(self, peer: Peer, fanout: FanOut) -> None:
        self.peer = peer
        self.viewers: dict[str, MultiplexedViewer] = {}
        self.is_gone = False
        self._fanout = fanout
        self._rest: memoryview | None = None
        self._freed = trio.Event()

    @property
    def is_blocked(self) -> bool:
        """Whether part of a message is still to be sent."""
        return self._rest is not None

    def save_unsent(self, rest: memoryview) -> bool:
        """Take over what is left of a message; False when another one is under way."""
        if self.is_blocked:
            return False
        self._rest = rest
        self._freed = trio.Event()
        for viewer in self.viewers.values():
            viewer.set_send(_refuse)
        self._fanout.push(self)
        return True

    async def flush_rest(self) -> None:
        """Get the rest of a message out. Raises nothing."""
        sock, settings = self.peer.sock, self._fanout.settings
        due = trio.current_time() + settings.slow_timeout + len(self._rest or b"") / LEAST_PACE
        try:
            while self._rest and not self.is_gone:
                timeout = min(settings.slow_timeout, due - trio.current_time())
                if not await peer_writable(self.peer, timeout):
                    if not self.is_gone and not self.peer.closed:
                        self._fanout.counts.slow += 1
                        self.disconnect(Reason.SLOW, random_retry(settings))
                    return
                if not self.is_gone:  # else the rest went out with the last words
                    with suppress(BlockingIOError):
                        self._rest = self._rest[sock.send(self._rest) :]
        except OSError:
            self.peer.close()
            return
        finally:
            self._rest = None
            for viewer in self.viewers.values():
                viewer.set_send(sock.send)
            self._freed.set()

    async def wait_unblocked(self) -> None:
        """Until something else may be sent, or the line has gone."""
        while self.is_blocked:
            await self._freed.wait()

    def say(self, message: bytes) -> None:
        """Send what is this line's own; it must not be stuck."""
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
        """Tell why, and let the connection end; `retry` in milliseconds."""

    def end(self, words: bytes) -> None:
        """Say the last words, and let the client close."""
        rest = self._rest
        self.leave()
        send_last(self.peer, rest or b"", words)

    def leave(self) -> None:
        """Watch nothing any more. Idempotent."""
        self.is_gone = True
        for viewer in self.viewers.values():
            viewer.home.leave(viewer)
        self.viewers.clear()


def _refuse(chunk: bytes | memoryview) -> int:
    """What `send` is while another message is under way."""
    raise BlockingIOError
