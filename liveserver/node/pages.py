"""Which documents the edge answers from memory: the page, the client, the interface's description."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qs

import msgspec
from quart import Response, request
from quart_trio import QuartTrio
from werkzeug.exceptions import HTTPException, NotFound

from liveserver.edge.access_log import AccessLog
from liveserver.edge.pages import Page
from liveserver.edge.router import Router
from liveserver.web import page

KNOWN_PATHS = 1_000


def add_pages(router: Router, openapi: Mapping[str, Any]) -> None:
    """Add pages that the application would answer alike, at a higher cost."""
    for path, document in page.documents().items():
        router.add_page(
            path,
            Page(
                document.file.content,
                document.file.etag,
                document.headers,
                is_open=document.is_open,
                headers_for=_policy if path == "/" else None,
            ).answer,
        )
    body = msgspec.json.encode(openapi)
    headers = {"content-type": "application/json", "cache-control": "no-cache"}
    router.add_page("/openapi.json", Page(body, hashlib.sha256(body).hexdigest()[:20], headers).answer)


def _policy(query: str) -> bytes:
    arguments = {name: values[0] for name, values in parse_qs(query).items()} if query else {}
    return b"content-security-policy: %b\r\n" % page.policy(arguments).encode()


def pass_on(app: QuartTrio, router: Router) -> None:
    """Pass on requests of hot paths by methods that only the application has."""
    for rule in app.url_map.iter_rules():
        path = rule.rule.replace("<", "{").replace(">", "}")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}:
            router.pass_on(method, path)


def known_paths(app: QuartTrio) -> Callable[[str], bool]:
    """Return a function that returns whether the application has a route at a path."""
    routes = app.url_map.bind("localhost")
    known: dict[str, bool] = {}

    def is_known(path: str) -> bool:
        found = known.get(path)
        if found is None:
            try:
                routes.match(path, method="GET")
                found = True
            except NotFound:
                found = False
            except HTTPException:
                found = True  # by another method, or by another spelling
            if len(path) <= 200:
                if len(known) >= KNOWN_PATHS:
                    known.clear()
                known[path] = found
        return found

    return is_known


def log_requests(app: QuartTrio, access_log: AccessLog) -> None:
    """Log the application's requests, as the edge does those that it answers itself."""

    @app.after_request
    async def record(response: Response) -> Response:
        if access_log.is_on:
            headers = request.headers
            access_log.record(
                request.method,
                request.path,
                response.status_code,
                request.remote_addr,
                headers.get("x-forwarded-for", "").encode("latin-1", "replace"),
                headers.get("x-request-id", ""),
            )
        return response
