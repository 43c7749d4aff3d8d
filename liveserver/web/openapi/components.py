"""Shared parts of the document: schemas, parameters, responses."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

JSON = "application/json"
NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"
SSE = "text/event-stream"

BETWEEN_NODES = "between nodes"  # the tag of operations that only nodes call

_PROBLEMS = {
    400: "Malformed; `detail` says what is wrong and what is allowed",
    401: "Authentication is required",
    403: "Not allowed",
    404: "Not found",
    409: "Conflicts with the present state",
    405: "The method is not allowed; `Allow` lists those that are",
    413: "Too large",
    415: "The body's media type is not supported",
    426: "This needs a WebSocket handshake",
    429: "Too many requests; `Retry-After` says when to try again",
    431: "The request line and headers are too large",
    500: "A defect of the server",
    503: "Temporarily unavailable; `Retry-After` says when to try again, with the same ids",
}


def ref(kind: str, name: str) -> Json:
    """Return a reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Json:
    """Return a reference to a schema."""
    return ref("schemas", name)


def content(kind: str, of: Json) -> Json:
    """Return a body of one media type."""
    return {kind: {"schema": of}}


def answer(description: str, kind: str = "", of: Json | None = None) -> Json:
    """Return a response; without a media type, one without a body."""
    return {"description": description, **({"content": content(kind, of or {})} if kind else {})}


def problems(*statuses: int) -> Json:
    """Return the problem responses of an operation."""
    return {str(status): ref("responses", f"Problem{status}") for status in sorted(statuses)}


def query(name: str, description: str, of: Json) -> Json:
    """Return a query parameter."""
    return {"name": name, "in": "query", "description": description, "schema": of}


def header(name: str, description: str, of: Json) -> Json:
    """Return a request header."""
    return {"name": name, "in": "header", "description": description, "schema": of}


IDEMPOTENCY_KEY = header(
    "Idempotency-Key",
    "A repeated key gets the same answer; the action is stored once",
    {"type": "string", "minLength": 1, "maxLength": 255},
)


def whole(minimum: int, maximum: int, default: int | None = None) -> Json:
    """Return the schema of a whole number in a range."""
    made: Json = {"type": "integer", "minimum": minimum, "maximum": maximum}
    return made if default is None else {**made, "default": default}


def record(properties: Json, *optional: str, closed: bool = False, description: str = "") -> Json:
    """Return the schema of an object; all fields are required except those in `optional`."""
    made: Json = {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }
    if closed:
        made["additionalProperties"] = False
    if description:
        made["description"] = description
    return made


TEXT: Json = {"type": "string"}
COUNT: Json = {"type": "integer", "minimum": 0}
YES_OR_NO: Json = {"type": "boolean"}
EVENT_KEY: Json = {"type": ["string", "null"], "pattern": "^[a-z][a-z0-9_.:/-]{0,127}$"}
EXACT: Json = {
    "type": ["integer", "null"],
    "minimum": 0,
    "maximum": 2**53 - 1,
}  # what JavaScript counts exactly
OPTIONAL_NAME: Json = {"type": ["string", "null"], "maxLength": 128}

COMMON_PARAMETERS: Json = {
    "Video": {
        "name": "video",
        "in": "path",
        "required": True,
        "description": "The video's name",
        "schema": schema("Video"),
        "example": "demo",
    }
}

COMMON_SCHEMAS: Json = {
    "Video": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$"},
    "Cursor": {
        "type": "string",
        "description": "A viewer's position in the log: opaque, valid at any node and transport; "
        "at most 128 bytes, safe in headers and URLs without escaping",
        "maxLength": 128,
        "example": "dc1-k3f9a-1532~dc2-p0x1b-871",
    },
    "Event": record(
        {
            "id": TEXT,
            "video": schema("Video"),
            "type": {"type": "string", "pattern": "^[a-z][a-z0-9_.-]{0,31}$"},
            "user": {"type": "string"},
            "at": {
                "type": "integer",
                "description": "When it happened, in milliseconds since the epoch",
            },
            "accepted": {
                "type": "integer",
                "description": "When a dispatcher accepted it, if over a second before or after `at`",
            },
            "key": {**EVENT_KEY, "description": "The state keeps the newest event of each key"},
            "version": {
                **EXACT,
                "description": "Of two events with the same key, the higher version is the newer",
            },
            "position": {**EXACT, "description": "Media time, in milliseconds"},
            "role": {"enum": ["host", "moderator"], "description": "What its user is"},
            "by": {"type": "string", "description": "The moderator who did it"},
            "data": {"description": "The publisher's data; null clears the key"},
        },
        "user",
        "accepted",
        "key",
        "version",
        "position",
        "role",
        "by",
        "data",
        description="An event as viewers see it",
    ),
    "Problem": record(
        {
            "type": TEXT,
            "title": TEXT,
            "status": {"type": "integer"},
            "detail": {"type": "string", "description": "The error, and how to correct it"},
            "request_id": {"type": "string", "description": "The request's id in the server's log"},
            "reason": {"type": "string", "description": "`closed`, `banned`, `slow` or another word"},
            "until": {"type": "integer", "description": "When the ban ends, in milliseconds since the epoch"},
        },
        "request_id",
        "reason",
        "until",
        description="RFC 9457",
    ),
}


def common_responses() -> Json:
    """Return the response components `Problem400` and so on."""
    return {
        f"Problem{status}": answer(text, PROBLEM, schema("Problem")) for status, text in _PROBLEMS.items()
    }
