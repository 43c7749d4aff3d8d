"""What all parts of the document are put together from."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]

JSON = "application/json"
NDJSON = "application/x-ndjson"
PROBLEM = "application/problem+json"
SSE = "text/event-stream"

BETWEEN_NODES = "between nodes"  # the tag of what only nodes call

_PROBLEMS = {
    400: "Malformed; `detail` says what, and what to write instead",
    401: "Who asks must say who they are",
    403: "Understood, and not allowed",
    404: "There is no such thing here",
    409: "Not in the state that the node is in",
    405: "Not with this method; `Allow` names those that are possible",
    413: "Too large",
    415: "The body is of a type that is not read here",
    426: "This needs a WebSocket handshake",
    429: "Too many; `Retry-After` says when to come back",
    431: "The request line and headers are too large",
    500: "A defect of the server",
    503: "Not now; `Retry-After` says when. Whatever has an id may be sent again with the same id",
}


def ref(kind: str, name: str) -> Json:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Json:
    """A reference to a schema."""
    return ref("schemas", name)


def content(kind: str, of: Json) -> Json:
    """A body of one media type."""
    return {kind: {"schema": of}}


def answer(description: str, kind: str = "", of: Json | None = None) -> Json:
    """A response; without a kind, one that has no body."""
    return {"description": description, **({"content": content(kind, of or {})} if kind else {})}


def problems(*statuses: int) -> Json:
    """The problems that an operation may answer with."""
    return {str(status): ref("responses", f"Problem{status}") for status in sorted(statuses)}


def query(name: str, description: str, of: Json) -> Json:
    """A query parameter."""
    return {"name": name, "in": "query", "description": description, "schema": of}


def header(name: str, description: str, of: Json) -> Json:
    """A header, of a request."""
    return {"name": name, "in": "header", "description": description, "schema": of}


def whole(least: int, most: int, default: int | None = None) -> Json:
    """A whole number in a range."""
    made: Json = {"type": "integer", "minimum": least, "maximum": most}
    return made if default is None else {**made, "default": default}


def record(properties: Json, *optional: str, closed: bool = False, description: str = "") -> Json:
    """An object; all of it is required but what is optional."""
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
        "description": "What a viewer has seen: opaque, good at any node, by any transport; "
        "at most 128 bytes, and safe in headers and URLs as it is",
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
                "description": "When it was done, in milliseconds since the epoch",
            },
            "accepted": {
                "type": "integer",
                "description": "When a dispatcher took it, where that was over a second before or after `at`",
            },
            "key": {**EVENT_KEY, "description": "The state keeps the newest event of each key"},
            "version": {**EXACT, "description": "Of two events with a key, the higher is the newer"},
            "position": {**EXACT, "description": "Media time, in milliseconds"},
            "role": {"enum": ["host", "moderator"], "description": "What its user is"},
            "by": {"type": "string", "description": "The moderator that did it"},
            "data": {"description": "Whatever its publisher sent; null clears the key"},
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
            "detail": {"type": "string", "description": "What is wrong, and what to do about it"},
            "request_id": {"type": "string", "description": "What the request is called in the server's log"},
            "reason": {"type": "string", "description": "`closed`, `banned`, `slow` or another word"},
            "until": {"type": "integer", "description": "When it is over, in ms since the epoch"},
        },
        "request_id",
        "reason",
        "until",
        description="RFC 9457",
    ),
}


def common_responses() -> Json:
    """Each problem, as `Problem400` and so on."""
    return {
        f"Problem{status}": answer(text, PROBLEM, schema("Problem")) for status, text in _PROBLEMS.items()
    }
