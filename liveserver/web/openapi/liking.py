"""Operations of likes backends: likes, comments, totals."""

from __future__ import annotations

from liveserver.config import BackendSettings
from liveserver.web.openapi.components import (
    COUNT,
    EXACT,
    IDEMPOTENCY_KEY,
    JSON,
    OPTIONAL_NAME,
    TEXT,
    Json,
    answer,
    problems,
    query,
    record,
    ref,
    schema,
)

_POSITION = {**EXACT, "description": "Media time, in milliseconds"}

SCHEMAS: Json = {
    "Like": record(
        {
            "user": OPTIONAL_NAME,
            "reaction": {"type": "string", "pattern": "^[a-z][a-z0-9_-]{0,31}$", "default": "heart"},
            "position": _POSITION,
        },
        "user",
        "reaction",
        "position",
        closed=True,
    ),
    "Liked": record({"id": TEXT, "total": {**COUNT, "description": "The video's likes, including this one"}}),
    "Commented": record({"id": TEXT}),
    "Held": record({"id": TEXT, "waiting": {"type": "boolean"}}),
}


SUMMARY_SCHEMAS: Json = {
    "Comment": record(
        {
            "id": TEXT,
            "user": TEXT,
            "text": TEXT,
            "at": {**COUNT, "description": "When it was written, in milliseconds since the epoch"},
            "position": {**COUNT, "description": "Media time, in milliseconds"},
            "role": {"enum": ["host", "moderator"], "description": "What its user is"},
        },
        "user",
        "position",
        "role",
        description="A stored comment",
    ),
    "Summary": record(
        {
            "likes": COUNT,
            "reactions": {"type": "object", "additionalProperties": COUNT},
            "comments": {"type": "array", "items": schema("Comment"), "description": "Newest first"},
        }
    ),
    "Comments": record(
        {
            "comments": {"type": "array", "items": schema("Comment"), "description": "Newest first"},
            "next": {"type": ["string", "null"], "description": "The next `before`; null at the end"},
            "complete": {
                "type": "boolean",
                "description": "Whether all comments are included, those of other backends, too; "
                "false at nodes without a backend",
            },
        }
    ),
}


def paths(settings: BackendSettings) -> Json:
    """Return the operations, with the limits of these settings."""
    comment = record(
        {
            "user": OPTIONAL_NAME,
            "text": {"type": "string", "minLength": 1, "maxLength": settings.max_text},
            "position": _POSITION,
        },
        "user",
        "position",
        closed=True,
    )
    refused = problems(400, 401, 403, 413, 415, 429, 431, 500, 503)
    video = ref("parameters", "Video")
    return {
        "/v1/videos/{video}/likes": {
            "post": {
                "operationId": "like",
                "tags": ["liking"],
                "summary": "Like a video",
                "parameters": [video, IDEMPOTENCY_KEY],
                "requestBody": {"required": True, "content": {JSON: {"schema": schema("Like")}}},
                "responses": {
                    "201": answer("Stored, and will be published", JSON, schema("Liked")),
                    **refused,
                },
            }
        },
        "/v1/videos/{video}/comments": {
            "post": {
                "operationId": "comment",
                "tags": ["liking"],
                "summary": "Comment on a video",
                "parameters": [video, IDEMPOTENCY_KEY],
                "requestBody": {"required": True, "content": {JSON: {"schema": comment}}},
                "responses": {
                    "201": answer("Stored, and will be published", JSON, schema("Commented")),
                    "202": answer("Stored, and waiting for a moderator", JSON, schema("Held")),
                    **refused,
                },
            },
        },
        "/v1/videos/{video}/comments/{comment}": {
            "delete": {
                "operationId": "retractComment",
                "tags": ["liking"],
                "summary": "Retract a comment: the user's own or, for moderators, any",
                "description": "Idempotent.",
                "parameters": [
                    video,
                    {"name": "comment", "in": "path", "required": True, "schema": TEXT},
                    query("user", "The comment's user, for a key that has only the scope `comment`", TEXT),
                ],
                "responses": {
                    "204": answer("Retracted, and the retraction is published"),
                    **problems(400, 401, 403, 404, 429, 431, 500, 503),
                },
            }
        },
    }


def summary_paths() -> Json:
    """Return the operations of every backend and every frontend."""
    return {
        "/v1/videos/{video}/comments": {
            "get": {
                "operationId": "comments",
                "tags": ["liking"],
                "summary": "Read a video's comments, the newest first",
                "parameters": [
                    ref("parameters", "Video"),
                    {
                        "name": "before",
                        "in": "query",
                        "schema": TEXT,
                        "description": "A comment's id: return the comments before it",
                    },
                    {
                        "name": "limit",
                        "in": "query",
                        "schema": {"type": "integer", "minimum": 1, "maximum": 200, "default": 50},
                    },
                    query(
                        "status",
                        "Comments that are shown or, for moderators, those waiting for review",
                        {"enum": ["shown", "waiting"], "default": "shown"},
                    ),
                ],
                "responses": {
                    "200": answer("A page of them", JSON, schema("Comments")),
                    **problems(400, 401, 403, 404, 429, 431, 500, 503),
                },
            },
        },
        "/v1/videos/{video}/summary": {
            "get": {
                "operationId": "summary",
                "tags": ["liking"],
                "summary": "A video's totals and newest comments",
                "parameters": [ref("parameters", "Video")],
                "responses": {
                    "200": answer("As stored", JSON, schema("Summary")),
                    **problems(400, 401, 403, 429, 431, 500, 503),
                },
            }
        },
    }
