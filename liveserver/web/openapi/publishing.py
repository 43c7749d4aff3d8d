"""Publishing, and what frontends ask of a dispatcher."""

from __future__ import annotations

from liveserver.config import DispatcherSettings
from liveserver.event import RESERVED_TYPES
from liveserver.web.openapi.components import (
    BETWEEN_NODES,
    COUNT,
    EVENT_KEY,
    EXACT,
    JSON,
    NDJSON,
    OPTIONAL_NAME,
    TEXT,
    YES_OR_NO,
    Json,
    answer,
    problems,
    record,
    ref,
    schema,
    whole,
)

_TYPE = {
    "type": "string",
    "pattern": f"^(?!({'|'.join(sorted(RESERVED_TYPES))})$)[a-z][a-z0-9_.-]{{0,31}}$",
}
_ID = {
    "type": ["string", "null"],
    "minLength": 1,
    "maxLength": 128,
    "description": "Printable. The publisher's own: one seen lately is a duplicate, and not sent again",
}
_DATA = {"description": "Any JSON, at most dispatcher.max_data and not too deep"}
_NODE = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"}

_KEYED = {"key": EVENT_KEY, "version": EXACT, "position": EXACT}  # see components
_AT = {
    **EXACT,
    "description": "When it was done, in milliseconds since the epoch; at most dispatcher.max_ahead ahead. "
    "With `prefer: handling=lenient`, what is further ahead is taken for now, and not refused",
}
_NODES_OWN = {
    "at": _AT,
    "role": {"enum": ["host", "moderator", None], "description": "Nodes only: what its user is"},
    "by": {**OPTIONAL_NAME, "description": "Nodes only: the moderator that did it"},
}
_PUBLICATION = {"type": _TYPE, "user": OPTIONAL_NAME, "data": _DATA, "id": _ID, **_KEYED, **_NODES_OWN}
_OPTIONAL = ("user", "data", "id", *_KEYED, *_NODES_OWN)

_STALE = {**COUNT, "description": "Keyed events that were older than the state; with keyed events only"}

SCHEMAS: Json = {
    "Publication": record(_PUBLICATION, *_OPTIONAL, closed=True, description="An event to publish"),
    "PublicationOf": record(
        {**_PUBLICATION, "video": schema("Video")},
        *_OPTIONAL,
        closed=True,
        description="An event to publish, with the video it is of",
    ),
    "Retraction": record(
        {
            **_PUBLICATION,
            "type": {"const": "retract"},
            "data": {"description": 'Which event: `{"id":"…"}`'},
            "video": schema("Video"),
        },
        *_OPTIONAL,
        closed=True,
        description="An earlier event is to disappear",
    ),
    "Accepted": record(
        {"accepted": COUNT, "duplicates": COUNT, "stale": _STALE, "cursor": schema("Cursor")}, "stale"
    ),
    "AcceptedOfEach": record(
        {
            "accepted": COUNT,
            "duplicates": COUNT,
            "stale": _STALE,
            "cursors": {"type": "object", "additionalProperties": schema("Cursor")},
        },
        "stale",
    ),
    "LeaseRequest": record(
        {
            "node": _NODE,
            "lease": {"type": "number", "exclusiveMinimum": 0, "description": "Seconds"},
            "videos": {
                "type": "object",
                "description": "Viewers of each",
                "propertyNames": schema("Video"),
                "additionalProperties": whole(0, 2**31),
            },
            "opening": {
                "type": "array",
                "items": schema("Video"),
                "description": "Those of the videos whose state is asked for",
            },
        },
        "opening",
        closed=True,
    ),
    "Leases": record(
        {
            "heads": {
                "type": "object",
                "additionalProperties": record(
                    {
                        "epoch": TEXT,
                        "offset": COUNT,
                        "cursor": schema("Cursor"),
                        "datacenter": COUNT,
                        "total": COUNT,
                        "is_announced": YES_OR_NO,
                        "state": {"type": "array", "items": TEXT, "description": "Lines of the state"},
                    },
                    "datacenter",
                    "total",
                    "is_announced",
                    "state",
                ),
            },
            "origin": TEXT,
        },
        "origin",
    ),
    "WithdrawRequest": record(
        {"node": _NODE, "videos": {"type": "array", "items": schema("Video")}}, closed=True
    ),
}

_KEY: list[Json] = [{}, {"key": []}]
_SIGNATURE: list[Json] = [{}, {"signature": []}]


def _body(name: str, settings: DispatcherSettings) -> Json:
    one = schema(name)
    several = {"type": "array", "items": one, "minItems": 1, "maxItems": settings.max_events}
    lines = {"type": "string", "description": "One such object a line"}
    return {
        "required": True,
        "content": {JSON: {"schema": {"anyOf": [one, several]}}, NDJSON: {"schema": lines}},
    }


def paths(settings: DispatcherSettings) -> Json:
    """With the limits of these settings."""
    refused = problems(400, 401, 403, 413, 415, 429, 431, 500, 503)
    return {
        "/v1/videos/{video}/events": {
            "post": {
                "operationId": "publish",
                "tags": ["publishing"],
                "summary": "Publish events of a video: one, or several together",
                "description": "Answered once they are in the log: all of the request, or nothing.",
                "security": _KEY,
                "parameters": [ref("parameters", "Video")],
                "requestBody": _body("Publication", settings),
                "responses": {"202": answer("They are in the log", JSON, schema("Accepted")), **refused},
            }
        },
        "/v1/events": {
            "post": {
                "operationId": "publishSeveral",
                "tags": ["publishing"],
                "summary": "Publish events of several videos at once",
                "security": _KEY,
                "requestBody": _body("PublicationOf", settings),
                "responses": {
                    "202": answer("They are in the logs", JSON, schema("AcceptedOfEach")),
                    **refused,
                },
            }
        },
        "/v1/retractions": {
            "post": {
                "operationId": "retract",
                "tags": ["publishing"],
                "summary": "Take back earlier events; for likes backends",
                "security": _KEY,
                "requestBody": _body("Retraction", settings),
                "responses": {
                    "202": answer("They are in the logs", JSON, schema("AcceptedOfEach")),
                    **refused,
                },
            }
        },
        "/v1/leases": {
            "post": {
                "operationId": "renewLeases",
                "tags": [BETWEEN_NODES],
                "summary": "A frontend subscribes to videos, or stays subscribed",
                "security": _SIGNATURE,
                "requestBody": {
                    "required": True,
                    "content": {JSON: {"schema": schema("LeaseRequest")}},
                },
                "responses": {"200": answer("Where each log stands", JSON, schema("Leases")), **refused},
            }
        },
        "/v1/leases/withdraw": {
            "post": {
                "operationId": "withdrawLeases",
                "tags": [BETWEEN_NODES],
                "summary": "A frontend unsubscribes",
                "security": _SIGNATURE,
                "requestBody": {
                    "required": True,
                    "content": {JSON: {"schema": schema("WithdrawRequest")}},
                },
                "responses": {"200": answer("Done", JSON, {"type": "object"}), **refused},
            }
        },
    }
