"""Moderation at likes backends and dispatchers: settings, bans, retractions, pins; review at backends."""

from __future__ import annotations

from liveserver.web.openapi.components import (
    IDEMPOTENCY_KEY,
    JSON,
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

_SETTINGS: Json = {
    "comments": {"enum": ["open", "slow", "closed"]},
    "slow": {**whole(1, 3_600), "description": "Seconds between two comments of a user in slow mode"},
    "likes": {"enum": ["open", "closed"]},
    "review": {**YES_OR_NO, "description": "Whether comments wait until a moderator approves them"},
}
_BAN: Json = {
    "until": {
        "type": ["integer", "null"],
        "minimum": 0,
        "maximum": 2**53 - 1,
        "description": "End of the ban in milliseconds since the epoch; null: until it is lifted",
    },
    "reason": {"type": "string", "maxLength": 200},
}

SETTINGS_SCHEMAS: Json = {
    "Settings": record(_SETTINGS, description="What viewers may do with a video at present")
}

SCHEMAS: Json = {
    "SettingsChange": record(_SETTINGS, *_SETTINGS, closed=True, description="The rest stays as it is"),
    "Ban": record(_BAN, *_BAN, closed=True),
    "Pin": record(
        {"comment": {"type": ["string", "null"]}, "text": {"type": ["string", "null"], "maxLength": 500}},
        "comment",
        "text",
        closed=True,
        description="Either a comment's id or a text",
    ),
    "Announcement": record({"text": {"type": "string", "minLength": 1, "maxLength": 500}}, closed=True),
    "Audit": record(
        {
            "acts": {"type": "array", "items": {"type": "object"}, "description": "Events with `by`"},
            "next": {"type": ["string", "null"], "description": "The next `before`; null at the end"},
        }
    ),
    "Bans": record(
        {
            "bans": {"type": "array", "items": record({"user": TEXT, **_BAN})},
            "next": {"type": ["string", "null"], "description": "The next `after`; null at the end"},
        }
    ),
}

_VIDEO = ref("parameters", "Video")
_ANY_VIDEO: Json = {
    "name": "video",
    "in": "path",
    "required": True,
    "description": "The video's name, or `*` for all videos",
    "schema": {"type": "string", "pattern": r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,127})$"},
    "example": "demo",
}
_USER: Json = {
    "name": "user",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
    "example": "ada",
}
_COMMENT: Json = {"name": "comment", "in": "path", "required": True, "schema": TEXT}
_READ = problems(400, 401, 403, 404, 429, 431, 500, 503)
_ACT = problems(400, 401, 403, 404, 409, 413, 415, 429, 431, 500, 503)


def operation(name: str, summary: str, *parameters: Json, body: str = "", **responses: Json) -> Json:
    """Return an operation of a moderator; `responses` by `status_…`."""
    made: Json = {
        "operationId": name,
        "tags": ["moderation"],
        "summary": summary,
        "parameters": list(parameters),
        "responses": {status.removeprefix("status_"): one for status, one in responses.items()},
    }
    if body:
        made["requestBody"] = {"required": True, "content": {JSON: {"schema": schema(body)}}}
    return made


def _act(name: str, summary: str, *parameters: Json, body: str = "") -> Json:
    made = operation(name, summary, *parameters, body=body, status_204=answer("It is in the feed"))
    made["responses"] |= _ACT
    return made


def _read(name: str, summary: str, of: str, *parameters: Json) -> Json:
    made = operation(name, summary, *parameters, status_200=answer("As it is now", JSON, schema(of)))
    made["responses"] |= _READ
    return made


def settings_paths() -> Json:
    """Return the operation of every backend, dispatcher and frontend."""
    return {
        "/v1/videos/{video}/settings": {
            "get": _read("settings", "What viewers may do with a video at present", "Settings", _VIDEO)
        }
    }


def review_paths() -> Json:
    """Return the operations of likes backends only, which have the comments."""
    return {
        "/v1/videos/{video}/comments/{comment}/approve": {
            "post": _act("approve", "Approve a waiting comment", _VIDEO, _COMMENT)
        },
        "/v1/videos/{video}/comments/{comment}/reject": {
            "post": _act("reject", "Reject a waiting comment", _VIDEO, _COMMENT)
        },
        "/v1/videos/{video}/audit": {
            "get": _read(
                "audit",
                "List what moderators did, newest first",
                "Audit",
                _ANY_VIDEO,
                query("limit", "How many, at most", whole(1, 1_000, 100)),
                query("before", "An event's id: return the events before it", TEXT),
            ),
        },
    }


def paths() -> Json:
    """Return the operations of likes backends and dispatchers."""
    change = operation(
        "changeSettings",
        "Change some of a video's settings",
        _VIDEO,
        body="SettingsChange",
        status_200=answer("All settings; the change is published", JSON, schema("Settings")),
    )
    change["responses"] |= _ACT
    announcement = operation(
        "announce",
        "Show a text to all viewers, as an event of type `announcement`",
        _VIDEO,
        IDEMPOTENCY_KEY,
        body="Announcement",
        status_201=answer("It is in the feed", JSON, record({"id": TEXT})),
    )
    announcement["responses"] |= _ACT
    return {
        "/v1/videos/{video}/settings": {"put": change},
        "/v1/videos/{video}/users/{user}/comments": {
            "delete": _act("clearUser", "Retract all comments of a user", _VIDEO, _USER),
        },
        "/v1/videos/{video}/pin": {
            "put": _act("pin", "Pin a comment or a text", _VIDEO, body="Pin"),
            "delete": _act("unpin", "Pin nothing any more", _VIDEO),
        },
        "/v1/videos/{video}/announcements": {"post": announcement},
        "/v1/videos/{video}/bans": {
            "get": _read(
                "bans",
                "List the banned users",
                "Bans",
                _ANY_VIDEO,
                query("limit", "How many, at most", whole(1, 1_000, 100)),
                query("after", "Those after this user", TEXT),
            ),
        },
        "/v1/videos/{video}/bans/{user}": {
            "put": _act("ban", "Ban a user and end the user's streams", _ANY_VIDEO, _USER, body="Ban"),
            "delete": _act("liftBan", "Lift a ban", _ANY_VIDEO, _USER),
        },
    }
