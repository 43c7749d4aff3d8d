"""Operations of every node: the page, the browser client, and the ops port."""

from __future__ import annotations

from liveserver.web.openapi.components import (
    COUNT,
    JSON,
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
)

_OBJECTS: Json = {"type": "array", "items": {"type": "object"}}

OPS_SCHEMAS: Json = {
    "Readiness": record(
        {
            "ready": YES_OR_NO,
            "checks": {
                "type": "object",
                "additionalProperties": record({"ok": YES_OR_NO, "detail": TEXT}, "detail"),
            },
        }
    ),
    "VideoStatus": record(
        {
            "video": schema("Video"),
            "viewers": COUNT,
            "transports": {"type": "object", "additionalProperties": COUNT},
            "epoch": TEXT,
            "offset": COUNT,
            "cursor": {"type": "string"},
            "events": COUNT,
            "lagging": COUNT,
            "lag": COUNT,
            "mending": YES_OR_NO,
        }
    ),
    "Reloaded": record(
        {
            "changed": {"type": "array", "items": TEXT},
            "needs_restart": {"type": "array", "items": TEXT},
        }
    ),
    "Status": record(
        {
            "node": TEXT,
            "version": TEXT,
            "datacenter": TEXT,
            "roles": {"type": "array", "items": TEXT},
            "bus": TEXT,
            "uptime": {"type": "number"},
            "process": {"type": "object"},
            "videos": {"type": "array", "items": schema("VideoStatus")},
            "viewers": COUNT,
            "lag": {**COUNT, "description": "Events not yet written to the viewers furthest behind"},
            "more_videos": COUNT,
            "more_viewers": COUNT,
            "peers": {"type": "array", "items": {"type": "object"}},
        },
        "more_videos",
        "more_viewers",
        description="Also the statistics of each part of the node, under the part's name",
    ),
    "ClusterNodes": record({"nodes": _OBJECTS, "more_nodes": COUNT}),
    "ClusterActs": record({"acts": _OBJECTS, "backends": COUNT, "missing": _OBJECTS}),
    "ClusterTrace": record(
        {
            "video": schema("Video"),
            "id": TEXT,
            "traces": {"type": "array", "items": schema("Trace")},
            "missing": _OBJECTS,
        }
    ),
    "Trace": record(
        {
            "video": schema("Video"),
            "id": TEXT,
            "type": TEXT,
            "node": TEXT,
            **{name: {"type": "object"} for name in ("accepted", "logged", "received", "written")},
            "not_written": {"type": "array", "items": {"type": "object"}},
            "now": {"type": "object"},
        },
        description="All times are in milliseconds since the epoch",
    ),
}

_FILE = {"type": "string"}


def _file(name: str, kind: str, summary: str, *parameters: Json) -> Json:
    return {
        "get": {
            "operationId": name,
            "tags": ["pages"],
            "summary": summary,
            "parameters": list(parameters),
            "responses": {"200": answer("The file", kind, _FILE), **problems(400, 401, 404, 431, 500)},
        }
    }


def _named(folder: str) -> Json:
    name = {"name": "name", "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}
    return _file(f"{folder}File", "text/javascript", f"A part of /{folder}", name)


def _document(name: str, summary: str, version: str) -> Json:
    return {
        "get": {
            "operationId": name,
            "tags": ["pages"],
            "summary": summary,
            "responses": {
                "200": answer(f"OpenAPI {version}", JSON, {"type": "object"}),
                **problems(401, 431, 500),
            },
        }
    }


DOCUMENTS: Json = {
    "/openapi.json": _document("openapi", "This document", "3.1"),
    "/openapi-3.0.json": _document("openapi30", "This document in OpenAPI 3.0", "3.0.3"),
}

PUBLIC_PATHS: Json = {
    "/": _file("page", "text/html", "The page for watching and liking"),
    "/page/{name}": _named("page"),
    "/liveserver.js": _file("browserClient", "text/javascript", "The browser client"),
    "/liveserver/{name}": _named("liveserver"),
    **DOCUMENTS,
    "/v1/videos/{video}/me": {
        "get": {
            "operationId": "me",
            "tags": ["pages"],
            "summary": "Return this viewer's user, and what it may do with a video",
            "parameters": [ref("parameters", "Video")],
            "responses": {
                "200": answer("According to the token, if one is required", JSON, schema("Me")),
                **problems(400, 401, 403, 429, 431, 500, 503),
            },
        }
    },
}

PUBLIC_SCHEMAS: Json = {
    "Me": record(
        {
            "user": TEXT,
            "scopes": {"type": "array", "items": TEXT},
            "signed_in": {
                **YES_OR_NO,
                "description": "Tokens are required and one was sent; `user` is its user",
            },
        },
        "user",
    )
}

_READY = answer("It can deliver now", JSON, schema("Readiness"))
_NOT_READY = answer("It cannot; the checks give the reason", JSON, schema("Readiness"))

_EVENT = {
    "name": "event",
    "in": "path",
    "required": True,
    "description": "Its id",
    "schema": {"type": "string", "minLength": 1},
}


def _of_cluster(name: str, summary: str, of: Json, *parameters: Json, also: tuple[int, ...] = ()) -> Json:
    return {
        "get": {
            "operationId": name,
            "tags": ["cluster"],
            "summary": summary,
            "parameters": list(parameters),
            "responses": {
                "200": answer("What the nodes answered", JSON, of),
                **problems(400, 401, 431, 500, *also),
            },
        }
    }


CLUSTER_PATHS: Json = {
    "/v1/cluster": _of_cluster(
        "cluster", "Return all nodes with their numbers", schema("ClusterNodes"), also=(409, 503)
    ),
    "/v1/cluster/acts": _of_cluster(
        "clusterActs",
        "Return the newest acts of moderators that the likes backends know",
        schema("ClusterActs"),
        also=(409, 503),
    ),
    "/v1/cluster/videos/{video}/events/{event}/trace": _of_cluster(
        "clusterTrace",
        "Return the traces of one event at all frontends",
        schema("ClusterTrace"),
        ref("parameters", "Video"),
        _EVENT,
        also=(409, 503),
    ),
    "/v1/acts": _of_cluster(
        "acts",
        "Return the newest acts of moderators that this node's likes backend knows",
        record({"acts": {"type": "array", "items": {"type": "object"}}}),
        also=(404, 503),
    ),
    "/v1/videos/{video}/events": {
        "post": {
            "operationId": "publishTestEvent",
            "tags": ["cluster"],
            "summary": "Publish one event at a dispatcher, with a publisher's key",
            "parameters": [
                ref("parameters", "Video"),
                header("liveserver-key", "The publisher's key, if the dispatchers need one", TEXT),
            ],
            "requestBody": {"required": True, "content": {JSON: {"schema": {"type": "object"}}}},
            "responses": {
                "202": answer("It is in the log", JSON, {"type": "object", "properties": {"id": TEXT}}),
                **problems(400, 401, 403, 409, 413, 415, 429, 431, 500, 503),
            },
        }
    },
}

OPS_PATHS: Json = {
    **CLUSTER_PATHS,
    "/": _file("dashboard", "text/html", "The dashboard"),
    "/dashboard/{name}": _named("dashboard"),
    **DOCUMENTS,
    "/healthz": {
        "get": {
            "operationId": "healthz",
            "tags": ["ops"],
            "summary": "Return whether the process runs",
            "responses": {
                "200": answer("It does", JSON, record({"ok": YES_OR_NO})),
                **problems(431, 500),
            },
        }
    },
    "/readyz": {
        "get": {
            "operationId": "readyz",
            "tags": ["ops"],
            "summary": "Return whether the node can deliver",
            "responses": {"200": _READY, "503": _NOT_READY, **problems(431, 500)},
        }
    },
    "/metrics": {
        "get": {
            "operationId": "metrics",
            "tags": ["ops"],
            "summary": "Prometheus metrics",
            "responses": {
                "200": answer("In Prometheus' text format", "text/plain", TEXT),
                **problems(401, 431, 500),
            },
        }
    },
    "/v1/status": {
        "get": {
            "operationId": "status",
            "tags": ["ops"],
            "summary": "Return the node's status, videos and statistics",
            "parameters": [
                query("video", "Only this video, instead of those with most viewers", schema("Video"))
            ],
            "responses": {
                "200": answer("As it is now", JSON, schema("Status")),
                **problems(400, 401, 404, 431, 500),
            },
        }
    },
    "/v1/reload": {
        "post": {
            "operationId": "reload",
            "tags": ["ops"],
            "summary": "Reload the configuration, as on SIGHUP",
            "responses": {
                "200": answer(
                    "The settings that changed, and those that need a restart", JSON, schema("Reloaded")
                ),
                **problems(400, 401, 403, 409, 431, 500),
            },
        }
    },
    "/v1/videos/{video}/events/{event}/trace": {
        "get": {
            "operationId": "trace",
            "tags": ["ops"],
            "summary": "Return the trace of one event at this node",
            "parameters": [
                ref("parameters", "Video"),
                _EVENT,
            ],
            "responses": {
                "200": answer("Its story", JSON, schema("Trace")),
                **problems(400, 401, 404, 431, 500),
            },
        }
    },
}
