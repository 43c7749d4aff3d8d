"""The bus: the one seam between nodes.

Rules every implementation keeps (tests/bus/test_contract.py holds them to it):

1. *Atomic.* `append` numbers, drops duplicates, logs, looks up the watching nodes and forwards, as
   one step per video: two appends to a video never interleave.
2. *Ordered.* Within one epoch, what arrives on an inbox for a video is in offset order. It may miss
   batches, never reorder them.
3. *The log remembers, the inbox forgets.* A batch may be lost on its way to an inbox (a full one, a
   broken link); the numbers show it, and `read` mends it. `Head.offset` shows a lost last one.
4. *Accepted means logged.* When `append` has answered, the events are in the log. When it raised
   `BusError`, nothing is known; the same parcel appended again is not doubled.
5. *Epochs.* A log that began anew (expired, or its store came back empty) has another epoch, and
   counts from 1 again. An epoch is never used twice.
6. *Everything expires.* The log by length and age, ids after their window, leases unless renewed,
   and all of a video's keys when it has been quiet for `history.idle_ttl`.
7. *Another datacenter's events* stand in the log beside our own, each origin's in its order, without
   holes except where its own log had lost them. `relay` takes what is next in number and drops what
   it has; it may be called by several at once. They are forwarded to inboxes, never to the feed.
8. *Counts are announced, not kept.* When `subscribe` or `note` finds another number of viewers than was
   announced last, all of the video's nodes hear the new `ViewerCount`; at most one in `ANNOUNCE` seconds and
   video, so a hundred nodes that report at once cost one summing up. A node that was too early learns so, and
   reports again. Only nodes with a living lease count.
9. *State* (liveserver/state.py). Beside its log a video has the newest event of each key, changed in the same
   step. Our own events that are older than it are dropped before they are numbered; relayed ones are
   numbered like any other, and the state keeps the newer. It outlives the log's events, and its epochs,
   and expires with the video.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

import msgspec

from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.viewer_count import ViewerCount

ANNOUNCE = 1.0  # seconds between two announcements of a video's viewers, at least


class AppendRequest(msgspec.Struct, frozen=True):
    """Events of one video to append in one atomic step.

    `ids` runs beside `lines`: the publisher's own id, by which a repeat is known, or None when the
    dispatcher made it up. `token` names this very parcel: appended again after a `BusError`, the bus
    answers as it did, or would have, the first time. `is_keyed`: there are keyed events among the lines.
    """

    video: str
    token: str
    lines: list[bytes]
    ids: list[str | None]
    is_keyed: bool = False


class AppendResult(msgspec.Struct, frozen=True):
    """What `append` did. `duplicates` and `stale` are indexes into the parcel; the rest is numbered in order.

    `first` is the offset and `number` the origin's number of the first event accepted (of the next
    one to come, when none was); `cursor` stands after the last one. `stale` are older than the state.
    `is_full`: the video's state has no room for the parcel, nothing of it was appended.
    """

    epoch: str
    first: int
    number: int
    duplicates: frozenset[int]
    cursor: Cursor
    stale: frozenset[int] = frozenset()
    is_full: bool = False

    def accepted(self, parcel: AppendRequest) -> int:
        """Return how many of the parcel's events are new."""
        return 0 if self.is_full else len(parcel.lines) - len(self.duplicates) - len(self.stale)


class Head(msgspec.Struct, frozen=True):
    """Where a video's log ends: the last offset (0: nothing yet) and the cursor there."""

    epoch: str
    offset: int
    cursor: Cursor


class Lease(msgspec.Struct, frozen=True):
    """What a node receives when it subscribes: where the log ends, and how many watch.

    `is_announced`: the tally is the newest, and has been announced. Otherwise it is the last one that
    was, and whoever reports again after `ANNOUNCE` seconds has the newest announced. `state` has the lines
    of the state, tombstones included, if it was asked for: as of the head, or newer.
    """

    head: Head
    tally: ViewerCount
    is_announced: bool = True
    state: list[bytes] = []


class Slice(msgspec.Struct, frozen=True):
    """A stretch of a video's log, in order.

    Nothing between two batches is missing. `oldest` is the first offset the log still holds
    (`head.offset + 1` when it holds none): when that is beyond what was asked for, the events before
    it are gone, and that is a gap.
    """

    head: Head
    oldest: int
    batches: list[Batch]


class ReplicaPosition(msgspec.Struct, frozen=True):
    """How far a log has come with one other origin: the last event it took from there.

    `log` is the epoch of the log itself; `epoch` and `number` are the origin's (no epoch: nothing
    yet); `offset` is where that event stands in the origin's own log, to read on from there.
    """

    log: str
    epoch: str = ""
    number: int = 0
    offset: int = 0


class ReplicationBatch(msgspec.Struct, frozen=True):
    """Events `number`, `number + 1`, … of another origin's life `epoch`, for one video.

    `offset` is where the last of them stands in the origin's own log. No lines: only to learn where
    the log stands. `instead`: these were read from the origin's log, after the log here was known to
    stand there. They are what comes next although it does not look like it: the origin has lost
    what was between, or begun a new life. Whatever has changed meanwhile, they are refused.
    """

    video: str
    origin: str
    epoch: str
    number: int
    offset: int
    lines: list[bytes]
    instead: ReplicaPosition | None = None

    @property
    def last(self) -> int:
        """The origin's number of the last event."""
        return self.number + len(self.lines) - 1


class ActiveVideos(msgspec.Struct, frozen=True):
    """Videos that events were published to, the longest ago first.

    `upto` is when the last of them was published to (if there is none, what was asked for); `now` is the
    bus' own clock. Both in milliseconds.
    """

    videos: list[str]
    upto: int
    now: int


def ignore(tally: ViewerCount) -> None:
    """Hear no tallies."""


class Bus(Protocol):
    """What nodes do with each other; what a datacenter's peers do is in `PeerBus`.

    All verbs raise `BusError` when the bus cannot be reached or does not answer in time.
    """

    async def append(self, parcels: Sequence[AppendRequest]) -> list[AppendResult]:
        """Number, log and forward; one receipt per parcel.

        All parcels are appended or none is; in a Redis Cluster, where videos are on several servers, all
        of a server's. Either way the same parcels appended again are not doubled.
        """
        ...

    async def subscribe(
        self, node: str, videos: Mapping[str, int], lease: float, opening: Collection[str] = ()
    ) -> dict[str, Lease]:
        """Put (video, node) into the subscription table for `lease` seconds, with its viewer count.

        Returns each video's head as of after the row was there: who listened to its inbox before
        calling this misses nothing after the head. Renewing, and reporting another count, is the same
        call. The leases of those `opening` have the video's state, too.
        """
        ...

    async def unsubscribe(self, node: str, videos: Collection[str]) -> None:
        """Take the rows out. Batches under way may still arrive."""
        ...

    async def read(self, video: str, after: int, limit: int) -> Slice:
        """The retained events with offsets `after + 1` to `after + limit`, of the present epoch."""
        ...

    async def state(self, video: str) -> list[bytes]:
        """Return the lines of the video's state as of now, tombstones included, in any order."""
        ...

    async def merge_states(self, states: Mapping[str, Sequence[bytes]]) -> None:
        """Fold the lines of another datacenter's states into ours, without numbering them: its log has lost
        events, and what of them was keyed is in its state."""
        ...

    async def count(self, video: str) -> ViewerCount:
        """How many watch now."""
        ...

    async def note(self, tallies: Sequence[ViewerCount]) -> list[bool]:
        """Count in, for their `hold`, the viewers of other datacenters, as heard on their feeds.

        Returns beside each whether all nodes have been notified, as in `Lease.is_announced`.
        """
        ...

    def inbox(
        self, node: str, hear: Callable[[ViewerCount], None] = ignore
    ) -> AbstractAsyncContextManager[Inbox]:
        """Listen to what is forwarded to `node`; listening has begun when the block is entered.

        `hear` is called in Trio's thread with the newest tally of each of its videos; it must not raise.
        """
        ...

    async def relay(self, parcels: Sequence[ReplicationBatch]) -> list[ReplicaPosition]:
        """Take what other datacenters' logs have: where the log stands with each parcel's origin then.

        Taken is what is next in the origin's numbers: repeats are dropped, overlaps trimmed. Of an
        origin that nothing was taken from yet, that begins with number 1. Anything else needs
        `ReplicationBatch.instead`. All of a parcel is taken, as far as it is new, or nothing of it.
        """
        ...

    async def enlist(self, group: str, node: str, lease: float) -> list[str]:
        """Be one of those who share the work of `group` for `lease` seconds; who they all are, in order."""
        ...

    async def resign(self, group: str, node: str) -> None:
        """Be it no more."""
        ...

    async def ping(self) -> None:
        """Return when the bus has answered."""
        ...


class PeerBus(Protocol):
    """What a datacenter's bus is to those of other datacenters. All raise `BusError`, as `Bus` does."""

    def feed(self, hear: Callable[[ViewerCount], None] = ignore) -> AbstractAsyncContextManager[Inbox]:
        """Listen to everything that originates in this datacenter, for its peers; and to its tallies,
        which are repeated before their `hold` is over."""
        ...

    async def active_since(self, since: int, limit: int) -> ActiveVideos:
        """Return the first `limit` videos to which events that originate here were published since then,
        and all others of the last one's millisecond: what is left is after `ActiveVideos.upto`.

        `since` is in milliseconds by this bus' clock, see `ActiveVideos.now`; 0: all that are remembered.
        """
        ...

    async def states(self, videos: Collection[str]) -> dict[str, list[bytes]]:
        """As `Bus.state`, of several videos at once."""
        ...

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]:
        """As `Bus.read`, of several videos at once, up to `limit` events of each."""
        ...


class Inbox(Protocol):
    """What a node hears: iterating yields lists of batches as they come, and ends with its block.

    A broken link is re-established from within, for as long as it takes. Each time listening has
    begun anew, or batches had to be dropped because nobody took them in time, an empty list is
    yielded: something may have been missed, so compare heads.
    """

    def __aiter__(self) -> Inbox: ...

    async def __anext__(self) -> list[Batch]: ...
