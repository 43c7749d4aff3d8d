"""What the Redis bus says and hears: the names of keys, and what the scripts return. No I/O."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from liveserver.bus.interface import ActiveVideos, AppendResult, Head, Lease, ReplicaPosition, Slice
from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.state import MARK
from liveserver.viewer_count import ViewerCount


def ms(seconds: float) -> int:
    """Milliseconds, at least one."""
    return max(1, round(seconds * 1000))


def keys(video: str, *names: str) -> list[str]:
    """A video's keys, with its hash tag."""
    return [f"ls:{{{video}}}:{name}" for name in names]


def _offset(entry: bytes) -> int:
    return int(entry.partition(b"-")[0])


def receipt(answer: bytes) -> AppendResult:
    """What append.lua returns: `epoch first number duplicates cursor stale`."""
    epoch, first, number, duplicates, cursor, stale = answer.decode().split(" ")
    is_full = stale == "full"
    dropped = frozenset[int]() if is_full else _indexes(stale)
    return AppendResult(
        epoch, int(first), int(number), _indexes(duplicates), Cursor.parse_trusted(cursor), dropped, is_full
    )


def _indexes(text: str) -> frozenset[int]:
    return frozenset(map(int, text.split(","))) if text != "-" else frozenset[int]()


def state(answer: list[bytes]) -> list[bytes]:
    """The values of a state's hash; those that are no lines are counters (state.lua)."""
    return [value for value in answer if value.startswith(MARK)]


def standing(answer: bytes) -> tuple[ReplicaPosition, int]:
    """What relay.lua returns: `epoch offset standing`; where the log ends beside it."""
    log, end, epoch, number, place = answer.decode().split(" ")
    return ReplicaPosition(log, "" if epoch == "-" else epoch, int(number), int(place)), int(end)


def written(known: ReplicaPosition | None) -> str:
    """A standing as relay.lua compares it; empty for none."""
    return f"{known.log} {known.epoch or '-'} {known.number} {known.offset}" if known else ""


def active_videos(answer: Sequence[Any]) -> ActiveVideos:
    """Parse what active_since.lua returns."""
    now, upto, videos = answer
    return ActiveVideos([video.decode() for video in videos], int(float(upto)), int(now))


def head(answer: bytes) -> Head:
    """What head.lua returns, and subscribe.lua first: `epoch offset cursor`."""
    epoch, offset, cursor = answer.decode().split(" ")
    return Head(epoch, int(offset), Cursor.parse_trusted(cursor))


def lease(video: str, answer: bytes, lines: list[bytes]) -> Lease:
    """What subscribe.lua returns: a head, and `origin datacenter total announced`; and the state's lines."""
    where, *counted = answer.rsplit(b" ", 4)
    return Lease(head(where), tally(video, b" ".join(counted)), is_announced(answer), lines)


def tally(video: str, answer: bytes) -> ViewerCount:
    """What count.lua returns, and subscribe.lua and note.lua last: `origin datacenter total` and more."""
    origin, datacenter, total = answer.decode().split(" ")[:3]
    return ViewerCount(video, origin, int(datacenter), int(total))


def is_announced(answer: bytes) -> bool:
    """What note.lua and subscribe.lua say in the end."""
    return answer.endswith(b" 1")


Entries: TypeAlias = list[tuple[bytes, dict[bytes, bytes]]]


def stretch(video: str, answer: bytes, eldest: Entries, entries: Entries) -> Slice:
    """What is read of a log: its head, its oldest entry, and the entries asked for."""
    end = head(answer)
    oldest = _offset(eldest[0][0]) if eldest else end.offset + 1
    return Slice(end, oldest, batches(video, end.epoch, entries))


def batches(video: str, epoch: str, entries: Entries) -> list[Batch]:
    """The log's entries, in runs of consecutive offsets and numbers of one origin."""
    runs: list[Batch] = []
    run = None
    for entry, fields in entries:
        offset = _offset(entry)
        origin, origin_epoch, number = fields[b"o"].decode().split(" ")
        if run is None or (offset, origin, origin_epoch, int(number)) != (
            run.first + len(run.lines), run.origin, run.origin_epoch, run.number + len(run.lines),
        ):  # fmt: skip
            run = Batch(video, epoch, offset, origin, origin_epoch, int(number), [])
            runs.append(run)
        run.lines.append(fields[b"l"])
    return runs
