"""Operations of recorders."""

from __future__ import annotations

from liveserver.web.openapi.components import (
    COUNT,
    EXACT,
    JSON,
    NDJSON,
    TEXT,
    YES_OR_NO,
    Json,
    answer,
    problems,
    query,
    record,
    ref,
    schema,
    whole,
)

_VIDEO = ref("parameters", "Video")
_REFUSED = problems(400, 401, 403, 404, 429, 431, 500, 503)

SCHEMAS: Json = {
    "Segment": record(
        {
            "file": {**TEXT, "description": "The file's name, beside the index"},
            "events": COUNT,
            "bytes": COUNT,
            "first_at": {**EXACT, "description": "The earliest `at`, in milliseconds since the epoch"},
            "last_at": {**EXACT, "description": "The latest `at`"},
            "first_position": {**EXACT, "description": "The earliest media time, in milliseconds"},
            "last_position": {**EXACT, "description": "The latest media time"},
            "gap": {**YES_OR_NO, "description": "Events before this segment are missing"},
        },
        "first_position",
        "last_position",
        "gap",
    ),
    "Recording": record(
        {
            "video": schema("Video"),
            "epoch": TEXT,
            "offset": COUNT,
            "cursor": TEXT,
            "clock": COUNT,
            "segments": {"type": "array", "items": schema("Segment"), "description": "In order"},
            "retracted": {"type": "array", "items": TEXT},
        },
        description="The index of a recording",
    ),
}

HISTORY_SCHEMAS: Json = {
    "History": record(
        {
            "video": schema("Video"),
            "events": {"type": "array", "items": schema("Event")},
            "next": {"type": ["string", "null"], "description": "The next `cursor`; null at the end"},
            "complete": {**YES_OR_NO, "description": "No event of the video is missing in its history"},
        },
        description="A page of what has happened with a video. It may have fewer events than asked for, or "
        "none, and a `next`",
    )
}

HISTORY_PATHS: Json = {
    "/v1/videos/{video}/history": {
        "get": {
            "operationId": "history",
            "tags": ["recordings"],
            "summary": "Page through what has happened with a video; for its publishers and moderators",
            "description": "From its recording, if this node can read one, and from the log behind it.",
            "parameters": [
                _VIDEO,
                query("from", "Milliseconds since the epoch: events with such an `at` or later", EXACT),
                query("to", "Milliseconds since the epoch: events with an earlier `at`", EXACT),
                query(
                    "types",
                    "Only events of these types, at most 16",
                    {
                        "type": "string",
                        "pattern": "^[a-z][a-z0-9_.-]{0,31}(,[a-z][a-z0-9_.-]{0,31}){0,15}$",
                        "example": "comment,score",
                    },
                ),
                query("order", "Which come first", {"enum": ["newest", "oldest"], "default": "newest"}),
                query("limit", "How many at most", whole(1, 1_000, 100)),
                query(
                    "cursor",
                    "The `next` of the page before",
                    {"type": "string", "pattern": "^[a-z0-9]{1,12}-[0-9]{1,15}$"},
                ),
            ],
            "responses": {"200": answer("A page", JSON, schema("History")), **_REFUSED},
        }
    }
}

PATHS: Json = {
    "/v1/videos/{video}/recording": {
        "get": {
            "operationId": "recording",
            "tags": ["recordings"],
            "summary": "Return the recorded events of a video as lines of JSON",
            "description": "Selected by `at` (`from`, `to`) or by media time (`position`), end exclusive.",
            "parameters": [
                _VIDEO,
                query("from", "Milliseconds since the epoch", EXACT),
                query("to", "Milliseconds since the epoch", EXACT),
                query(
                    "position",
                    "A range of media time in milliseconds, instead of from and to; an end may be omitted",
                    {"type": "string", "pattern": "^[0-9]{0,16}-[0-9]{0,16}$", "example": "60000-90000"},
                ),
            ],
            "responses": {
                "200": answer("Events as viewers receive them, in order of arrival", NDJSON, TEXT),
                **_REFUSED,
            },
        }
    },
    "/v1/videos/{video}/recording/{file}": {
        "get": {
            "operationId": "recordingFile",
            "tags": ["recordings"],
            "summary": "Return a file of a recording: `index.json` or a segment named in it",
            "parameters": [
                _VIDEO,
                {
                    "name": "file",
                    "in": "path",
                    "required": True,
                    "schema": {"type": "string", "pattern": "^(index[.]json|[0-9a-f]{24}[.]ndjson[.]gz)$"},
                    "example": "index.json",
                },
            ],
            "responses": {
                "200": {
                    "description": "The file",
                    "content": {
                        JSON: {"schema": schema("Recording")},
                        "application/gzip": {"schema": {"description": "Gzipped lines of JSON"}},
                    },
                },
                **_REFUSED,
            },
        }
    },
}
