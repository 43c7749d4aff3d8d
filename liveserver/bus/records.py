"""What the bus' operations take and return."""

from __future__ import annotations

import msgspec

from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.viewer_count import ViewerCount


class AppendRequest(msgspec.Struct, frozen=True):
    """Events of one video to append in one atomic step.

    `ids` is parallel to `lines`: the publisher's own id, for deduplication, or None if the dispatcher
    generated it. `token` identifies this request: appended again after a `BusError`, it gets the result of
    the first attempt. `is_keyed`: some of the lines are keyed events.
    """

    video: str
    token: str
    lines: list[bytes]
    ids: list[str | None]
    is_keyed: bool = False


class AppendResult(msgspec.Struct, frozen=True):
    """The result of an `append`. `duplicates` and `stale` are indexes into the request; the rest is numbered
    in order.

    `first` is the offset and `number` the origin's number of the first event accepted (of the next
    event, if none was accepted); `cursor` is the position after the last. `stale` events are older than the
    state. `is_full`: the video's state has no room for the request, and nothing was appended. `held`: the
    seconds for which a node has the video's publishers held back (`Bus.hold_back`). `nodes`: to how many the
    events were forwarded, each with a write of Redis' own.
    """

    epoch: str
    first: int
    number: int
    duplicates: frozenset[int]
    cursor: Cursor
    stale: frozenset[int] = frozenset()
    is_full: bool = False
    held: float = 0.0
    nodes: int = 0

    def accepted(self, request: AppendRequest) -> int:
        """Return how many of the request's events were appended."""
        return 0 if self.is_full else len(request.lines) - len(self.duplicates) - len(self.stale)


class Head(msgspec.Struct, frozen=True):
    """Where a video's log ends: the last offset (0: nothing yet) and the cursor there.

    `kept`: per origin, the number after which all events so far were ephemeral; None: not known.
    """

    epoch: str
    offset: int
    cursor: Cursor
    kept: Cursor | None = None


class Lease(msgspec.Struct, frozen=True):
    """A granted subscription: the end of the log and the viewer count.

    `is_announced`: `viewers` is current, and has been announced. Otherwise it is the last announced count,
    and the node should report again after `ANNOUNCE` seconds. `state` has the lines of the state, tombstones
    included, if they were requested: as of the head, or newer.
    """

    head: Head
    viewers: ViewerCount
    is_announced: bool = True
    state: list[bytes] = []


class Slice(msgspec.Struct, frozen=True):
    """A contiguous range of a video's log, in order.

    From `oldest` on the log holds every event that is not ephemeral (`head.offset + 1` when it holds none):
    when that is beyond what was asked for, events before it are gone, and that is a gap. What is missing
    between two batches behind it, or before `end`, was ephemeral. `upto`: the last offset that was looked at,
    if not the head's.
    """

    head: Head
    oldest: int
    batches: list[Batch]
    upto: int | None = None

    @property
    def end(self) -> int:
        """The offset after which to read on."""
        return self.head.offset if self.upto is None else self.upto


class ReplicaPosition(msgspec.Struct, frozen=True):
    """How far a log has replicated one other origin: the last event that it has of it.

    `log` is the epoch of the log itself; `epoch` and `number` are the origin's (no epoch: nothing has been
    replicated); `offset` is the event's offset in the origin's own log, from which to read on.
    """

    log: str
    epoch: str = ""
    number: int = 0
    offset: int = 0


class ReplicationBatch(msgspec.Struct, frozen=True):
    """Events `number`, `number + 1`, … of another origin's epoch `epoch`, for one video.

    `offset` is the offset of the last event in the origin's own log. A batch without lines only asks for the
    log's position. `since`: the origin's events between it and `number` were ephemeral, so that there is no
    jump for a log that has come to `since`. `instead`: the position of the log here when the events were read
    from the origin's log. They are next although their numbers do not follow: the origin has lost the events
    between, or has begun a new epoch. They are refused if the log's position has changed since.
    """

    video: str
    origin: str
    epoch: str
    number: int
    offset: int
    lines: list[bytes]
    instead: ReplicaPosition | None = None
    since: int | None = None

    @property
    def after(self) -> int:
        """The origin's number to which a log has to have come."""
        return self.number - 1 if self.since is None else self.since

    @property
    def last(self) -> int:
        """The origin's number of the last event."""
        return self.number + len(self.lines) - 1


class ActiveVideos(msgspec.Struct, frozen=True):
    """Videos to which events were published, least recently active first.

    `upto` is the time of the last video's last event (the requested time if there are no videos); `now` is
    the bus' own clock. Both are in milliseconds.
    """

    videos: list[str]
    upto: int
    now: int
