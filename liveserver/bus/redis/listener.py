"""Listens to an inbox or the feed and fills a mailbox, whatever happens to Redis.

Rules:

1. A subscription's thread keeps one connection (subscription.py). In a Redis Cluster each server has one more
   (sharded.py).
2. Each time listening has resumed, the mailbox is notified that something may have been missed (not the
   first time).
3. Messages that are neither a batch nor a viewer count are counted and dropped.
4. A cluster's server that begins a new incarnation publishes so on a channel (incarnation.lua). That
   is treated as if listening had resumed, for this process may have received what the server has lost.
5. Messages that arrive together are passed on together: Trio is woken once.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

import msgspec
import trio

from liveserver.bus.mailbox import Mailbox
from liveserver.bus.redis.connection import Link
from liveserver.bus.redis.sharded import ALL_SHARDS, FEED, ShardListeners
from liveserver.bus.redis.subscription import Subscription
from liveserver.errors import BusError
from liveserver.event import Batch, MalformedBatch
from liveserver.instruments import gauge, total
from liveserver.viewer_count import MARK, MalformedViewerCount, ViewerCount

LIVES = "ls:life"  # a channel
MEMBER = "ls:member:"  # with the process' name, the channel that shows that it is listening
LEAVE_TIMEOUT = 0.4  # seconds for the thread to end; one that is blocked in Redis ends by its own timeout
SHARDS = 0.5  # seconds to listen to all shards before the inbox opens; later ones are reported to the mailbox


class ListenerStatistics(msgspec.Struct, frozen=True):
    """The state of one pub/sub connection, and its counts since the start."""

    channel: str
    listening: Annotated[bool, gauge("Whether this pub/sub channel is being listened to.")]
    shards: Annotated[
        int,
        gauge("Servers of a Redis Cluster of which this channel is listened to by sharded pub/sub."),
    ]
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
        *,
        is_sharded: bool = False,
    ) -> None:
        self._trio_token = trio.lowlevel.current_trio_token()
        self.mailbox = Mailbox(capacity, self._trio_token, on_viewer_count)
        self.begun = trio.Event()  # listening for the first time
        self.shards_attempted = trio.Event()  # all of them are listened to, or could not be
        self.ended = trio.Event()
        self._link = link
        self._channel = channel
        # The member's channel is subscribed to, to show that this process is listening.
        self._subscription = Subscription(
            link,
            [LIVES, MEMBER + member, channel],
            self._receive,
            self._on_subscribed,
            on_tick=self._show_shards,
            on_end=lambda: self._set_in_trio(self.ended),
        )
        self._shards = (
            ShardListeners(
                link,
                channel,
                self._receive,
                self._on_shard_changed,
                lambda: self._set_in_trio(self.shards_attempted),
            )
            if is_sharded
            else None
        )
        if not is_sharded:
            self.shards_attempted.set()
        self._on_listening = on_listening
        self._is_open = False
        self._shows_shards = False
        self._counting = threading.Lock()
        self._malformed = 0

    def start(self) -> None:
        self._subscription.start()
        if self._shards:
            self._shards.start()

    def stop(self) -> None:
        self._subscription.stop()
        if self._shards:
            self._shards.stop()
        self.mailbox.close()

    def open(self) -> None:
        """Notify the mailbox from now on whenever a shard's messages may have been missed."""
        self._is_open = True

    def error(self) -> str:
        """Return the last error; empty if there was none."""
        return self._subscription.error

    def statistics(self) -> ListenerStatistics:
        mailbox = self.mailbox.statistics()
        return ListenerStatistics(
            channel=self._channel,
            listening=self._subscription.is_listening,
            shards=self._shards.listening if self._shards else 0,
            restarts=max(0, self._subscription.starts - 1),
            malformed=self._malformed,
            received=mailbox.received,
            dropped=mailbox.dropped,
            error=self._subscription.error,
        )

    def _receive(self, messages: Sequence[Any]) -> None:
        """Pass on messages; called in the threads of all subscriptions."""
        batches: list[Batch] = []
        counts: list[ViewerCount] = []
        malformed = 0
        for _, channel, content in messages:
            if channel == LIVES.encode():
                self.mailbox.mark_missed()
                self._on_listening()
                if self._shards:
                    self._shards.refresh()
                continue
            try:
                if content.startswith(MARK):
                    counts.append(ViewerCount.decode(content))
                else:
                    batches.append(Batch.decode(content))
            except (MalformedBatch, MalformedViewerCount):
                malformed += 1
        if malformed:
            with self._counting:
                self._malformed += malformed
        if batches:
            self.mailbox.put(batches)
        if counts:
            self.mailbox.put_counts(counts)

    def _on_subscribed(self) -> None:
        self._shows_shards = False
        if self._subscription.starts > 1:
            self.mailbox.mark_missed()
        self._on_listening()
        self._set_in_trio(self.begun)

    def _on_shard_changed(self) -> None:
        if self._is_open:
            self.mailbox.mark_missed()

    def _show_shards(self, connection: Any) -> None:
        """Subscribe to `ALL_SHARDS` while the feed of all shards is listened to."""
        if self._shards and self._channel == FEED and self._shards.is_complete != self._shows_shards:
            self._shows_shards = not self._shows_shards
            word = "SUBSCRIBE" if self._shows_shards else "UNSUBSCRIBE"
            connection.send_command(word, ALL_SHARDS, check_health=False)

    def _set_in_trio(self, event: trio.Event) -> None:
        try:
            self._trio_token.run_sync_soon(event.set)
        except trio.RunFinishedError:
            self._subscription.stop()  # Trio has ended
            if self._shards:
                self._shards.stop()


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
        with trio.move_on_after(SHARDS):
            await listener.shards_attempted.wait()
        listener.open()
        yield listener.mailbox
    finally:
        listener.stop()
        with trio.move_on_after(LEAVE_TIMEOUT, shield=True):
            await listener.ended.wait()
