"""The query of a request: its known parameters, without those that libraries add to a URL."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import parse_qsl

from liveserver.errors import BadRequest

MAX_PARAMETERS = 16
_LIMIT = re.compile(r"[0-9]{1,9}")
LAST_EVENT_ID = "last-event-id"  # its name among the arguments, in whichever spelling it was sent

# Parameters that libraries add to a URL, to bypass caches or to describe themselves; they are ignored.
# `_`: jQuery. `r`, `padding`: Yaffle's EventSource polyfill. `evs_…`: amvtek's. `_dc`: Ext JS.
# `zx`: Closure. The others: hand-written code.
_IGNORED_PARAMETERS = frozenset(
    {"_", "r", "padding", "evs_preamble", "evs_buffer_size_limit", "_dc", "zx"}
    | {"t", "ts", "_t", "_ts", "timestamp", "rnd", "rand", "random"}
    | {"cb", "nocache", "no_cache", "bust", "cachebust", "cachebuster", "cache_buster"}
)
# `lastEventId`: Yaffle's polyfill, reconnecting-eventsource. `lastEventID`, `Last-Event-ID`: Mercure's
# clients. `last-event-id`, `last_event_id`: other servers' clients. `evs_last_event_id`: amvtek's.
_LAST_EVENT_ID = frozenset({"lasteventid", "evslasteventid"})


def parse_arguments(query: str, known: Collection[str]) -> dict[str, str]:
    """Return the parameters of a query, which is not empty, except ignored ones (`_`).

    If `LAST_EVENT_ID` is known, so are its other spellings; an empty one is ignored.
    Raises `BadRequest` on parameters that are unknown or repeated.
    """
    try:
        pairs = _pairs(query)
    except ValueError:
        pairs = _pairs_but_numbers(query)
    if len(pairs) > MAX_PARAMETERS:
        raise BadRequest(f"a query may have at most {MAX_PARAMETERS} parameters")
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in known and name != LAST_EVENT_ID:
            if name in found:
                raise BadRequest("a query parameter is given twice")
            found[name] = value
        elif name in _IGNORED_PARAMETERS:
            continue
        elif LAST_EVENT_ID in known and re.sub("[-_]", "", name).lower() in _LAST_EVENT_ID:
            if value:  # the last one counts: libraries append it to their URL
                found[LAST_EVENT_ID] = value
        else:
            others = f"known here: {', '.join(sorted(known))}" if known else "none is known here"
            raise BadRequest(f"unknown query parameter {name[:40]!r}; {others}")
    return found


def parse_limit(text: str, most: int) -> int:
    """Return the number of entries of a page. Raises `BadRequest`."""
    if not (_LIMIT.fullmatch(text) and 0 < int(text) <= most):
        raise BadRequest(f"limit is a number from 1 to {most}")
    return int(text)


def _pairs(query: str) -> list[tuple[str, str]]:
    """Return the names and values of a query. Raises `ValueError`."""
    if "%" in query or "+" in query:
        return parse_qsl(query, keep_blank_values=True, strict_parsing=True)
    plain = (pair.split("=", 1) for pair in query.split("&"))
    return [(name, value) for name, value in plain]


def _pairs_but_numbers(query: str) -> list[tuple[str, str]]:
    """Return what `_pairs` does, without bare numbers (`?1699999999`), which bypass caches. Raises
    `BadRequest`.
    """
    parts = query.split("&")
    rest = [part for part in parts if not (part.isascii() and part.isdecimal())]
    try:
        return _pairs("&".join(rest)) if rest else []
    except ValueError:
        raise BadRequest("the query is malformed; write it as ?name=value&name=value") from None
