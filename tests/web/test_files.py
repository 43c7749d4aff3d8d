"""Static files: served as what they are, known again by their tag, and no others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from quart_trio import QuartTrio

from liveserver.errors import NotFound
from liveserver.web.app import public_app
from liveserver.web.files import CONTENT_TYPES, Files
from liveserver.web.page import STATIC

FILES = sorted(
    path.relative_to(STATIC).as_posix()
    for path in STATIC.rglob("*")
    if path.is_file() and path.name != "index.html"
)


async def get(path: str, **headers: str) -> Any:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await public_app().test_client().get(path, headers=named)


@pytest.mark.parametrize("name", FILES)
async def test_every_file_is_served_as_what_it_is_and_known_again(name: str) -> None:
    response = await get(f"/{name}")
    assert response.status_code == 200
    assert response.headers["content-type"] == CONTENT_TYPES[name[name.rindex(".") :]]
    assert response.headers["cache-control"] == "no-cache"
    assert (await response.get_data()) == (STATIC / name).read_bytes()
    again = await get(f"/{name}", if_none_match=response.headers["etag"])
    assert again.status_code == 304
    assert await again.get_data() == b""
    assert again.headers["etag"] == response.headers["etag"]


@pytest.mark.parametrize("path", ["/page/..%2findex.html", "/page/nothing.js", "/liveserver/", "/index.html"])
async def test_nothing_else_is_served(path: str) -> None:
    response = await get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


async def test_files_of_known_kinds_are_read_once_from_all_folders(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b.css").write_bytes(b"body{}")
    (tmp_path / "a" / "secret.key").write_bytes(b"no")
    (tmp_path / "icon.svg").write_bytes(b"<svg/>")
    files = Files(tmp_path)
    assert {name: file.content_type for name, file in files.items()} == {
        "a/b.css": "text/css; charset=utf-8", "icon.svg": "image/svg+xml",
    }  # fmt: skip
    (tmp_path / "icon.svg").write_bytes(b"changed")
    etags = {file.etag for _, file in files.items()}
    assert len(etags) == 2
    async with QuartTrio("test").test_request_context("/"):
        answer = files.answer("icon.svg", {"x-more": "1"})
        assert await answer.get_data() == b"<svg/>"
        assert (answer.headers["x-more"], answer.headers["x-content-type-options"]) == ("1", "nosniff")
        for name in ("a/secret.key", "../icon.svg", "", "a"):
            with pytest.raises(NotFound):
                files.answer(name, {})
    tag = answer.headers["etag"]
    for known, status in ((f"W/{tag}", 304), ("*", 304), (f'"x", {tag}', 304), ('"x"', 200)):
        async with QuartTrio("test").test_request_context("/", headers={"if-none-match": known}):
            assert files.answer("icon.svg", {}).status_code == status, known
