"""Sharded pub/sub of a Redis Cluster from Redis 7: a message reaches the servers of one shard, not all.

A channel's messages about a video are published by that video's server, on a channel of its own: with the
hash tag of this server, as its list of members has (membership.py). Rules:

1. What is published reaches listeners whatever they listen to. A script publishes by SPUBLISH, and by
   PUBLISH if that reached none (scripts/publish.lua); a listener always listens by SUBSCRIBE, too. So nodes
   of earlier versions, a slot that moves, a replica that was promoted and a Redis 6 cost messages to all
   servers, and nothing else.
2. Each shard has a subscription of its own. Whenever one begins or ends while the inbox is open, something
   may have been missed, and the mailbox is notified.
3. Several nodes listen to the feed. It is published to all servers while one of them does not listen to all
   shards; those that do also subscribe to `ALL_SHARDS`, and the difference is counted every few seconds.
   What a node misses that has begun meanwhile is found by its next sweep (dispatcher/relay).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from redis.exceptions import RedisError

from liveserver.bus.redis.connection import MALFORMED_REPLY_ERRORS, Link
from liveserver.bus.redis.subscription import Subscription

FEED = "ls:feed"
ALL_SHARDS = "ls:feed:sharded"  # subscribed to, to show that the feed of all shards is listened to
CHECK = 1.0  # seconds between two checks of the known servers
REFRESH = 15.0  # seconds between two discoveries of the cluster's servers


def shard_channel(channel: str, shard: str) -> str:
    """Return the sharded channel, as publish.lua names it."""
    return f"ls:{{{shard}}}:{channel.removeprefix('ls:')}"


class ShardListeners:
    """Listens to a channel's messages on every server, by sharded pub/sub, from `start` until `stop`.

    The callbacks are called in other threads: `on_changed` whenever a shard's messages may have been missed,
    `on_attempted` once, or more often, when each shard is listened to, or could not be at the first attempt.
    """

    def __init__(
        self,
        link: Link,
        channel: str,
        on_messages: Callable[[list[Any]], None],
        on_changed: Callable[[], None],
        on_attempted: Callable[[], None],
    ) -> None:
        self._link = link
        self._channel = channel
        self._on_messages = on_messages
        self._on_changed = on_changed
        self._on_attempted = on_attempted
        self._was_attempted = False
        self._subscriptions: dict[str, Subscription] = {}  # by shard; replaced, never changed
        self._looked = False
        self._stop = False
        self._wake = threading.Event()

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"shards {self._channel}", daemon=True).start()

    def stop(self) -> None:
        self._stop = True
        self._wake.set()

    def refresh(self) -> None:
        """Discover the servers again, at once."""
        self._wake.set()

    @property
    def listening(self) -> int:
        """How many shards are listened to."""
        return sum(one.is_listening for one in self._subscriptions.values())

    @property
    def is_complete(self) -> bool:
        """Whether all shards are listened to."""
        subscriptions = self._subscriptions.values()
        return bool(subscriptions) and all(one.is_listening for one in subscriptions)

    def _run(self) -> None:
        refresh_at = time.monotonic() + REFRESH
        while not self._stop:
            with suppress(RedisError, OSError, *MALFORMED_REPLY_ERRORS):  # looked at again later
                if self._wake.is_set() or time.monotonic() >= refresh_at:
                    self._wake.clear()
                    refresh_at = time.monotonic() + REFRESH
                    self._link.refresh()
                self._follow(self._link.shards())
            self._looked = True
            self._check_attempts()
            self._wake.wait(CHECK)
        for one in self._subscriptions.values():
            one.stop()

    def _follow(self, shards: list[str]) -> None:
        """Listen to these shards, and no others."""
        before = self._subscriptions
        if before.keys() == set(shards):
            return
        self._subscriptions = {shard: before.get(shard) or self._listen(shard) for shard in shards}
        for shard, one in before.items():
            if shard not in self._subscriptions:
                one.stop()

    def _listen(self, shard: str) -> Subscription:
        subscription = Subscription(
            self._link,
            [shard_channel(self._channel, shard)],
            self._on_messages,
            self._on_subscribed,
            shard=shard,
            on_interrupted=self._check_attempts,
            on_end=self._on_changed,
        )
        subscription.start()
        return subscription

    def _on_subscribed(self) -> None:
        self._on_changed()
        self._check_attempts()

    def _check_attempts(self) -> None:
        if not self._was_attempted and self._looked:
            subscriptions = self._subscriptions.values()
            if all(one.is_listening or one.was_attempted for one in subscriptions):
                self._was_attempted = True
                self._on_attempted()


class Routes:
    """How scripts publish: the argument that publish.lua describes. Thread-safe."""

    def __init__(self, link: Link, *, is_sharded: bool) -> None:
        self._link = link
        self._is_sharded = is_sharded
        self._need = "all"
        self._counted = ""

    def to(self, shard: str) -> str:
        """Return the argument for a video of this shard; `-` without sharded pub/sub."""
        return f"{shard}:{self._need}" if self._is_sharded and shard else "-"

    def check(self) -> None:
        """Count who listens to the feed. Raises `RedisError`; until it succeeds all servers get the feed."""
        if not self._is_sharded:
            return
        before, self._counted = self._counted, "all"
        try:
            listeners, sharded = self._link.count_listeners([FEED, ALL_SHARDS])
            self._counted = "all" if listeners > sharded else "sharded" if listeners else "none"
        finally:
            # Twice the same: a listener that moves from one server to another may have been overlooked.
            self._need = self._counted if self._counted == before else "all"
