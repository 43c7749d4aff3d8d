"""Names of keys, and parsers of the scripts' replies. No I/O.

Keys, for each video V; its hash tag {V} keeps them on one node of a Redis Cluster:

    ls:{V}:log      Stream    the log: entry id = offset, o = `origin epoch number`, l = the line
    ls:{V}:ephemeral          Stream of the same form, for the events of ephemeral types
    ls:{V}:meta     Hash      epoch, last offset, last number per origin (log.lua)
    ls:{V}:nodes    Sorted    node → when its lease ends, in ms by Redis' clock
    ls:{V}:viewers  Hash      node → its viewer count
    ls:{V}:ids:i:*            ids seen; ls:{V}:ids:t:*  requests seen, with their results
    ls:{V}:state    Hash      the newest event of each key (state.lua)
    ls:{V}:held     String    exists while a node holds back the video's publishers
    ls:{V}:answers:*  Hash    node → its answer to a question about the video
    ls:{V}:unique   HyperLogLog  the users who have watched;  ls:{V}:peak  the most viewers at once
    ls:{V}:tally    Hash      the viewers announced last, and those of other datacenters (tally.lua)
    ls:run          Hash      which incarnation of Redis this is (incarnation.lua)
    ls:members      Hash      process that may know heads → incarnation to which it has reported them
                              (a cluster has both for each server, ls:{TAG}:run and ls:{TAG}:members)
    ls:active       Sorted    videos by time of the last append of our own events, in ms by Redis' clock
    ls:relayed      Sorted    the same of other datacenters' events, for recorders
    ls:watched      Sorted    videos by time of the last report that a node has viewers of them
    ls:left         Sorted    videos by time of the last report that a node has no viewers of them any more
    ls:dispatchers:GROUP      Sorted: node → when its lease ends; the nodes that relay from that datacenter
    ls:inbox:NODE, ls:feed    pub/sub channels (pub/sub knows no database numbers: one Redis, one datacenter)
    ls:{TAG}:inbox:NODE, ls:{TAG}:feed  the same of one server of a Cluster, by sharded pub/sub (sharded.py)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from liveserver.bus.interface import ActiveVideos, AppendResult, Head, Lease, ReplicaPosition, Slice
from liveserver.cursor import Cursor
from liveserver.event import Batch
from liveserver.state import MARK
from liveserver.viewer_count import ViewerCount


def ms(seconds: float) -> int:
    """Convert seconds to milliseconds, at least one."""
    return max(1, round(seconds * 1000))


def keys(video: str, *names: str) -> list[str]:
    """Return a video's keys, with its hash tag."""
    return [f"ls:{{{video}}}:{name}" for name in names]


def _offset(entry: bytes) -> int:
    return int(entry.partition(b"-")[0])


def append_result(answer: bytes) -> AppendResult:
    """Parse the reply of append.lua: `epoch first number duplicates cursor stale held nodes`.

    One that a dispatcher of a former version has stored has no `nodes`.
    """
    epoch, first, number, duplicates, cursor, stale, held, *nodes = answer.decode().split(" ")
    is_full = stale == "full"
    dropped = frozenset[int]() if is_full else _indexes(stale)
    return AppendResult(
        epoch,
        int(first),
        int(number),
        _indexes(duplicates),
        Cursor.parse_trusted(cursor),
        dropped,
        is_full,
        int(held) / 1000,
        int(nodes[0]) if nodes else 0,
    )


def _indexes(text: str) -> frozenset[int]:
    return frozenset(map(int, text.split(","))) if text != "-" else frozenset[int]()


def state(answer: list[bytes]) -> list[bytes]:
    """Return the lines among the values of a state's hash; the others are counters (state.lua)."""
    return [value for value in answer if value.startswith(MARK)]


def answers(answer: Any) -> dict[str, bytes]:
    """Return a hash whose fields are nodes: a mapping, or names and values in turn."""
    pairs = answer.items() if isinstance(answer, dict) else zip(answer[::2], answer[1::2], strict=True)
    return {node.decode(): content for node, content in pairs}


def replica_position(answer: bytes) -> tuple[ReplicaPosition, int]:
    """Parse the reply of relay.lua, `epoch offset position`; return the position and the log's last
    offset.
    """
    log, end, epoch, number, place = answer.decode().split(" ")
    return ReplicaPosition(log, "" if epoch == "-" else epoch, int(number), int(place)), int(end)


def position_text(known: ReplicaPosition | None) -> str:
    """Render a position as relay.lua compares it; empty for None."""
    return f"{known.log} {known.epoch or '-'} {known.number} {known.offset}" if known else ""


def active_videos(answer: Sequence[Any]) -> ActiveVideos:
    """Parse the reply of active_since.lua."""
    now, upto, videos = answer
    return ActiveVideos([video.decode() for video in videos], int(float(upto)), int(now))


def head(answer: bytes) -> Head:
    """Parse the reply of head.lua, and the beginning of that of subscribe.lua: `epoch offset cursor kept`."""
    epoch, offset, cursor, kept = answer.decode().split(" ")
    return Head(epoch, int(offset), Cursor.parse_trusted(cursor), Cursor.parse_trusted(kept))


def lease(video: str, answer: bytes, lines: list[bytes]) -> Lease:
    """Parse the reply of subscribe.lua: a head, and `origin datacenter total announced`."""
    where, *counted = answer.rsplit(b" ", 4)
    return Lease(head(where), viewer_count(video, b" ".join(counted)), is_announced(answer), lines)


def viewer_count(video: str, answer: bytes) -> ViewerCount:
    """Parse the reply of count.lua, and the end of others': `origin datacenter total`."""
    origin, datacenter, total = answer.decode().split(" ")[:3]
    return ViewerCount(video, origin, int(datacenter), int(total))


def is_announced(answer: bytes) -> bool:
    """Parse the last word of the replies of note_peer_count.lua and subscribe.lua."""
    return answer.endswith(b" 1")


Entries: TypeAlias = list[tuple[bytes, dict[bytes, bytes]]]


def log_slice(video: str, limit: int, answer: bytes, kept: Entries, ephemeral: Entries) -> Slice:
    """Parse the replies to `Commands.read`: the log's head, its oldest offset, and entries of both streams,
    up to `limit` of each."""
    where, _, oldest = answer.rpartition(b" ")
    end = head(where)
    entries = kept or ephemeral
    if kept and ephemeral:
        entries = sorted(kept + ephemeral, key=lambda entry: _offset(entry[0]))[:limit]
    upto = _offset(entries[-1][0]) if entries and len(entries) >= limit else None
    return Slice(end, int(oldest), batches(video, end.epoch, entries), upto)


def batches(video: str, epoch: str, entries: Entries) -> list[Batch]:
    """Group a log's entries into runs of consecutive offsets and numbers of one origin."""
    runs: list[Batch] = []
    run = None
    for entry, fields in entries:
        offset = _offset(entry)
        origin, origin_epoch, number, *since = fields[b"o"].decode().split(" ")
        if run is None or (offset, origin, origin_epoch, int(number)) != (
            run.first + len(run.lines), run.origin, run.origin_epoch, run.number + len(run.lines),
        ):  # fmt: skip
            after = int(since[0]) if since else None
            run = Batch(video, epoch, offset, origin, origin_epoch, int(number), [], after)
            runs.append(run)
        run.lines.append(fields[b"l"])
    return runs
