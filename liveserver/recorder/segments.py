"""Splits events into the segments of a recording, and encodes these: no I/O, and no clock.

A segment has the events of one stretch of time, by when they were accepted. Times of several dispatchers go
back and forth a little; so the time is the latest so far, unless it goes back by more than two stretches:
then a clock was set, and a new segment begins.
"""

from __future__ import annotations

import gzip
import hashlib
import re
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence

import msgspec

from liveserver.errors import LiveserverError
from liveserver.event import RETRACT, Event
from liveserver.moderation.personal import NAMES, does_name, is_about
from liveserver.redaction import PinnedComment, emptied, pinned_comment, redacted

MAX_EVENTS = 10_000  # of one segment
LEVEL = 6  # of gzip

_FACTS = re.compile(rb',"at":(\d+)(?:,"accepted":(\d+))?')
_POSITION = re.compile(rb',"position":(\d+)')


class DamagedRecording(LiveserverError):
    """A file of a recording is damaged or missing."""


class SegmentEntry(msgspec.Struct, omit_defaults=True):
    """A segment in the index: `events` and `bytes` are what its file has.

    Their times are from `first_at` to `last_at` (the earliest and the latest `at`, in milliseconds since the
    epoch), media time from `first_position` to `last_position`, if events have it. `gap`: before it, events
    are missing that the log had lost.
    """

    file: str
    events: int
    bytes: int
    first_at: int
    last_at: int
    first_position: int | None = None
    last_position: int | None = None
    gap: bool = False


class Index(msgspec.Struct):
    """The contents of a recording.

    `epoch`, `offset`: up to where the log was read; `cursor`: what that is of each origin.
    `clock` is the time that the last segment's stretch is found by; `retracted` is how the events begin that
    were retracted last: another copy of them may be still to come. `cleared`: until when users' comments are
    gone.
    """

    video: str
    epoch: str = ""
    offset: int = 0
    cursor: str = ""
    clock: int = 0
    segments: list[SegmentEntry] = []
    retracted: list[str] = []
    cleared: dict[str, int] = {}


def split(clock: int, held: int, lines: Sequence[bytes], stretch: int) -> tuple[int, list[list[bytes]]]:
    """Return the clock after the lines, and the lines by segment.

    The first part belongs to the last segment, of `held` events, and may be empty. `stretch`: milliseconds.
    """
    parts: list[list[bytes]] = [[]]
    for line in lines:
        found = _FACTS.search(line)
        at = clock if found is None else int(found[2] or found[1])
        begins = held >= MAX_EVENTS
        if at < clock - 2 * stretch:
            clock, begins = at, True
        elif at > clock:
            begins = begins or at // stretch != clock // stretch
            clock = at
        if begins and held:
            parts.append([])
            held = 0
        parts[-1].append(line)
        held += 1
    return clock, parts


def encode(lines: Sequence[bytes], *, gap: bool = False) -> tuple[SegmentEntry, bytes]:
    """Return a segment's entry and its bytes, which depend on nothing but the lines."""
    content = gzip.compress(b"".join([line + b"\n" for line in lines]), LEVEL, mtime=0)
    times, positions = [], []
    for line in lines:
        found = _FACTS.search(line)
        times.append(int(found[1]) if found is not None else 0)
        position = _POSITION.search(line.partition(b',"data":')[0])  # in data anything may stand
        if position is not None:
            positions.append(int(position[1]))
    name = hashlib.sha256(content).hexdigest()[:24]
    entry = SegmentEntry(
        f"{name}.ndjson.gz",
        len(lines),
        len(content),
        min(times, default=0),
        max(times, default=0),
        min(positions, default=None),
        max(positions, default=None),
        gap,
    )
    return entry, content


def decode(content: bytes) -> list[bytes]:
    """Return the lines of a segment. Raises `DamagedRecording`."""
    try:
        return gzip.decompress(content).split(b"\n")[:-1]
    except (OSError, EOFError, zlib.error) as error:
        raise DamagedRecording(f"a segment is damaged: {error}") from None


def without_content(lines: Iterable[bytes], prefixes: tuple[bytes, ...]) -> list[bytes]:
    """Return the lines, without the content of events that begin with one of `prefixes`."""
    return [
        (redacted(line) or line)
        if line.startswith(prefixes) and not is_retraction(line)
        else _without_pin(line, lambda pin: pin.prefix.startswith(prefixes))
        for line in lines
    ]


def _without_pin(line: bytes, is_gone: Callable[[PinnedComment], bool]) -> bytes:
    """Return a line; the pin of a comment that is gone as one of nothing."""
    if b'"type":"pin"' not in line or (pin := pinned_comment(line)) is None or not is_gone(pin):
        return line
    return emptied(line) or line


class _Comment(msgspec.Struct):
    type: str = ""
    at: int = 0
    user: str | None = None


def without_cleared(lines: Iterable[bytes], cleared: Mapping[str, int]) -> list[bytes]:
    """Return the lines, without the content of comments of `cleared` users up to these times."""
    return [
        (redacted(line) or line)
        if _was_cleared(line, cleared)
        else _without_pin(line, lambda pin: pin.user is not None and pin.at <= cleared.get(pin.user, -1))
        for line in lines
    ]


def add_cleared(cleared: dict[str, int], clears: tuple[str, int] | None) -> None:
    """Add a user, and until when their comments are gone, as the newest; an older time changes nothing."""
    if clears is not None:
        user, until = clears
        cleared[user] = max(until, cleared.pop(user, until))


def _was_cleared(line: bytes, cleared: Mapping[str, int]) -> bool:
    if b'"type":"comment"' not in line:
        return False
    try:
        comment = msgspec.json.decode(line, type=_Comment)
    except msgspec.DecodeError:
        return False
    return (
        comment.type == "comment" and comment.user is not None and comment.at <= cleared.get(comment.user, -1)
    )


def is_retraction(line: bytes) -> bool:
    """Return whether the event is a retraction."""
    return b'"type":"retract"' in line and msgspec.json.decode(line, type=Event).type == RETRACT


class _Data(msgspec.Struct, frozen=True):
    users: tuple[str, ...] = ()


class _Likes(msgspec.Struct):
    type: str = ""
    data: _Data = _Data()


def is_of(line: bytes, user: str) -> bool:
    """Return whether the event is the user's, or names them: among those who liked, or as its moderator."""
    try:
        event = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return False
    return isinstance(event, dict) and (does_name(event, user) or _is_liker(line, user))


def _is_liker(line: bytes, user: str) -> bool:
    if b'"type":"likes"' not in line:
        return False
    try:
        event = msgspec.json.decode(line, type=_Likes)
    except msgspec.DecodeError:
        return False
    return event.type == "likes" and user in event.data.users


def erased(lines: Iterable[bytes], user: str) -> list[bytes]:
    """Return the lines without the user's data: events lose their content, sums of likes the name.

    A retraction keeps the id that it retracts.
    """
    kept = []
    for line in lines:
        if not is_of(line, user):
            kept.append(line)
            continue
        event = msgspec.json.decode(line)
        if _is_liker(line, user):
            event["data"]["users"] = [each for each in event["data"]["users"] if each != user]
        elif is_about(event, user) and not is_retraction(line):
            kept.append(redacted(line) or line)
            continue
        kept.append(msgspec.json.encode({n: v for n, v in event.items() if n not in NAMES or v != user}))
    return kept
