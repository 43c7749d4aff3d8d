"""A thread that listens to one pub/sub channel and fills a mailbox, whatever happens to Redis.

Rules:

1. The thread ends only when `stop` is called. After any failure it connects again, with exponential
   backoff and jitter so that nodes do not all reconnect at once.
2. Each time listening has resumed, the mailbox is notified that something may have been missed (not the
   first time).
3. A stalled connection is treated as broken: a quiet connection is checked with a PING, and closed if
   no reply arrives within the timeout.
4. Messages that are neither a batch nor a viewer count are counted and dropped.
5. A cluster's server that begins a new incarnation publishes so on a channel (incarnation.lua). That
   is treated as if listening had resumed, for this process may have received what the server has lost.
6. Messages that arrive together are passed on together: Trio is woken once.
"""

from __future__ import annotations

import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
import trio
from redis.exceptions import ConnectionError as BrokenLink

from liveserver.backoff import Backoff
from liveserver.bus.mailbox import Mailbox
from liveserver.bus.redis.connection import Link
from liveserver.errors import BusError
from liveserver.event import Batch, MalformedBatch
from liveserver.instruments import gauge, total
from liveserver.viewer_count import MARK, MalformedViewerCount, ViewerCount

LIVES = "ls:life"  # a channel
MEMBER = "ls:member:"  # with the process' name, the channel that shows that it is listening
TICK = 0.1  # seconds between two checks whether to end
TOGETHER = 1_000  # messages passed on at once, at most
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds; see membership.py
LEAVE = 0.4  # seconds for the thread to end; one that is blocked in Redis ends by its own timeout


class ListenerStatistics(msgspec.Struct, frozen=True):
    """The state of one pub/sub connection, and its counts since the start."""

    channel: str
    listening: Annotated[bool, gauge("Whether this pub/sub channel is being listened to.")]
    restarts: Annotated[int, total("Times listening was resumed after an interruption.")]
    malformed: Annotated[
        int, total("Malformed messages, dropped. Does another program publish to this channel?")
    ]
    received: Annotated[int, total("Batches received.")]
    dropped: Annotated[
        int, total("Batches dropped as the inbox was full (bus.inbox_batches); read from the log instead.")
    ]
    error: str  # the last one; empty when there was none


class Listener:
    """Listens to `channel` until `stop`. Use `listening`, which starts and stops it."""

    def __init__(
        self,
        link: Link,
        channel: str,
        capacity: int,
        on_viewer_count: Callable[[ViewerCount], None],
        member: str = "",
        on_listening: Callable[[], None] = lambda: None,
    ) -> None:
        self.mailbox = Mailbox(capacity, trio.lowlevel.current_trio_token(), on_viewer_count)
        self.begun = trio.Event()  # listening for the first time
        self.ended = trio.Event()
        self._link = link
        self._channel = channel
        self._member = MEMBER + member  # subscribed to, to show that this process is listening
        self._on_listening = on_listening
        self._trio_token = trio.lowlevel.current_trio_token()
        self._stop = threading.Event()
        # Written by the thread, read by statistics().
        self._listening = False
        self._starts = 0
        self._malformed = 0
        self._error = ""

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"listen {self._channel}", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()
        self.mailbox.close()

    def error(self) -> str:
        """Return the last error; empty if there was none."""
        return self._error

    def statistics(self) -> ListenerStatistics:
        mailbox = self.mailbox.statistics()
        return ListenerStatistics(
            channel=self._channel,
            listening=self._listening,
            restarts=max(0, self._starts - 1),
            malformed=self._malformed,
            received=mailbox.received,
            dropped=mailbox.dropped,
            error=self._error,
        )

    def _run(self) -> None:
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while not self._stop.is_set():
            starts = self._starts
            connection = None
            try:
                connection = self._link.connection()
                self._listen(connection)
            except Exception as error:  # rule 1: any failure
                self._error = str(self._link.to_bus_error(error))
                self._link.rediscover()
            finally:
                self._listening = False
                if connection is not None:
                    connection.disconnect()
            if self._starts > starts:
                backoff.reset()
            self._stop.wait(backoff.next())
        self._set_in_trio(self.ended)

    def _listen(self, connection: Any) -> None:
        connection.connect()
        connection.send_command("SUBSCRIBE", LIVES, self._member, self._channel, check_health=False)
        heard, is_awaited = time.monotonic(), True  # the confirmation of the subscription
        while not self._stop.is_set():
            if connection.can_read(TICK):
                self._read_messages(connection)
                heard, is_awaited = time.monotonic(), False
            elif time.monotonic() - heard > self._link.timeout:
                if is_awaited:
                    raise BrokenLink(f"no reply for {self._link.timeout:g} s on {self._channel}")
                connection.send_command("PING", check_health=False)
                heard, is_awaited = time.monotonic(), True

    def _read_messages(self, connection: Any) -> None:
        """Read all messages that have arrived, and pass them on."""
        batches: list[Batch] = []
        counts: list[ViewerCount] = []
        for _ in range(TOGETHER):
            message = connection.read_response()
            if isinstance(message, list) and message[1:2] == [LIVES.encode()]:
                if message[0] == b"message":
                    self.mailbox.mark_missed()
                    self._on_listening()
            elif isinstance(message, list) and message[1:2] == [self._member.encode()]:
                pass
            elif isinstance(message, list) and message[0] == b"message":
                try:
                    if message[2].startswith(MARK):
                        counts.append(ViewerCount.decode(message[2]))
                    else:
                        batches.append(Batch.decode(message[2]))
                except (MalformedBatch, MalformedViewerCount):
                    self._malformed += 1
            elif isinstance(message, list) and message[0] == b"subscribe":
                self._on_subscribed()
            if not connection.can_read(0):
                break
        if batches:
            self.mailbox.put(batches)
        if counts:
            self.mailbox.put_counts(counts)

    def _on_subscribed(self) -> None:
        if self._starts:
            self.mailbox.mark_missed()
        self._starts += 1
        self._listening = True
        self._on_listening()
        self._set_in_trio(self.begun)

    def _set_in_trio(self, event: trio.Event) -> None:
        try:
            self._trio_token.run_sync_soon(event.set)
        except trio.RunFinishedError:
            self._stop.set()  # Trio has ended


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[Mailbox]:
    """Listen while in the block, from its first moment.

    Raises `BusError` if listening cannot begin in time.
    """
    listener.start()
    try:
        with trio.move_on_after(listener._link.timeout):
            await listener.begun.wait()
        if not listener.begun.is_set():
            raise BusError(listener.error() or "Redis did not answer")
        yield listener.mailbox
    finally:
        listener.stop()
        with trio.move_on_after(LEAVE, shield=True):
            await listener.ended.wait()
