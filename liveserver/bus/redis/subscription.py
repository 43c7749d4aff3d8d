"""A pub/sub connection and its thread: it connects again after any failure, and passes messages on.

Rules:

1. The thread ends only when `stop` is called. After any failure it connects again, with exponential
   backoff and jitter so that nodes do not all reconnect at once.
2. A stalled connection is treated as broken: a quiet connection is checked with a PING, and closed if
   no reply arrives within the timeout.
3. Messages that arrive together are passed on together.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from redis.exceptions import ConnectionError as BrokenLink
from redis.exceptions import MovedError, RedisError

from liveserver.backoff import Backoff
from liveserver.bus.redis.connection import MALFORMED_REPLY_ERRORS, REFUSALS, Link

TICK = 0.1  # seconds between two checks whether to end
BATCH_SIZE = 1_000  # messages passed on at once, at most
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds; see membership.py
REFUSED_PAUSE = 15.0  # seconds after an error that says that Redis does not have, or allow, the command


class SlotMoved(BrokenLink):
    """The server does not have the channel's slot any more."""


class Subscription:
    """Listens to `channels` until `stop`; with a `shard`, by sharded pub/sub on the server of that shard.

    The callbacks are called in its thread: `on_messages` with replies of Redis, `on_subscribed` each time all
    channels are subscribed, `on_tick` several times a second, `on_interrupted` after each failure.
    """

    def __init__(
        self,
        link: Link,
        channels: Sequence[str],
        on_messages: Callable[[list[Any]], None],
        on_subscribed: Callable[[], None],
        *,
        shard: str | None = None,
        on_tick: Callable[[Any], None] = lambda connection: None,
        on_interrupted: Callable[[], None] = lambda: None,
        on_end: Callable[[], None] = lambda: None,
    ) -> None:
        self._link = link
        self._channels = channels
        self._last_channel = channels[-1].encode()
        self._on_messages = on_messages
        self._on_subscribed = on_subscribed
        self._shard = shard
        self._word = "SUBSCRIBE" if shard is None else "SSUBSCRIBE"
        self._on_tick = on_tick
        self._on_interrupted = on_interrupted
        self._on_end = on_end
        self._stop = threading.Event()
        # Written by the thread.
        self.is_listening = False
        self.was_attempted = False
        self.starts = 0
        self.error = ""  # the last one

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"listen {self._channels[-1]}", daemon=True).start()

    def stop(self) -> None:
        self._stop.set()

    def _run(self) -> None:
        backoff = Backoff(FIRST_PAUSE, LONGEST_PAUSE)
        while not self._stop.is_set():
            starts, pause = self.starts, 0.0
            connection = None
            try:
                connection = self._link.connection(self._shard)
                self._listen(connection)
            except Exception as error:  # rule 1: any failure
                self.error = str(self._link.to_bus_error(error))
                if self._shard is None or isinstance(error, MovedError | SlotMoved):
                    self._link.rediscover()
                elif any(word in str(error) for word in REFUSALS):
                    pause = REFUSED_PAUSE
                else:  # the other servers' connections stay
                    with suppress(RedisError, OSError, *MALFORMED_REPLY_ERRORS):
                        self._link.refresh()
            finally:
                self.is_listening = False
                self.was_attempted = True
                if connection is not None:
                    connection.disconnect()
            self._on_interrupted()
            if self.starts > starts:
                backoff.reset()
            self._stop.wait(pause or backoff.next())
        self._on_end()

    def _listen(self, connection: Any) -> None:
        connection.connect()
        connection.send_command(self._word, *self._channels, check_health=False)
        heard, is_awaited = time.monotonic(), True  # the confirmation of the subscription
        while not self._stop.is_set():
            if connection.can_read(TICK):
                self._read_messages(connection)
                heard, is_awaited = time.monotonic(), False
            elif time.monotonic() - heard > self._link.timeout:
                if is_awaited:
                    raise BrokenLink(f"no reply for {self._link.timeout:g} s on {self._channels[-1]}")
                connection.send_command("PING", check_health=False)
                heard, is_awaited = time.monotonic(), True
            self._on_tick(connection)

    def _read_messages(self, connection: Any) -> None:
        """Read all messages that have arrived, and pass them on."""
        messages: list[Any] = []
        for _ in range(BATCH_SIZE):
            message = connection.read_response()
            if isinstance(message, list):
                kind = message[0]
                if kind in (b"message", b"smessage"):
                    messages.append(message)
                elif kind in (b"subscribe", b"ssubscribe") and message[1] == self._last_channel:
                    self.starts += 1
                    self.is_listening = True
                    self._on_subscribed()
                elif kind == b"sunsubscribe":
                    self._on_messages(messages)
                    raise SlotMoved(f"the slot of {self._channels[-1]} has moved")
            if not connection.can_read(0):
                break
        if messages:
            self._on_messages(messages)
