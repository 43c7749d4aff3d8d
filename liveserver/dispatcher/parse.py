"""What a publisher sent, checked, and rendered once into the lines that travel: no I/O."""

from __future__ import annotations

import itertools
import re
import time
from collections.abc import Callable

import msgspec

from liveserver.config import DispatcherSettings
from liveserver.errors import BadRequest, TooLarge
from liveserver.event import RESERVED_TYPES, RETRACT, TYPE, VIDEO, Event, Publication
from liveserver.ids import IdMaker

MAX_NAME = 128  # characters of a user or an id

_STRING = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(byte for byte in range(256) if byte not in _STEPS)

_one = msgspec.json.Decoder(Publication)
_several = msgspec.json.Decoder(list[Publication])
_encode = msgspec.json.Encoder().encode


class VideoBatch(msgspec.Struct, gc=False):
    """Events of one video, as lines, with the publisher's ids beside them (None: made up here)."""

    video: str
    lines: list[bytes]
    ids: list[str | None]


class Parser:
    """Bodies of publish requests into lots. All of a request is taken or none of it."""

    def __init__(self, settings: DispatcherSettings, clock: Callable[[], float] = time.time) -> None:
        self._settings = settings
        self._clock = clock
        self._new_id = IdMaker()

    def lots(
        self, body: bytes, kind: str, video: str | None, *, retractions: bool = False
    ) -> list[VideoBatch]:
        """One lot per video, in the order in which they are first named.

        `kind` is the body's media type; `video` is the path's, or None when each event names its own.
        Events are either of types that anybody may publish, or they are all `retractions`.
        Raises `BadRequest` or `TooLarge`, which say which event is wrong, counted from 1.
        """
        publications = self._decode(body, kind)
        if not publications:
            raise BadRequest("there is no event in the body")
        if len(publications) > self._settings.max_events:
            raise TooLarge(f"one request has at most {self._settings.max_events} events")
        now = int(self._clock() * 1000)
        lots: dict[str, VideoBatch] = {}
        for index, publication in enumerate(publications, 1):
            try:
                name = self._video_of(publication, video)
                line = self._line(publication, name, now, retractions)
            except (BadRequest, TooLarge) as error:
                if len(publications) == 1:
                    raise
                raise type(error)(f"event {index}: {error.detail}") from None
            lot = lots.get(name)
            if lot is None:
                lot = lots[name] = VideoBatch(name, [], [])
            lot.lines.append(line)
            lot.ids.append(publication.id)
        return list(lots.values())

    def canary(self, video: str, token: str) -> list[VideoBatch]:
        """One event that says nothing but its id."""
        now = int(self._clock() * 1000)
        return [VideoBatch(video, [self._line(Publication("canary", id=token), video, now)], [token])]

    def _decode(self, body: bytes, kind: str) -> list[Publication]:
        try:
            if not body.isascii():
                body.decode("utf-8")
            if kind == "application/x-ndjson":
                return _one.decode_lines(body)
            return _several.decode(body) if body.lstrip()[:1] == b"[" else [_one.decode(body)]
        except UnicodeDecodeError:
            raise BadRequest("the body is not UTF-8") from None
        except RecursionError:
            raise BadRequest("the JSON is nested too deeply") from None
        except msgspec.DecodeError as error:
            raise BadRequest(f"the body is not what is published here: {error}") from None

    def _video_of(self, publication: Publication, video: str | None) -> str:
        name = publication.video
        if video is None:
            if name is None or not VIDEO.fullmatch(name):
                raise BadRequest(
                    "name the event's video: 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"
                )
            return name
        if name is not None and name != video:
            raise BadRequest("the event names another video than the path; publish it at /v1/events")
        return video

    def _line(self, publication: Publication, video: str, now: int, retractions: bool = False) -> bytes:
        """`type`, a space and the event as viewers see it."""
        kind, user, own_id, data = publication.type, publication.user, publication.id, publication.data
        if not TYPE.fullmatch(kind):
            raise BadRequest("a type has 1 to 32 of a-z 0-9 _ . -, beginning with a letter")
        if retractions:
            if kind != RETRACT:
                raise BadRequest(f"here the type is {RETRACT}; publish others at /v1/events")
        elif kind in RESERVED_TYPES:
            raise BadRequest(f"the type {kind} is reserved")
        if user is not None and len(user) > MAX_NAME:
            raise BadRequest(f"a user has at most {MAX_NAME} characters")
        if own_id is not None and not (0 < len(own_id) <= MAX_NAME and own_id.isprintable()):
            raise BadRequest(f"an id has 1 to {MAX_NAME} printable characters")
        event = Event(own_id or self._new_id(now), video, kind, msgspec.UNSET if user is None else user, now)
        raw = bytes(data)
        if raw:
            if len(raw) > self._settings.max_data:
                raise TooLarge(f"an event's data has at most {self._settings.max_data} bytes")
            if b"\n" in raw or b"\r" in raw:
                raw = raw.translate(None, b"\r\n")  # white space: JSON strings cannot hold them bare
            if raw.count(b"[") + raw.count(b"{") > self._settings.max_depth:
                self._check_depth(raw)
            event.data = msgspec.Raw(raw)
        return kind.encode() + b" " + _encode(event)

    def _check_depth(self, raw: bytes) -> None:
        """In C as far as it goes: a body full of brackets must not hold up the others."""
        brackets = _STRING.sub(b"", raw).translate(None, _NO_BRACKETS)
        if max(itertools.accumulate(map(_STEPS.__getitem__, brackets)), default=0) > self._settings.max_depth:
            raise BadRequest(f"data is nested at most {self._settings.max_depth} deep")
