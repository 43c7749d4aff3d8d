"""Publishers' requests that are appended together: merged for the bus, their results shared out.

A commit has one request to the bus for each video, however many publishers it has; keyed ones stay apart,
since they are accepted or refused as a whole. Each publisher gets the result of its own part.
"""

from __future__ import annotations

import secrets
from typing import TypeAlias

import msgspec

from liveserver.bus.interface import AppendRequest, AppendResult
from liveserver.dispatcher.parse import VideoBatch
from liveserver.oneshot import Oneshot


class PublishResult(msgspec.Struct, frozen=True):
    """The result of a request: how many events are new, duplicates, or older than the state; and for each of
    its videos the cursor after them, as text.
    """

    accepted: int
    duplicates: int
    stale: int
    cursors: dict[str, str]


class PublishRequest(Oneshot[PublishResult]):
    """A queued request; its task sleeps until `resolve`. `hold_ends`: until when it may be held back."""

    __slots__ = ("deadline", "hold_ends", "size", "video_batches")

    def __init__(self, video_batches: list[VideoBatch], deadline: float, hold_ends: float) -> None:
        super().__init__()
        self.video_batches = video_batches
        self.deadline = deadline
        self.hold_ends = hold_ends
        if len(video_batches) == 1:
            self.size = len(video_batches[0].lines)
        else:
            self.size = sum(len(video_batch.lines) for video_batch in video_batches)


class SharedResult:
    """A result for several publishers; `new` counts the new events of those answered so far."""

    __slots__ = ("after", "before", "last", "new", "result")

    def __init__(self, result: AppendResult, datacenter: str) -> None:
        self.result = result
        self.new = self.last = 0
        if not result.is_full:
            own = result.cursor.get(datacenter)
            assert own is not None
            self.last = own.number
            self.before, self.after = result.cursor.around(datacenter, own.epoch)


# A publisher's events of one video, the index of the merged request, and their first index in it.
Part: TypeAlias = tuple[VideoBatch, int, int]


def merge_requests(batch: list[PublishRequest]) -> tuple[list[AppendRequest], list[list[Part]]]:
    """Merge publishers' requests; return the requests to the bus, and for each publisher its parts of
    them.
    """
    if len(batch) == 1 and len(batch[0].video_batches) == 1:  # a publisher alone
        only = batch[0].video_batches[0]
        request = AppendRequest(
            only.video, secrets.token_hex(8), only.lines, only.ids, is_keyed=only.is_keyed
        )
        return [request], [[(only, 0, 0)]]
    requests: list[AppendRequest] = []
    parts: list[list[Part]] = []
    growing: dict[str, int] = {}  # video → the request that its next events are added to
    for pending in batch:
        own: list[Part] = []
        for video_batch in pending.video_batches:
            index = growing.get(video_batch.video)
            if index is None or video_batch.is_keyed:
                index = len(requests)
                requests.append(
                    AppendRequest(
                        video_batch.video, secrets.token_hex(8), [], [], is_keyed=video_batch.is_keyed
                    )
                )
                growing[video_batch.video] = index
            request = requests[index]
            own.append((video_batch, index, len(request.lines)))
            request.lines.extend(video_batch.lines)
            request.ids.extend(video_batch.ids)
            if video_batch.is_keyed:
                del growing[video_batch.video]
        parts.append(own)
    return requests, parts


def count_within(indexes: frozenset[int], some: range) -> int:
    """Return how many of `some` are among the indexes."""
    return sum(index in indexes for index in some) if indexes else 0
