"""Comments, retractions, other stores' totals, rules and acts, extracted from a video's log. No I/O."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from liveserver import state
from liveserver.event import RETRACT, Batch
from liveserver.moderation.rules import is_rule
from liveserver.state import Keyed

LIKES_KEY = "likes/"  # followed by the store's id
MAX_ID, MAX_STORE, MAX_REACTION, MAX_ROLE, MAX_TOTAL = 128, 64, 32, 16, 2**53 - 1


class ReceivedComment(msgspec.Struct, frozen=True):
    """The comment of an event."""

    id: str
    user: str | None
    text: str
    at: int
    position: int | None = None
    role: str | None = None


class ReceivedRule(msgspec.Struct, frozen=True):
    """A rule of the video: a keyed event, and its `line` in the log."""

    event: Keyed
    line: bytes


class ReceivedAct(msgspec.Struct, frozen=True):
    """An act of a moderator: an event with `by`, as JSON."""

    id: str
    at: int
    event: bytes


class ReceivedEvents(msgspec.Struct):
    """The events of a video's log, read up to `offset` of `epoch`, that this backend stores.

    `totals` are by store and reaction. `is_complete`: the log has been read without a gap.
    """

    video: str
    epoch: str = ""
    offset: int = 0
    is_complete: bool = False
    comments: list[ReceivedComment] = []
    retracted: list[str] = []
    totals: dict[str, dict[str, int]] = {}
    rules: list[ReceivedRule] = []
    acts: list[ReceivedAct] = []


class _Text(msgspec.Struct):
    text: str


class _Comment(msgspec.Struct):
    id: str
    data: _Text
    at: int
    user: str | None = None
    position: int | None = None
    role: str | None = None


class _Act(msgspec.Struct):
    id: str
    at: int
    by: str


class _User(msgspec.Struct):
    user: str


class _Cleared(msgspec.Struct):
    data: _User


class _Target(msgspec.Struct):
    id: str


class _Retraction(msgspec.Struct):
    data: _Target


class _Sums(msgspec.Struct):
    total: dict[str, int]


class _Likes(msgspec.Struct):
    data: _Sums


_comment = msgspec.json.Decoder(_Comment).decode
_retraction = msgspec.json.Decoder(_Retraction).decode
_likes = msgspec.json.Decoder(_Likes).decode
_act = msgspec.json.Decoder(_Act).decode
_cleared = msgspec.json.Decoder(_Cleared).decode
_BY = b'"by":"'


def add_batches(received: ReceivedEvents, batches: Iterable[Batch]) -> None:
    """Add the contents of these batches. Events of another shape are skipped: other publishers exist."""
    for batch in batches:
        for line in batch.lines:
            if _BY in line:
                _add_act(received, line)
            if line[0] == state.MARK_BYTE:
                add_state_lines(received, [line])
                continue
            kind, _, event = line.partition(b" ")
            try:
                if kind == b"comment":
                    comment = _comment(event)
                    position = comment.position
                    if position is not None and not 0 <= position <= state.MAX_VERSION:
                        position = None
                    user = None if comment.user is None else _storable(comment.user)
                    role = comment.role
                    if role is not None and not _is_storable_id(role, MAX_ROLE):
                        role = None
                    if _is_storable_id(comment.id):
                        text = _storable(comment.data.text)
                        received.comments.append(
                            ReceivedComment(comment.id, user, text, comment.at, position, role)
                        )
                elif kind == RETRACT.encode() and _is_storable_id(target := _retraction(event).data.id):
                    received.retracted.append(target)
            except msgspec.DecodeError:
                continue


def add_state_lines(received: ReceivedEvents, lines: Iterable[bytes]) -> None:
    """Add the stores' totals and the rules among these lines of a video's state."""
    for line in lines:
        try:
            event = state.read(line)
            if is_rule(event):
                received.rules.append(ReceivedRule(event, line))
                continue
            if not event.key.startswith(LIKES_KEY) or event.is_cleared:
                continue
            total = _likes(event.data).data.total
        except (state.MalformedKeyed, msgspec.DecodeError):
            continue
        store = event.key[len(LIKES_KEY) :]
        if len(store) > MAX_STORE or "\0" in "".join(total):
            continue
        known = received.totals.setdefault(store, {})
        for reaction, number in total.items():
            if len(reaction) <= MAX_REACTION and 0 <= number <= MAX_TOTAL:
                known[reaction] = max(number, known.get(reaction, 0))


def cleared_user(event: Keyed) -> str | None:
    """Return the user whose comments a `clear/…` event retracts; None if it is malformed."""
    try:
        return None if event.is_cleared else _cleared(event.data).data.user
    except msgspec.DecodeError:
        return None


def _add_act(received: ReceivedEvents, line: bytes) -> None:
    event = line.partition(b" ")[2]
    try:
        act = _act(event)
    except msgspec.DecodeError:
        return
    if _is_storable_id(act.id):
        received.acts.append(ReceivedAct(act.id, act.at, event))


def _is_storable_id(name: str, most: int = MAX_ID) -> bool:
    """Return whether the database can store this id."""
    return len(name) <= most and "\0" not in name


def _storable(text: str) -> str:
    return text.replace("\0", "") if "\0" in text else text
