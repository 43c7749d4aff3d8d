"""Static files of one directory, read once at the start; other paths are not found."""

from __future__ import annotations

import hashlib
from collections.abc import ItemsView, Mapping
from dataclasses import dataclass
from pathlib import Path

from quart import Response, request

from liveserver.errors import NotFound

CONTENT_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
# Browsers revalidate by ETag, so page and scripts have one version after a deployment.
HEADERS = {"cache-control": "no-cache", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer"}


@dataclass(frozen=True, slots=True)
class File:
    """A file in memory."""

    content: bytes
    content_type: str
    etag: str


class Files:
    """All files below a directory, by their relative names."""

    def __init__(self, directory: Path) -> None:
        self._files: dict[str, File] = {}
        for path in directory.rglob("*"):
            if path.suffix in CONTENT_TYPES:
                content = path.read_bytes()
                etag = hashlib.sha256(content).hexdigest()[:20]
                name = path.relative_to(directory).as_posix()
                self._files[name] = File(content, CONTENT_TYPES[path.suffix], etag)

    def items(self) -> ItemsView[str, File]:
        return self._files.items()

    def answer(self, name: str, headers: Mapping[str, str]) -> Response:
        """Return the file, or a 304. Raises `NotFound`."""
        file = self._files.get(name)
        if file is None:
            raise NotFound("not found; the page is at /")
        every = {**HEADERS, **headers, "etag": f'"{file.etag}"'}
        if request.if_none_match.contains_weak(file.etag):
            return Response(b"", 304, every)
        return Response(file.content, 200, {"content-type": file.content_type, **every})
