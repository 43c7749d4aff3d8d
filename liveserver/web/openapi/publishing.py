"""Operations of dispatchers: publishing, and leases for frontends."""

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
    "description": "Printable, chosen by the publisher; a recent id is a duplicate and is not sent",
}
_DATA = {"description": "Any JSON within dispatcher.max_data and dispatcher.max_depth"}
_NODE = {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"}

_KEYED = {"key": EVENT_KEY, "version": EXACT, "position": EXACT}  # see components
_AT = {
    **EXACT,
    "description": "When it happened, in milliseconds since the epoch; at most dispatcher.max_ahead ahead. "
    "With `prefer: handling=lenient`, a later time is replaced by the present one, not refused",
}
_NODES_OWN = {
    "at": _AT,
    "role": {"enum": ["host", "moderator", None], "description": "Nodes only: the user's role"},
    "by": {**OPTIONAL_NAME, "description": "Nodes only: the moderator who did it"},
}
_PUBLICATION = {"type": _TYPE, "user": OPTIONAL_NAME, "data": _DATA, "id": _ID, **_KEYED, **_NODES_OWN}
_OPTIONAL = ("user", "data", "id", *_KEYED, *_NODES_OWN)

_STALE = {**COUNT, "description": "Keyed events older than the state; only if the request had keyed events"}

SCHEMAS: Json = {
    "Publication": record(_PUBLICATION, *_OPTIONAL, closed=True, description="An event to publish"),
    "PublicationOf": record(
        {**_PUBLICATION, "video": schema("Video")},
        *_OPTIONAL,
        closed=True,
        description="An event to publish, with its video",
    ),
    "Retraction": record(
        {
            **_PUBLICATION,
            "type": {"const": "retract"},
            "data": {"description": 'The event: `{"id":"…"}`'},
            "video": schema("Video"),
        },
        *_OPTIONAL,
        closed=True,
        description="The retraction of an earlier event",
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
                "description": "The videos whose state is requested",
            },
        },
        "opening",
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


# What a request has of each: a name of its own, from which generators make a type that can be sent.
_BODIES = {"Publication": "Publications", "PublicationOf": "PublicationsOf", "Retraction": "Retractions"}


def schemas(settings: DispatcherSettings) -> Json:
    """Return all of them, with the limits of these settings."""
    several = {
        name: {
            "anyOf": [
                schema(one),
                {"type": "array", "items": schema(one), "minItems": 1, "maxItems": settings.max_events},
            ],
            "description": "One or several",
        }
        for one, name in _BODIES.items()
    }
    return {**SCHEMAS, **several}


def _body(name: str) -> Json:
    lines = {"type": "string", "description": "One such object a line"}
    return {
        "required": True,
        "content": {JSON: {"schema": schema(_BODIES[name])}, NDJSON: {"schema": lines}},
    }


def paths() -> Json:
    """Return the operations."""
    refused = problems(400, 401, 403, 413, 415, 429, 431, 500, 503)
    return {
        "/v1/videos/{video}/events": {
            "post": {
                "operationId": "publish",
                "tags": ["publishing"],
                "summary": "Publish one or several events of a video",
                "description": "Answered when all are in the log; if one is refused, none is.",
                "security": _KEY,
                "parameters": [ref("parameters", "Video")],
                "requestBody": _body("Publication"),
                "responses": {"202": answer("They are in the log", JSON, schema("Accepted")), **refused},
            }
        },
        "/v1/events": {
            "post": {
                "operationId": "publishSeveral",
                "tags": ["publishing"],
                "summary": "Publish events of several videos",
                "security": _KEY,
                "requestBody": _body("PublicationOf"),
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
                "summary": "Retract earlier events; for likes backends",
                "security": _KEY,
                "requestBody": _body("Retraction"),
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
                "summary": "Subscribe a frontend to videos, or renew its subscriptions",
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
