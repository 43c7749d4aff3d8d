"""The page where one watches and likes, and the browser client: files as they are, and what guards them.

The policy is strict: scripts and styles from here only, no markup made from text (Trusted Types). Where
the address names other servers to watch at or to like at, exactly these are added.
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
    """`GET /`, `GET /liveserver.js` with its parts, `GET /page/…`."""
    page = Blueprint("page", __name__)

    @page.get("/")
    async def index() -> Response:
        return _answer("index.html", {"content-security-policy": policy(request.args)})

    @page.get("/page/<name>")
    async def part(name: str) -> Response:
        return _answer(f"page/{name}")

    # Pages from elsewhere may import the client from here.
    @page.get("/liveserver.js")
    async def client() -> Response:
        return _answer("liveserver.js", {"access-control-allow-origin": "*"})

    @page.get("/liveserver/<name>")
    async def client_part(name: str) -> Response:
        return _answer(f"liveserver/{name}", {"access-control-allow-origin": "*"})

    return page


class Document(NamedTuple):
    """A file as it is served; `is_open`: to pages of all origins."""

    file: File
    headers: dict[str, str]
    is_open: bool


def documents() -> dict[str, Document]:
    """Return what is served, by path. The page's policy comes with each answer: see `policy`."""
    found = {}
    for name, file in _files().items():
        headers = {"content-type": file.content_type, **FILE_HEADERS, **HEADERS}
        path = "/" if name == "index.html" else f"/{name}"
        found[path] = Document(file, headers, name.startswith("liveserver"))
    return found


def policy(arguments: Mapping[str, str]) -> str:
    """Return the policy of the page with these arguments in its address."""
    frontends = origins(arguments.get("frontends", ""))
    sockets = frontends.replace(" http", " ws")  # for one's own, 'self' will do
    likes = origins(arguments.get("likes", ""))
    recording = origins(arguments.get("replay", ""))
    media = origins(arguments.get("src", ""))
    return POLICY.format(connect=f"{frontends}{sockets}{likes}{recording}", media=media)


def origins(text: str) -> str:
    """The origins of the comma-separated URLs, as a policy lists them, a space before each.

    What is no absolute http(s) URL is left out: nothing of the address gets into the header as it is.
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
