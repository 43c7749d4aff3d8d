"""The page for watching and liking, and the browser client: static files and their content security policy.

The policy is strict: only scripts and styles of this server, no markup made from text (Trusted Types). If
the page's URL names other frontends or backends, exactly these are added.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from quart import Blueprint, Response, request

from liveserver.web.files import HEADERS as FILE_HEADERS
from liveserver.web.files import File, Files

STATIC = Path(__file__).parent / "static"
HEADERS = {"cross-origin-resource-policy": "cross-origin"}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'{connect}; "
    "media-src 'self'{media}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
MAX_ORIGINS = 8
_AUTHORITY = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")


def page_blueprint() -> Blueprint:
    """Return the routes `GET /`, `GET /liveserver.js` with its modules, and `GET /page/…`."""
    page = Blueprint("page", __name__)

    @page.get("/")
    async def index() -> Response:
        return _answer("index.html", {"content-security-policy": policy(request.args)})

    @page.get("/page/<name>")
    async def part(name: str) -> Response:
        return _answer(f"page/{name}")

    # Pages of other origins may import the client.
    @page.get("/liveserver.js")
    async def client() -> Response:
        return _answer("liveserver.js", {"access-control-allow-origin": "*"})

    @page.get("/liveserver/<name>")
    async def client_part(name: str) -> Response:
        return _answer(f"liveserver/{name}", {"access-control-allow-origin": "*"})

    return page


class Document(NamedTuple):
    """A served file; `is_open`: pages of all origins may read it."""

    file: File
    headers: dict[str, str]
    is_open: bool


def documents() -> dict[str, Document]:
    """Return the files by path. The page's policy depends on the query: see `policy`."""
    found = {}
    for name, file in _files().items():
        headers = {"content-type": file.content_type, **FILE_HEADERS, **HEADERS}
        path = "/" if name == "index.html" else f"/{name}"
        found[path] = Document(file, headers, name.startswith("liveserver"))
    return found


def policy(arguments: Mapping[str, str]) -> str:
    """Return the page's policy for these query parameters."""
    frontends = origins(arguments.get("frontends", ""))
    sockets = frontends.replace(" http", " ws")  # for this server, 'self' suffices
    likes = origins(arguments.get("likes", ""))
    recording = origins(arguments.get("replay", ""))
    media = origins(arguments.get("src", ""))
    return POLICY.format(connect=f"{frontends}{sockets}{likes}{recording}", media=media)


def origins(text: str) -> str:
    """Return the origins of comma-separated URLs for a policy, each after a space.

    Anything but absolute http(s) URLs is left out, so the query cannot inject into the header.
    """
    found: list[str] = []
    for url in text.split(",")[:MAX_ORIGINS]:
        try:
            parts = urlsplit(url.strip())
        except ValueError:
            continue
        if parts.scheme in ("http", "https") and _AUTHORITY.fullmatch(parts.netloc):
            found.append(f" {parts.scheme}://{parts.netloc}")
    return "".join(dict.fromkeys(found))


@cache
def _files() -> Files:
    return Files(STATIC)


def _answer(name: str, more: dict[str, str] | None = None) -> Response:
    return _files().answer(name, {**HEADERS, **(more or {})})
