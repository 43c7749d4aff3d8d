"""Operations for a site's servers: tokens and users in all videos."""

from __future__ import annotations

from liveserver.config import AuthSettings
from liveserver.web.openapi.components import JSON, Json, answer, problems, query, record, ref, schema, whole

_KEY: list[Json] = [{}, {"key": []}, {"operator": []}]
_TIME = {"type": "integer", "minimum": 0, "maximum": 2**53 - 1}
_OPTIONAL_TIME = {"type": ["integer", "null"], "minimum": 0, "maximum": 2**53 - 1}
_USER = {"type": "string", "minLength": 1, "maxLength": 128}
_JTI = {"type": "string", "minLength": 1, "maxLength": 256}

SCHEMAS: Json = {
    "Revocation": record(
        {
            "until": {**_TIME, "description": "How long it holds, in milliseconds since the epoch"},
            "token": {**_JTI, "description": "The `jti` of the token that is revoked"},
            "user": {**_USER, "description": "The user whose tokens are revoked"},
            "before": {**_TIME, "description": "Only tokens whose `iat` is earlier"},
        },
        "token", "user", "before",
    ),
    "Revocations": record({"revocations": {"type": "array", "items": schema("Revocation")}}),
    "Users": record(
        {
            "video": schema("Video"),
            "users": {
                "type": "array",
                "items": record(
                    {"user": _USER, "role": {"enum": ["host", "moderator"]}}, "role"
                ),
            },
            "next": {"type": ["string", "null"], "description": "The next `after`; null at the end"},
            "anonymous": {**_TIME, "description": "Viewers without a user"},
            "complete": {"type": "boolean", "description": "Whether all nodes answered in time"},
        }
    ),
    "DisconnectedUser": record({"user": _USER}),
    "UnsubscribedUser": record({"video": schema("Video"), "user": _USER}),
}  # fmt: skip


def paths(settings: AuthSettings) -> Json:
    """Return the operations of dispatchers and likes backends."""
    until = {
        **_OPTIONAL_TIME,
        "description": f"How long it holds; at most {settings.revocation_ttl:g} s, which is the default",
    }
    before = {**_OPTIONAL_TIME, "description": "Tokens whose `iat` is earlier; now by default"}
    refused = problems(400, 401, 403, 404, 413, 429, 431, 500, 503)
    user = {"name": "user", "in": "path", "required": True, "schema": _USER}
    jti = {"name": "jti", "in": "path", "required": True, "schema": _JTI}

    def lift(name: str, parameter: Json) -> Json:
        return {
            "operationId": name,
            "tags": ["site"],
            "summary": "Lift a revocation",
            "description": "Idempotent; also for a revocation that does not exist.",
            "security": _KEY,
            "parameters": [parameter],
            "responses": {"204": answer("Lifted at all nodes within a second"), **refused},
        }

    def revoke(name: str, summary: str, parameter: Json, body: Json) -> Json:
        return {
            "operationId": name,
            "tags": ["site"],
            "summary": summary,
            "description": "Within a second, at all nodes of all datacenters, streams with such tokens end "
            '(`bye`, `"reason":"revoked"`), and such tokens are refused (401).',
            "security": _KEY,
            "parameters": [parameter],
            "requestBody": {"content": {JSON: {"schema": body}}},
            "responses": {"200": answer("It holds", JSON, schema("Revocation")), **refused},
        }

    one = record({"until": until}, "until", closed=True)
    many = record({"before": before, "until": until}, "before", "until", closed=True)
    return {
        "/v1/revocations": {
            "get": {
                "operationId": "revocations",
                "tags": ["site"],
                "summary": "List the revocations in force",
                "security": _KEY,
                "responses": {"200": answer("All of them", JSON, schema("Revocations")), **refused},
            }
        },
        "/v1/revocations/tokens/{jti}": {
            "put": revoke("revokeToken", "Revoke one token by its `jti`", jti, one),
            "delete": lift("liftToken", jti),
        },
        "/v1/revocations/users/{user}": {
            "put": revoke("revokeUser", "Revoke a user's tokens issued before a time", user, many),
            "delete": lift("liftUser", user),
        },
        "/v1/videos/{video}/users": {
            "get": {
                "operationId": "users",
                "tags": ["site"],
                "summary": "List the users who are watching, sorted; for moderators",
                "parameters": [
                    ref("parameters", "Video"),
                    query("after", "A user: those behind it", {"type": "string", "maxLength": 128}),
                    query("limit", "How many", whole(1, 200, 100)),
                ],
                "responses": {"200": answer("A page of them", JSON, schema("Users")), **refused},
            }
        },
        "/v1/videos/{video}/users/{user}/unsubscribe": {
            "post": {
                "operationId": "unsubscribeUser",
                "tags": ["site"],
                "summary": "End a user's streams of one video; for moderators",
                "description": 'At all nodes of all datacenters: `bye`, `"reason":"disconnected"`, '
                "`reconnect` false; on a WebSocket other videos go on. The user may watch it again, unlike "
                "one who is banned.",
                "parameters": [ref("parameters", "Video"), user],
                "responses": {
                    "202": answer("The streams end within a second", JSON, schema("UnsubscribedUser")),
                    **refused,
                },
            }
        },
        "/v1/users/{user}/disconnect": {
            "post": {
                "operationId": "disconnectUser",
                "tags": ["site"],
                "summary": "End all of a user's streams",
                "description": 'At all nodes of all datacenters: `bye`, `"reason":"disconnected"`, '
                "`reconnect` false. The user's tokens remain valid.",
                "security": _KEY,
                "parameters": [user],
                "responses": {
                    "202": answer("The streams end within a second", JSON, schema("DisconnectedUser")),
                    **refused,
                },
            }
        },
    }
