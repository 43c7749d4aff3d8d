"""Request bodies of publishers → checked events, rendered once into lines. No I/O."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable

import msgspec
import trio

from liveserver import state
from liveserver.config import DispatcherSettings
from liveserver.dispatcher.json_check import check_names, check_value, documents, escape_line_ends
from liveserver.errors import BadRequest, TooLarge
from liveserver.event import (
    INTERNAL_TYPES,
    NODE_ONLY_TYPES,
    RESERVED_TYPES,
    RETRACT,
    USERS,
    Event,
    NodePublication,
    Publication,
    is_node_only,
    is_type,
    is_user,
    is_video,
)
from liveserver.ids import IdMaker
from liveserver.malformed import explain_decode_error

APART = 1_000  # ms between `at` and when the event is accepted, beyond which viewers are sent both
ROLES = frozenset({"host", "moderator"})
MAX_NAME = 128  # characters of an id
YIELD_BYTES = 32 * 1024  # of a body, between two checkpoints
KNOWN, KNOWN_BYTES = 1_000, 64  # the number of checked values remembered, and the maximum length of one

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEPS)

_one = msgspec.json.Decoder(Publication)
_several = msgspec.json.Decoder(list[Publication])
_of_nodes = msgspec.json.Decoder(list[NodePublication])
_encode = msgspec.json.Encoder().encode


class VideoBatch(msgspec.Struct, gc=False):
    """Events of one video, as lines, with the publisher's ids in parallel (None: generated here).

    `is_keyed`: some events are keyed. `is_node_only`: some may be published by nodes only.
    """

    video: str
    lines: list[bytes]
    ids: list[str | None]
    is_keyed: bool = False
    is_node_only: bool = False


class Parser:
    """Parses the bodies of publish requests. A request is accepted as a whole or not at all."""

    def __init__(self, settings: DispatcherSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._new_id = IdMaker()
        self._known: dict[bytes, msgspec.Raw] = {}  # checked data: likes have few different values

    async def parse(
        self, body: bytes, kind: str, video: str | None, *, retractions: bool = False, lenient: bool = False
    ) -> list[VideoBatch]:
        """Parse a body like `video_batches`, with checkpoints for a large one."""
        if len(body) <= YIELD_BYTES:
            return self.video_batches(body, kind, video, retractions=retractions, lenient=lenient)
        publications = self._decode(body, kind, lenient)
        video_batches: dict[str, VideoBatch] = {}
        step = max(1, len(publications) * YIELD_BYTES // len(body))
        is_doubtful = _has_doubtful_names(publications, body)
        for start in range(0, len(publications), step):
            await trio.lowlevel.checkpoint()
            is_doubtful |= self._render(
                publications[start : start + step], start, video, retractions, video_batches, lenient
            )
        if is_doubtful:
            checked = 0
            for document in documents(body, kind):
                check_names(document)
                checked += len(document)
                if checked > YIELD_BYTES:
                    checked = 0
                    await trio.lowlevel.checkpoint()
        return list(video_batches.values())

    def video_batches(
        self, body: bytes, kind: str, video: str | None, *, retractions: bool = False, lenient: bool = False
    ) -> list[VideoBatch]:
        """Return one batch per video, in the order in which they are first named.

        `kind` is the body's media type; `video` is the path's, or None when each event names its own.
        Either all events are `retractions`, or none is. `lenient`: an `at` too far ahead of this node's clock
        becomes now, so that a wrong clock does not lose stored events. Raises `BadRequest` or `TooLarge`,
        which name the malformed event, counted from 1.
        """
        publications = self._decode(body, kind, lenient)
        video_batches: dict[str, VideoBatch] = {}
        is_doubtful = self._render(publications, 0, video, retractions, video_batches, lenient)
        if is_doubtful or _has_doubtful_names(publications, body):
            for document in documents(body, kind):
                check_names(document)
        return list(video_batches.values())

    def _render(
        self,
        publications: list[Publication],
        start: int,
        video: str | None,
        retractions: bool,
        video_batches: dict[str, VideoBatch],
        lenient: bool = False,
    ) -> bool:
        """Add events to `video_batches`; `start` is the number of events before them.

        Returns whether their data may have duplicate names. Raises `BadRequest`, `TooLarge`.
        """
        now = int(self._clock() * 1000)
        is_doubtful = False
        for index, publication in enumerate(publications, start + 1):
            try:
                name = video if publication.video is None else None
                if name is None:
                    name = self._video_of(publication, video)
                event = self._event(publication, name, now, retractions)
                raw = bytes(publication.data)
                if raw:
                    data = self._known.get(raw)
                    if data is None:
                        is_doubtful |= self._check_data(raw)
                        data = self._known.get(raw) or msgspec.Raw(_on_one_line(raw))
                    event.data = data
                is_plain = (
                    publication.key is None
                    and publication.version is None
                    and publication.position is None
                    and publication.at is None
                    and publication.role is None
                    and publication.by is None
                    and event.type not in NODE_ONLY_TYPES
                )
                if is_plain:
                    head = event.type.encode()
                else:
                    if publication.at is not None:
                        event.at = self._done_at(publication.at, now, lenient)
                        if abs(now - event.at) > APART:
                            event.accepted = now
                    head = _extended(publication, event)
                line = head + b" " + _encode(event)
            except (BadRequest, TooLarge) as error:
                if len(publications) == 1 and not start:
                    raise
                raise type(error)(f"event {index}: {error.detail}") from None
            video_batch = video_batches.get(name)
            if video_batch is None:
                video_batch = video_batches[name] = VideoBatch(name, [], [])
            video_batch.lines.append(line if line.isascii() else escape_line_ends(line))
            video_batch.ids.append(publication.id)
            if not is_plain:
                video_batch.is_keyed |= head.startswith(state.MARK)
                video_batch.is_node_only |= _has_node_only(publication)
        return is_doubtful

    def _done_at(self, at: int, now: int, lenient: bool) -> int:
        """Return the time of an event's action. Raises `BadRequest`."""
        ahead = int(self._settings.max_ahead * 1000)
        if 0 <= at <= now + ahead:
            return at
        if lenient:
            return now
        raise BadRequest(f"at is in milliseconds since the epoch, and at most {ahead} ms ahead")

    def canary(self, video: str, token: str) -> list[VideoBatch]:
        """Return a batch of one event that has only an id."""
        now = int(self._clock() * 1000)
        event = self._event(Publication("canary", id=token), video, now)
        return [VideoBatch(video, [b"canary " + _encode(event)], [token])]

    def _decode(self, body: bytes, kind: str, lenient: bool = False) -> list[Publication]:
        """Decode a body. Raises `BadRequest`, `TooLarge`.

        `lenient`: unknown fields of an array's events are ignored; nodes publish so.
        """
        publications: list[Publication]
        try:
            if not body.isascii():
                body.decode("utf-8")
            if kind == "application/x-ndjson":
                publications = _one.decode_lines(body)
            elif body.lstrip()[:1] == b"[":
                publications = [*_of_nodes.decode(body)] if lenient else _several.decode(body)
            else:
                return [_one.decode(body)]
        except UnicodeDecodeError:
            raise BadRequest("the body is not UTF-8") from None
        except RecursionError:
            raise BadRequest("the JSON is nested too deeply") from None
        except msgspec.DecodeError as error:
            raise BadRequest(f"malformed body: {explain_decode_error(error)}") from None
        if not publications:
            raise BadRequest("the body has no event")
        if len(publications) > self._settings.max_events:
            raise TooLarge(f"one request has at most {self._settings.max_events} events")
        return publications

    def _video_of(self, publication: Publication, video: str | None) -> str:
        name = publication.video
        if video is None:
            if name is None or not is_video(name):
                raise BadRequest(
                    "name the event's video: 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"
                )
            return name
        if name is not None and name != video:
            raise BadRequest("the event names another video than the path; publish it at /v1/events")
        return video

    def _event(self, publication: Publication, video: str, now: int, retractions: bool = False) -> Event:
        """Return the event as viewers see it, without its data. Raises `BadRequest`."""
        kind, user, own_id = publication.type, publication.user, publication.id
        if not is_type(kind):
            raise BadRequest("a type has 1 to 32 of a-z 0-9 _ . -, beginning with a letter")
        if retractions:
            if kind != RETRACT:
                raise BadRequest(f"the type must be {RETRACT} here; publish other types at /v1/events")
        elif kind in RESERVED_TYPES:
            raise BadRequest(f"the type {kind} is reserved")
        if user is not None and not is_user(user):
            raise BadRequest(USERS)
        if own_id is not None and not (0 < len(own_id) <= MAX_NAME and own_id.isprintable()):
            raise BadRequest(f"an id has 1 to {MAX_NAME} printable characters")
        return Event(own_id or self._new_id(now), video, kind, msgspec.UNSET if user is None else user, now)

    def _check_data(self, raw: bytes) -> bool:
        """Check an event's data; return whether it may have duplicate names.

        Raises `BadRequest`, `TooLarge`.
        """
        if len(raw) > self._settings.max_data:
            raise TooLarge(f"an event's data has at most {self._settings.max_data} bytes")
        if raw.count(b"[") + raw.count(b"{") > self._settings.max_depth:
            self._check_depth(raw)
        is_doubtful = check_value(raw)
        if not is_doubtful and len(raw) <= KNOWN_BYTES:
            if len(self._known) >= KNOWN:
                self._known.clear()
            self._known[raw] = msgspec.Raw(_on_one_line(raw))
        return is_doubtful

    def _check_depth(self, raw: bytes) -> None:
        """Raise `BadRequest` if data is nested too deeply. In C, so that many brackets do not take long."""
        brackets = _STRING.sub(b"", raw).translate(None, _NO_BRACKETS)
        if max(itertools.accumulate(map(_STEPS.__getitem__, brackets)), default=0) > self._settings.max_depth:
            raise BadRequest(f"data is nested at most {self._settings.max_depth} deep")


def _on_one_line(raw: bytes) -> bytes:
    """Return the JSON without line breaks, which are white space: in strings they are escaped."""
    return raw.translate(None, b"\r\n") if b"\n" in raw or b"\r" in raw else raw


def _has_doubtful_names(publications: list[Publication], body: bytes) -> bool:
    """Return whether a field may be duplicated: then the body has more quotes than ours, or escapes."""
    return b"\\" in body or body.count(b'"') != _encode(publications).count(b'"')


def _has_node_only(publication: Publication) -> bool:
    """Return whether only nodes may publish this event."""
    return (
        is_node_only(publication.type, publication.key)
        or publication.role is not None
        or publication.by is not None
    )


def _extended(publication: Publication, event: Event) -> bytes:
    """Set the event's optional fields; return the head of its line. Raises `BadRequest`."""
    role, by, position = publication.role, publication.by, publication.position
    if role is not None:
        if role not in ROLES:
            raise BadRequest("a role is host or moderator")
        event.role = role
    if by is not None:
        if not is_user(by):
            raise BadRequest(USERS)
        event.by = by
    if position is not None:
        if not 0 <= position <= state.MAX_VERSION:
            raise BadRequest("a position is a number of milliseconds from 0 to 2^53 - 1")
        event.position = position
    if publication.key is None and event.type not in INTERNAL_TYPES:
        if publication.version is not None:
            raise BadRequest("a version belongs to a key; give the event a key, too")
        return event.type.encode()
    return _keyed_head(publication, event)


def _keyed_head(publication: Publication, event: Event) -> bytes:
    """Return the head of a keyed or internal event's line. Raises `BadRequest`."""
    key, version = publication.key, publication.version
    if key is not None:
        if not state.KEY.fullmatch(key):
            raise BadRequest("a key has 1 to 128 of a-z 0-9 _ . : / -, beginning with a letter")
        event.key = key
    if version is not None:
        if key is None:
            raise BadRequest("a version belongs to a key; give the event a key, too")
        if not 0 <= version <= state.MAX_VERSION:
            raise BadRequest("a version is a number from 0 to 2^53 - 1")
        event.version = version
    if not state.KEYED_ID.fullmatch(event.id):
        raise BadRequest('the id of an event with a key is printable ASCII, without " and \\')
    return state.head(
        event.type,
        key or "",
        version,
        event.at,
        is_cleared=bytes(publication.data) == b"null",
        is_internal=event.type in INTERNAL_TYPES,
    )
