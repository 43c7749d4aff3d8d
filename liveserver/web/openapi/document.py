"""The whole document, of what a node's roles offer."""

from __future__ import annotations

from collections.abc import Iterable

from liveserver import __version__
from liveserver.config import Settings
from liveserver.web.openapi import liking, moderating, pages, publishing, site, watching
from liveserver.web.openapi.components import (
    COMMON_PARAMETERS,
    COMMON_SCHEMAS,
    Json,
    common_responses,
)

_SECURITY: Json = {
    "token": {
        "type": "http",
        "scheme": "bearer",
        "bearerFormat": "JWT",
        "description": "A viewer's token, where the node asks for one; a cookie or `?token=` will do too",
    },
    "key": {
        "type": "http",
        "scheme": "bearer",
        "description": "A publisher's key, where the node asks for one",
    },
    "signature": {
        "type": "http",
        "scheme": "bearer",
        "description": "What nodes of one installation sign their calls with, where they do",
    },
    "operator": {"type": "http", "scheme": "bearer", "description": "auth.ops_key, where the node has one"},
}


def public_document(settings: Settings) -> Json:
    """Of the public port: the roles' operations, and the page."""
    roles = settings.node.roles
    paths: list[Json] = [pages.PUBLIC_PATHS]
    schemas: list[Json] = [pages.PUBLIC_SCHEMAS]
    if "frontend" in roles:
        paths.append(watching.paths(settings.frontend))
        schemas.append(watching.SCHEMAS)
    if "dispatcher" in roles:
        paths.append(publishing.paths(settings.dispatcher))
        schemas.append(publishing.SCHEMAS)
    if "backend" in roles:
        paths.append(liking.paths(settings.backend))
        schemas.append(liking.SCHEMAS)
        paths.append(moderating.paths())
        schemas.append(moderating.SCHEMAS)
    if "dispatcher" in roles or "backend" in roles:
        paths.append(site.paths(settings.auth))
        schemas.append(site.SCHEMAS)
    if "frontend" in roles or "backend" in roles:
        paths.append(liking.summary_paths())
        schemas.append(liking.SUMMARY_SCHEMAS)
    return _document("One like, on every viewer's screen, within a blink.", paths, schemas, "token")


def ops_document() -> Json:
    """Of the ops port."""
    return _document("What an operator looks at.", [pages.OPS_PATHS], [pages.OPS_SCHEMAS], "operator")


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
