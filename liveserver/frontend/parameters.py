"""Parses and checks the query and the `last-event-id` of watching requests.

Thousands of viewers poll with the same query, so short valid queries are cached.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from liveserver.config import FrontendSettings
from liveserver.cursor import Cursor, CursorError
from liveserver.edge.query import LAST_EVENT_ID
from liveserver.edge.request import Request
from liveserver.errors import BadRequest
from liveserver.event import CONTROL_WORDS, is_type
from liveserver.transport.filter import Filter, filter_of
from liveserver.transport.form import UNFILTERED

NOW, EARLIEST = "now", "earliest"
TOKEN = "token"  # noqa: S105  # the query parameter
_NUMBER = re.compile(r"[0-9]{1,6}(?:\.[0-9]{1,6})?")
_DELAY = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,6})?)s?")
KNOWN_QUERIES, KNOWN_QUERY_LENGTH = 1_000, 200


class PollParameters(NamedTuple):
    """The parameters of a long-poll; `wait` and `delay` are in seconds."""

    cursor: Cursor | str
    wait: float
    limit: int
    replay: int
    delay: int
    token: str | None
    chosen: Filter | None = None


class WatchParameters(NamedTuple):
    """The parameters of a stream; `delay` is in seconds; `chosen` is its filter."""

    cursor: Cursor | str
    replay: int
    delay: int
    token: str | None
    chosen: Filter | None = None


_FROM_NOW = WatchParameters(NOW, 0, 0, None)  # of most viewers that come for the first time


class ParameterReader:
    """Reads the parameters of requests, within the limits of the settings."""

    def __init__(self, settings: FrontendSettings) -> None:
        self._settings = settings
        self._polls: dict[str, PollParameters] = {}

    def poll(self, request: Request) -> PollParameters:
        """Return the parameters of a long-poll. Raises `BadRequest`."""
        found = self._polls.get(request.query)
        if found is None:
            found = self._parse_poll(request)
        if b"last-event-id" in request.headers and (last := _last_event_id(request)):
            return found._replace(cursor=parse_cursor(last))
        return found

    def _parse_poll(self, request: Request) -> PollParameters:
        """Return the parameters in the query of a long-poll. Raises `BadRequest`."""
        settings = self._settings
        arguments = request.arguments(
            ("cursor", "wait", "limit", "replay", "behind", "types", "rate", LAST_EVENT_ID, TOKEN)
        )
        found = PollParameters(
            _cursor(arguments, arguments.get(LAST_EVENT_ID)),
            _number(arguments, "wait", 0, settings.max_wait, default=settings.default_wait),
            int(_number(arguments, "limit", 1, settings.poll_events, default=settings.poll_events)),
            self._replay(arguments),
            self._delay(arguments),
            arguments.get(TOKEN),
            self._filter(arguments),
        )
        if len(request.query) <= KNOWN_QUERY_LENGTH and found.token is None:
            if len(self._polls) >= KNOWN_QUERIES:
                self._polls.clear()
            self._polls[request.query] = found
        return found

    def watch(self, request: Request) -> WatchParameters:
        """Return the parameters of a stream. Raises `BadRequest`."""
        if not request.query and b"last-event-id" not in request.headers:
            return _FROM_NOW
        arguments: dict[str, str] = {}
        if request.query:
            arguments = request.arguments(
                ("cursor", "replay", "behind", "types", "rate", LAST_EVENT_ID, TOKEN)
            )
        return WatchParameters(
            _cursor(arguments, _last_event_id(request) or arguments.get(LAST_EVENT_ID)),
            self._replay(arguments),
            self._delay(arguments),
            arguments.get(TOKEN),
            self._filter(arguments),
        )

    def _replay(self, arguments: dict[str, str]) -> int:
        return int(_number(arguments, "replay", 0, self._settings.replay_events, default=0))

    def _delay(self, arguments: dict[str, str]) -> int:
        return parse_delay(arguments["behind"], self._settings) if "behind" in arguments else 0

    def _filter(self, arguments: dict[str, str]) -> Filter | None:
        types = check_types(arguments["types"].split(","), self._settings) if "types" in arguments else None
        limit, rate = self._settings.max_sample_rate, None
        if "rate" in arguments:
            rate = check_rate(int(_number(arguments, "rate", 1, limit, default=limit)), self._settings)
        return filter_of(types, rate)


def _last_event_id(request: Request) -> str:
    return request.headers.get(b"last-event-id", b"").decode("latin-1")


def _cursor(arguments: dict[str, str], last: str | None) -> Cursor | str:
    """Return the cursor, of which the last event id is preferred. Raises `BadRequest`."""
    cursor = parse_cursor(arguments.get("cursor", NOW))  # a malformed one is a 400, also with a last event id
    return parse_cursor(last) if last else cursor


def check_types(names: Sequence[str], settings: FrontendSettings) -> frozenset[bytes]:
    """Return the filter for events of these types. Raises `BadRequest`."""
    if not 0 < len(names) <= settings.filter_types or not all(map(is_type, names)):
        raise BadRequest(
            f"types are 1 to {settings.filter_types} types of events such as like,comment; each has "
            "lower-case letters, digits, _ . and -, at most 32 characters, and begins with a letter"
        )
    if control := sorted(CONTROL_WORDS.intersection(names)):
        raise BadRequest(f"{control[0]} is not a type of events: it is always sent; leave it out of types")
    return UNFILTERED.union(name.encode() for name in names)


def check_rate(rate: int, settings: FrontendSettings) -> int:
    """Return the rate of a sample, in comments a second. Raises `BadRequest`."""
    if not 1 <= rate <= settings.max_sample_rate:
        raise BadRequest(f"rate is a whole number of comments a second, 1 to {settings.max_sample_rate}")
    return rate


def parse_cursor(text: str) -> Cursor | str:
    """Return a cursor, `now` or `earliest`. Raises `BadRequest`."""
    if text in (NOW, EARLIEST):
        return text
    try:
        return Cursor.parse(text)
    except CursorError as error:
        raise BadRequest(f"{error}; or write cursor=now or cursor=earliest") from None


def parse_delay(text: str, settings: FrontendSettings) -> int:
    """Return the delay in whole seconds, from `12.5s` or `12.5`. Raises `BadRequest`."""
    found = _DELAY.fullmatch(text)
    if found is None or float(found[1]) > settings.max_delay:
        raise BadRequest(f"behind is a time in seconds from 0 to {settings.max_delay:g}, such as 12.5s")
    return int(float(found[1]) + 0.5)


def check_delay(seconds: float, settings: FrontendSettings) -> int:
    """Return the delay in whole seconds, from a number. Raises `BadRequest`."""
    if not 0 <= seconds <= settings.max_delay:
        raise BadRequest(f"behind is a number of seconds from 0 to {settings.max_delay:g}")
    return int(seconds + 0.5)


def _number(arguments: dict[str, str], name: str, minimum: float, maximum: float, *, default: float) -> float:
    if name not in arguments:
        return default
    text = arguments[name]
    value = float(text) if _NUMBER.fullmatch(text) else -1.0
    if not minimum <= value <= maximum or (name != "wait" and value != int(value)):
        raise BadRequest(f"{name} is a number from {minimum:g} to {maximum:g}")
    return value
