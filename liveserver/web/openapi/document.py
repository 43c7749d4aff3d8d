"""Builds the document of a node from its roles' operations."""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from liveserver import __version__
from liveserver.config import Settings
from liveserver.web.openapi import liking, moderating, pages, publishing, recording, site, watching
from liveserver.web.openapi.components import (
    BETWEEN_NODES,
    COMMON_PARAMETERS,
    COMMON_SCHEMAS,
    Json,
    common_responses,
)

_REFERENCE = re.compile("#/components/schemas/([A-Za-z0-9]+)")

_SECURITY: Json = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A viewer's token, if the node requires one; also as a cookie or `?token=`",
    },
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A publisher's key, if the node requires one",
    },
    "signature": {
        "type": "http",
        "scheme": "bearer",
        "description": "The signature of calls between nodes, if `auth.nodes_secret` is set",
    },
    "operator": {"type": "http", "scheme": "bearer", "description": "`auth.ops_key`, if it is set"},
}


def public_document(settings: Settings, *, nodes_too: bool = False) -> Json:
    """Return the document of the public port: the roles' operations and the page.

    `nodes_too`: include the operations that only nodes call, which are not public.
    """
    roles = settings.node.roles
    paths: list[Json] = [pages.PUBLIC_PATHS]
    schemas: list[Json] = [pages.PUBLIC_SCHEMAS]
    if "frontend" in roles:
        paths.append(watching.paths(settings.frontend))
        schemas.append(watching.SCHEMAS)
    if "dispatcher" in roles:
        paths.append(publishing.paths())
        schemas.append(publishing.schemas(settings.dispatcher))
        paths.append(watching.VIEWERS_PATHS)
        schemas.append(watching.VIEWERS_SCHEMAS)
        paths.append(recording.HISTORY_PATHS)
        schemas.append(recording.HISTORY_SCHEMAS)
    if "backend" in roles:
        paths.append(liking.paths(settings.backend))
        schemas.append(liking.SCHEMAS)
        paths.append(moderating.review_paths())
    if "dispatcher" in roles or "backend" in roles:
        paths.append(moderating.paths())
        schemas.append(moderating.SCHEMAS)
        paths.append(site.paths(settings.auth))
        schemas.append(site.SCHEMAS)
    if "recorder" in roles or "backend" in roles:
        paths.append(recording.PATHS)
        schemas.append(recording.SCHEMAS)
    if "frontend" in roles or "backend" in roles:
        paths.append(liking.summary_paths())
        schemas.append(liking.SUMMARY_SCHEMAS)
    if set(roles) & {"frontend", "backend", "dispatcher"}:
        paths.append(moderating.settings_paths())
        schemas.append(moderating.SETTINGS_SCHEMAS)
    document = _document("One like, on every viewer's screen, within a blink.", paths, schemas, "token")
    return document if nodes_too else _without_nodes(document)


def _without_nodes(document: Json) -> Json:
    """Return the document without the operations of nodes, and the schemas that only these refer to."""
    paths = {
        path: {
            method: operation for method, operation in item.items() if BETWEEN_NODES not in operation["tags"]
        }
        for path, item in document["paths"].items()
    }
    paths = {path: item for path, item in paths.items() if item}
    schemas = document["components"]["schemas"]
    used, found = set[str](), {**paths, "": document["components"]["responses"]}
    while found:
        names = set(_REFERENCE.findall(msgspec.json.encode(found).decode())) - used
        used |= names
        found = {name: schemas[name] for name in names}
    kept = {name: made for name, made in schemas.items() if name in used | set(COMMON_SCHEMAS)}
    return {**document, "paths": paths, "components": {**document["components"], "schemas": kept}}


def ops_document() -> Json:
    """Return the document of the ops port."""
    return _document(
        "Health, metrics and status for operators.", [pages.OPS_PATHS], [pages.OPS_SCHEMAS], "operator"
    )


def _document(description: str, paths: Iterable[Json], schemas: Iterable[Json], security: str) -> Json:
    together: Json = {}
    for some in paths:
        for path, operations in some.items():
            together[path] = {**together.get(path, {}), **operations}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "liveserver",
            "version": __version__,
            "description": description,
            "license": {"name": "Apache 2.0", "identifier": "Apache-2.0"},
        },
        "security": [{}, {security: []}],
        "paths": together,
        "components": {
            "schemas": {name: made for some in (COMMON_SCHEMAS, *schemas) for name, made in some.items()},
            "parameters": COMMON_PARAMETERS,
            "responses": common_responses(),
            "securitySchemes": _SECURITY,
        },
    }
