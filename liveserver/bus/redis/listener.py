"""One thread that listens to one pub/sub channel and fills a mailbox, whatever happens to Redis.

Rules:

1. The thread ends only when asked to. Whatever else happens, it connects again, with growing pauses
   and jitter so that the nodes don't all come back at once.
2. Each time listening has begun anew, the mailbox is notified that something may have been missed. The
   first time nothing was.
3. A link that stalls is as broken as one that breaks: a quiet connection is asked with a PING, and
   given up when nothing comes within the timeout.
4. What cannot be read as a batch or a tally is counted and dropped.
5. A server of the cluster that begins another life says so on a channel of its own (life.lua): that
   is as if listening had begun anew, for what it has lost may have been heard here.
6. Messages that came together are handed over together: Trio is woken once.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
import trio
from redis.exceptions import ConnectionError as BrokenLink

from liveserver.bus.mailbox import Mailbox
from liveserver.bus.redis.connection import Link
from liveserver.errors import BusError
from liveserver.event import Batch, MalformedBatch
from liveserver.instruments import gauge, total
from liveserver.viewer_count import MARK, MalformedViewerCount, ViewerCount

LIVES = "ls:life"  # a channel
TICK = 0.1  # seconds between two looks at whether to end
TOGETHER = 1_000  # messages handed over at once, at most
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds; see membership.py
LEAVE = 0.4  # seconds for the thread to end; one that hangs in Redis ends by its own timeout


class ListenerStatistics(msgspec.Struct, frozen=True):
    """One pub/sub connection: now, and since the start."""

    channel: str
    listening: Annotated[bool, gauge("Whether this pub/sub channel is being listened to.")]
    restarts: Annotated[int, total("Times listening began anew.")]
    malformed: Annotated[
        int, total("Messages that were no batch, and were dropped. Who else publishes there?")
    ]
    received: Annotated[int, total("Batches received.")]
    dropped: Annotated[
        int, total("Batches for which there was no room (bus.inbox_batches); read from the log instead.")
    ]
    error: str  # the last one; empty when there was none


class Listener:
    """Listens to `channel` until `stop`. Use `listening`, which starts and ends it."""

    def __init__(
        self,
        link: Link,
        channel: str,
        capacity: int,
        hear: Callable[[ViewerCount], None],
        member: str = "",
        on_listening: Callable[[], None] = lambda: None,
    ) -> None:
        self.mailbox = Mailbox(capacity, trio.lowlevel.current_trio_token(), hear)
        self.begun = trio.Event()  # listening for the first time
        self.ended = trio.Event()
        self._link = link
        self._channel = channel
        self._member = f"ls:member:{member}"  # a channel that shows that this process listens
        self._on_listening = on_listening
        self._trio_token = trio.lowlevel.current_trio_token()
        self._stop = threading.Event()
        # The thread's own, read by statistics().
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
        """Why it does not listen; empty when nothing is known."""
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
        pause = FIRST_PAUSE
        while not self._stop.is_set():
            starts = self._starts
            connection = None
            try:
                connection = self._link.connection()
                self._listen(connection)
            except Exception as error:  # rule 1: also what nobody thought of
                self._error = str(self._link.failed(error))
                self._link.renew()
            finally:
                self._listening = False
                if connection is not None:
                    connection.disconnect()
            pause = FIRST_PAUSE if self._starts > starts else min(2 * pause, LONGEST_PAUSE)
            self._stop.wait(random.uniform(pause / 2, pause))
        self._tell(self.ended)

    def _listen(self, connection: Any) -> None:
        connection.connect()
        connection.send_command("SUBSCRIBE", LIVES, self._member, self._channel, check_health=False)
        heard, asked = time.monotonic(), True  # the confirmation is asked for
        while not self._stop.is_set():
            if connection.can_read(TICK):
                self._take(connection)
                heard, asked = time.monotonic(), False
            elif time.monotonic() - heard > self._link.timeout:
                if asked:
                    raise BrokenLink(f"nothing came for {self._link.timeout:g} s on {self._channel}")
                connection.send_command("PING", check_health=False)
                heard, asked = time.monotonic(), True

    def _take(self, connection: Any) -> None:
        """Everything that has come by now, in one go."""
        batches: list[Batch] = []
        tallies: list[ViewerCount] = []
        for _ in range(TOGETHER):
            message = connection.read_response()
            if isinstance(message, list) and message[1:2] == [LIVES.encode()]:
                if message[0] == b"message":
                    self.mailbox.missed()
                    self._on_listening()
            elif isinstance(message, list) and message[1:2] == [self._member.encode()]:
                pass
            elif isinstance(message, list) and message[0] == b"message":
                try:
                    if message[2].startswith(MARK):
                        tallies.append(ViewerCount.decode(message[2]))
                    else:
                        batches.append(Batch.decode(message[2]))
                except (MalformedBatch, MalformedViewerCount):
                    self._malformed += 1
            elif isinstance(message, list) and message[0] == b"subscribe":
                self._began()
            if not connection.can_read(0):
                break
        if batches:
            self.mailbox.put(batches)
        if tallies:
            self.mailbox.pin(tallies)

    def _began(self) -> None:
        if self._starts:
            self.mailbox.missed()
        self._starts += 1
        self._listening = True
        self._on_listening()
        self._tell(self.begun)

    def _tell(self, event: trio.Event) -> None:
        try:
            self._trio_token.run_sync_soon(event.set)
        except trio.RunFinishedError:
            self._stop.set()  # nobody is left to listen for


@asynccontextmanager
async def listening(listener: Listener) -> AsyncIterator[Mailbox]:
    """Listening has begun when the block is entered. Raises `BusError` when it can't in time."""
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
