"""Operations of frontends: watching."""

from __future__ import annotations

from liveserver.config import FrontendSettings
from liveserver.web.openapi.components import (
    COUNT,
    JSON,
    NDJSON,
    SSE,
    TEXT,
    YES_OR_NO,
    Json,
    answer,
    header,
    problems,
    query,
    record,
    ref,
    schema,
    whole,
)

_CURSOR = {
    "description": "`now` (default), `earliest` (the oldest retained), or a cursor",
    "anyOf": [{"enum": ["now", "earliest"]}, schema("Cursor")],
}
_TOKEN = query("token", "A short-lived token, for clients that cannot send headers", ref("schemas", "Token"))

SCHEMAS: Json = {
    "Token": {"type": "string"},
    "Page": record(
        {
            "cursor": schema("Cursor"),
            "gap": {**YES_OR_NO, "description": "Events after the requested cursor are gone"},
            "skipped": {
                "const": "ephemeral",
                "description": "Ephemeral events after the cursor (likes) are gone; all others follow",
            },
            "state": {
                "type": "array",
                "items": schema("Event"),
                "description": "The newest event of each key: without a cursor, with a gap, or skipped",
            },
            "omitted": {**COUNT, "description": "Comments after the cursor that `rate` leaves out"},
            "events": {"type": "array", "items": schema("Event")},
        },
        "state",
        "skipped",
        "omitted",
    ),
    "Viewers": record(
        {
            "video": schema("Video"),
            "here": COUNT,
            "datacenter": COUNT,
            "total": COUNT,
            "unique": {
                **COUNT,
                "description": "Approximate number of users who have watched in this datacenter",
            },
            "peak": {**COUNT, "description": "The most viewers at once, in all datacenters"},
        },
        "unique",
        "peak",
        description="Number of viewers: at this node, in its datacenter, in all. `unique` and `peak` need "
        "the scope `moderate` or a publisher's key",
    ),
}


VIEWERS_SCHEMAS: Json = {name: SCHEMAS[name] for name in ("Token", "Viewers")}

VIEWERS_PATHS: Json = {
    "/v1/videos/{video}/viewers": {
        "get": {
            "operationId": "viewers",
            "tags": ["watching"],
            "summary": "How many are watching",
            "parameters": [ref("parameters", "Video"), _TOKEN],
            "responses": {
                "200": answer("At this node, in its datacenter, in all datacenters", JSON, schema("Viewers")),
                **problems(400, 401, 403, 429, 431, 500, 503),
            },
        }
    },
}


def paths(settings: FrontendSettings) -> Json:
    """Return the operations, with the limits of these settings."""
    replay = query(
        "replay",
        "Without a cursor: begin with this many of the last retained events",
        whole(0, settings.replay_events),
    )
    behind = query(
        "behind",
        f"Seconds behind live, such as `12.5s`, at most {settings.max_delay:g}; rounded to whole ones",
        {"type": "string", "pattern": "^(0|[1-9][0-9]{0,3})([.][0-9]{1,3})?s?$", "example": "12.5s"},
    )
    types = query(
        "types",
        f"Only events of these types, at most {settings.filter_types}; retractions and what controls the "
        "stream come always",
        {
            "type": "string",
            "pattern": "^[a-z][a-z0-9_.-]{0,31}(,[a-z][a-z0-9_.-]{0,31})*$",
            "example": "like,comment",
        },
    )
    last_event_id = header(
        "Last-Event-ID", "Where to begin; takes precedence over `cursor`", schema("Cursor")
    )
    rate = query(
        "rate",
        "At most so many comments a second; `omitted` says how many are left out",
        whole(1, settings.max_sample_rate),
    )
    stream = {
        "description": "`ready`, then `state` unless it resumed, the events as they come, `gap` and `state` "
        "if events are gone, then `bye`",
    }
    return {
        "/v1/videos/{video}/events": {
            "get": {
                "operationId": "watch",
                "tags": ["watching"],
                "summary": "Watch a video as a stream of Server-Sent Events or JSON lines",
                "description": "It ends only when the client or the server ends it, with `bye` in that case. "
                "A node that is full answers 200 as well, with `retry` and `bye`: an error status would stop "
                "a browser's EventSource for good.",
                "parameters": [
                    ref("parameters", "Video"),
                    query("cursor", "Where to begin", _CURSOR),
                    last_event_id,
                    replay,
                    behind,
                    types,
                    rate,
                    _TOKEN,
                ],
                "responses": {
                    "200": {
                        "description": "The stream",
                        "content": {SSE: {"schema": stream}, NDJSON: {"schema": stream}},
                    },
                    **problems(400, 401, 403, 431, 500),
                },
            }
        },
        "/v1/videos/{video}/poll": {
            "get": {
                "operationId": "poll",
                "tags": ["watching"],
                "summary": "Long-poll: return the events after the cursor, waiting for one if there is none",
                "parameters": [
                    ref("parameters", "Video"),
                    query(
                        "cursor",
                        "Where to continue; without one, the present cursor is returned at once",
                        _CURSOR,
                    ),
                    last_event_id,
                    query(
                        "wait",
                        "Seconds until an answer without events",
                        {
                            "type": "number",
                            "minimum": 0,
                            "maximum": float(settings.max_wait),
                            "default": float(settings.default_wait),
                        },
                    ),
                    query("limit", "Events at most", whole(1, settings.poll_events, settings.poll_events)),
                    replay,
                    behind,
                    types,
                    rate,
                    _TOKEN,
                ],
                "responses": {
                    "200": answer("The events, and the cursor after them", JSON, schema("Page")),
                    **problems(400, 401, 403, 429, 431, 500, 503),
                },
            }
        },
        **VIEWERS_PATHS,
        "/v1/ws": {
            "get": {
                "operationId": "socket",
                "tags": ["watching"],
                "summary": "Watch many videos on one WebSocket",
                "description": 'Send `{"subscribe":{"video":"v1","cursor":"…"}}` and '
                '`{"unsubscribe":{"video":"v1"}}`, `{"behind":{"video":"v1","seconds":8}}`; '
                "the server sends `ready`, `events`, `gap`, `error`, `bye`. "
                "Closes with 1001 when draining, 1008 not allowed, 1009 too big, 1013 overloaded, 4008 too "
                "slow.",
                "parameters": [
                    _TOKEN,
                    header("Upgrade", "`websocket`", TEXT),
                    header("Sec-WebSocket-Version", "`13`", TEXT),
                    header("Sec-WebSocket-Key", "16 random bytes in base 64", TEXT),
                ],
                "responses": {
                    "101": answer("Switches to the WebSocket protocol"),
                    **problems(400, 401, 403, 426, 429, 431, 500, 503),
                },
            }
        },
    }
