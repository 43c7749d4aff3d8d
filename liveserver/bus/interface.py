"""The bus: the only interface between nodes.

Guarantees of every implementation (the contract tests in tests/bus/ check them):

1. *Atomic.* `append` numbers, deduplicates, logs, looks up the watching nodes and forwards in one
   step per video: two appends to a video never interleave.
2. *Ordered.* Within one epoch, an inbox receives a video's batches in offset order. Batches may be
   missing, but are never reordered; only in a Redis Cluster whose pub/sub changes (bus/redis/sharded.py) may
   one overtake another.
3. *The log is reliable, inboxes are not.* A batch may be lost on its way to an inbox (a full inbox, a
   broken connection). The numbers reveal it, and `read` returns the missing events; `Head.offset` reveals
   that the last batch was lost.
4. *Accepted means logged.* Once `append` has returned, the events are in the log. After a `BusError` the
   outcome is unknown; appending the same request again does not duplicate its events.
5. *Epochs.* A log that begins anew (it expired, or its store came back empty) has another epoch, and
   is numbered from 1 again. An epoch is never reused.
6. *Everything expires.* The log by length and age, ids after their window, leases unless renewed,
   and all keys of a video once it has been quiet for `history.idle_ttl`.
7. *Events of other datacenters* are in the log beside our own, each origin's in its own order, without
   missing numbers except those that the origin's log has lost. `relay` accepts the events next in number and
   drops those that it has; several nodes may call it concurrently. Relayed events are forwarded to inboxes,
   never to the feed.
8. *Viewer counts are announced, not logged.* When `subscribe` or `note_peer_counts` changes a video's count,
   all of the video's nodes receive the new `ViewerCount`: at most one per video and `ANNOUNCE` seconds, so
   that a hundred nodes that report at once cost one summation. A node that reported too early is notified,
   and reports again. Only nodes with a valid lease are counted.
9. *State* (liveserver/state.py). Beside its log a video has the newest event of each key, updated in the same
   step. Our own events that are older than the state are dropped before they are numbered; relayed events are
   always numbered, and the state keeps the newer event. The state outlives the log's events and epochs, and
   expires with the video.
10. *Retention by kind.* Of events whose type is in `history.ephemeral_types` the newest
   `history.ephemeral_events` are held, of the others the newest `history.max_events`. Offsets and numbers
   stay as they are; each event that is read says from which number on only ephemeral ones preceded it
   (`Batch.since`, `Head.kept`), so that what is absent is known to be lost, or not.
11. *Back-pressure.* A node that cannot send a video's events as fast as they come calls `hold_back`, and
   appends return how long to wait before the next one. The bus refuses none: the dispatchers keep it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Protocol

from liveserver.bus.records import (
    ActiveVideos,
    AppendRequest,
    AppendResult,
    Head,
    Lease,
    ReplicaPosition,
    ReplicationBatch,
    Slice,
)
from liveserver.event import Batch
from liveserver.viewer_count import AudienceReport, AudienceSize, ViewerCount

__all__ = [
    "ANNOUNCE",
    "OPS_GROUP",
    "OPS_LEASE",
    "ActiveVideos",
    "AppendRequest",
    "AppendResult",
    "Bus",
    "Head",
    "Inbox",
    "Lease",
    "PeerBus",
    "ReplicaPosition",
    "ReplicationBatch",
    "Slice",
    "ignore",
]

OPS_GROUP = "ops:nodes"  # the group of all nodes with their ops addresses; no datacenter's name has a colon
OPS_LEASE = 15.0  # seconds of a membership in it

ANNOUNCE = 1.0  # seconds between two announcements of a video's viewers, at least


def ignore(viewers: ViewerCount) -> None:
    """Ignore a viewer count."""


class Bus(Protocol):
    """The operations of a datacenter's own nodes; `PeerBus` has those of its peers.

    All operations raise `BusError` if the bus cannot be reached or does not answer in time.
    """

    async def append(self, requests: Sequence[AppendRequest]) -> list[AppendResult]:
        """Number, log and forward events; return one result per request.

        All requests are appended or none is; in a Redis Cluster, where videos are on several servers, this
        holds per server. In either case, appending the same requests again does not duplicate events.

        Raises:
          BusError: if the outcome is unknown; append the same requests again.
        """
        ...

    async def subscribe(
        self, node: str, videos: Mapping[str, int], lease: float, opening: Collection[str] = ()
    ) -> dict[str, Lease]:
        """Add (video, node) to the subscription table for `lease` seconds, with its viewer count.

        Renewing a lease and reporting another count are the same call.

        Args:
          videos: the node's viewer count of each video.
          lease: in seconds.
          opening: the videos whose leases should include the state.

        Returns:
          Each video's lease. Its head is read after the row was added: a node that listened to its inbox
          before calling this misses nothing after the head.
        """
        ...

    async def unsubscribe(self, node: str, videos: Collection[str]) -> None:
        """Remove the node's rows from the subscription table. Batches in flight may still arrive."""
        ...

    async def read(self, video: str, after: int, limit: int) -> Slice:
        """Return the first `limit` retained events after the offset `after`, of the current epoch."""
        ...

    async def state(self, video: str) -> list[bytes]:
        """Return the lines of the video's current state, tombstones included, in any order."""
        ...

    async def acquire(self, video: str, name: str, token: str, seconds: float) -> float:
        """Hold `name` of a video for so long, unless it is held.

        Returns 0 when it is held now, or was by the same token; else how many seconds are left. A hold that
        is longer than `seconds` is shortened to that.
        """
        ...

    async def hold_back(self, videos: Collection[str], seconds: float) -> None:
        """Have dispatchers wait for so long before they append to these videos again; see rule 11."""
        ...

    async def merge_states(self, states: Mapping[str, Sequence[bytes]]) -> None:
        """Fold the lines of another datacenter's states into ours, without numbering them.

        Used when its log has lost events: the keyed ones among them are in its state.
        """
        ...

    async def answer(self, video: str, question: str, node: str, content: bytes, ttl: float) -> None:
        """Put a node's answer to a question about a video where `answers` finds it, for `ttl` seconds."""
        ...

    async def answers(self, video: str, question: str) -> tuple[dict[str, bytes], frozenset[str]]:
        """Return the answers so far, by node, and the nodes that are subscribed to the video."""
        ...

    async def count(self, video: str) -> ViewerCount:
        """Return the video's current viewer count."""
        ...

    async def watched_since(self, since: int, limit: int, *, left: bool = False) -> ActiveVideos:
        """Return the first `limit` videos that nodes have reported viewers of since `since`.

        `left`: those of which a node has reported that it has no viewers, or has unsubscribed from, instead.
        The rest is as in `PeerBus.active_since`; a node reports at least once within its lease.
        """
        ...

    async def counts(self, videos: Collection[str]) -> dict[str, ViewerCount]:
        """Return the current viewer counts of several videos at once, as `count` does."""
        ...

    async def note_peer_counts(self, counts: Sequence[ViewerCount]) -> list[bool]:
        """Include other datacenters' viewers, as announced on their feeds, in our counts for their `hold`.

        Returns for each whether the new count has been announced, as in `Lease.is_announced`.
        """
        ...

    async def add_audiences(self, reports: Sequence[AudienceReport], ttl: float) -> None:
        """Add users to those who have watched each video, and raise its peak; keep both for `ttl` seconds.

        Adding the same again changes nothing.
        """
        ...

    async def audience(self, video: str) -> AudienceSize:
        """Return how many users were added, exactly up to a few and then within 5 %, and the peak."""
        ...

    def inbox(
        self, node: str, on_viewer_count: Callable[[ViewerCount], None] = ignore
    ) -> AbstractAsyncContextManager[Inbox]:
        """Listen to what is forwarded to `node`; listening has begun when the block is entered.

        `on_viewer_count` is called in Trio's thread with the newest count of each of the node's videos; it
        must not raise.
        """
        ...

    async def relay(self, batches: Sequence[ReplicationBatch]) -> list[ReplicaPosition]:
        """Append events of other datacenters' logs; return the log's resulting position per batch.

        Accepted are the events next in the origin's numbers: repeats are dropped, overlaps are trimmed. The
        first of an unknown origin has number 1. Anything else needs `ReplicationBatch.instead`. The new
        events of a batch are appended all together or not at all.
        """
        ...

    async def join_group(self, group: str, node: str, lease: float) -> list[str]:
        """Join `group`, whose members share its work, for `lease` seconds; return its members, sorted."""
        ...

    async def leave_group(self, group: str, node: str) -> None:
        """Leave the group."""
        ...

    async def ping(self) -> None:
        """Return when the bus has answered."""
        ...


class PeerBus(Protocol):
    """A datacenter's bus as other datacenters use it.

    All operations raise `BusError`, as those of `Bus` do.
    """

    def feed(
        self, on_viewer_count: Callable[[ViewerCount], None] = ignore
    ) -> AbstractAsyncContextManager[Inbox]:
        """Listen to all events that originate in this datacenter, and to its viewer counts.

        Each count is repeated before its `hold` is over.
        """
        ...

    async def active_since(self, since: int, limit: int, *, relayed: bool = False) -> ActiveVideos:
        """Return the first `limit` videos to which events that originate here were published since `since`.

        `relayed`: those to which events of other datacenters were relayed, instead.

        Those of the last one's millisecond are all included, so the next page begins after
        `ActiveVideos.upto`. `since` is in milliseconds by this bus' clock (`ActiveVideos.now`); 0: all videos
        that it remembers.
        """
        ...

    async def group(self, group: str) -> list[str]:
        """Return the members of a group, sorted."""
        ...

    async def states(self, videos: Collection[str]) -> dict[str, list[bytes]]:
        """Return the states of several videos at once, as `Bus.state` does."""
        ...

    async def read_several(self, after: Mapping[str, int], limit: int) -> dict[str, Slice]:
        """Read several videos at once, as `Bus.read` does, up to `limit` events of each."""
        ...


class Inbox(Protocol):
    """The batches that a node receives: iterating yields lists of them, and ends with the inbox' block.

    A broken connection is re-established, for as long as that takes. Each time listening has resumed, or
    batches had to be dropped because they were not read in time, an empty list is yielded: something may
    have been missed, so compare heads.
    """

    def __aiter__(self) -> Inbox: ...

    async def __anext__(self) -> list[Batch]: ...
