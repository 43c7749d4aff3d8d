"""The page's files: what they are served as, what may be cached, and what the policy lets them do."""

from __future__ import annotations

import re
from typing import Any

import pytest

from liveserver.web.page import STATIC, origins
from tests.web.test_files import FILES, get


def policy_of(response: Any) -> dict[str, str]:
    directives = response.headers["content-security-policy"].split("; ")
    return {name: value for name, _, value in (directive.partition(" ") for directive in directives)}


async def test_the_page_is_html_under_a_strict_policy() -> None:
    response = await get("/")
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/html; charset=utf-8"
    assert response.headers["x-content-type-options"] == "nosniff"
    policy = policy_of(response)
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["require-trusted-types-for"] == "'script'"
    assert "unsafe" not in response.headers["content-security-policy"]


async def test_only_the_servers_named_are_let_in() -> None:
    response = await get("/?frontends=http://127.0.0.1:8101/,http://127.0.0.1:8102&likes=https://l.example")
    assert policy_of(response)["connect-src"] == (
        "'self' http://127.0.0.1:8101 http://127.0.0.1:8102 "
        "ws://127.0.0.1:8101 ws://127.0.0.1:8102 https://l.example"
    )
    assert (
        policy_of(await get("/?replay=https://cdn.example/v/"))["connect-src"] == "'self' https://cdn.example"
    )
    assert policy_of(await get("/?src=https://films.example/a.mp4"))["media-src"] == (
        "'self' https://films.example"
    )


@pytest.mark.parametrize(
    "text",
    ["", "*", "javascript:alert(1)", "http://", "http://*", "http://a;script-src *", "http://a b", "//a",
     "data:,x", "http://user@a", "http://[", "http://a'", "http://a:1x", "wss://a", "/film.mp4"],
)  # fmt: skip
def test_malformed_origins_are_refused(text: str) -> None:
    assert origins(text) == ""


def test_origins_are_few_and_each_once() -> None:
    assert origins("http://a/x, http://a/y,https://[::1]:8443") == " http://a https://[::1]:8443"
    assert origins(",".join(f"http://h{n}" for n in range(100))).count("http") == 8


async def test_the_client_may_be_imported_from_elsewhere() -> None:
    for name in FILES:
        is_client = name.startswith("liveserver")
        response = await get(f"/{name}")
        assert response.headers.get("access-control-allow-origin") == ("*" if is_client else None)


def test_all_modules_are_asked_for_at_once() -> None:
    text = (STATIC / "index.html").read_text()
    asked = re.findall(r'(?:modulepreload" href|module" src)="/([^"]+)"', text)
    assert sorted(asked) == sorted(name for name in FILES if name.endswith(".js"))


@pytest.mark.parametrize("name", ["index.html", *FILES])
def test_files_load_nothing_from_elsewhere_and_make_no_markup(name: str) -> None:
    """No address of another server, nothing inline that the policy would stop, text only as text."""
    text = (STATIC / name).read_text()
    addresses = set(re.findall(r"https?://[\w.:-]+", text))
    assert addresses <= {
        "http://www.w3.org", "http://127.0.0.1:8101", "http://127.0.0.1:8102",
        "https://fe1.example", "https://fe2.example",
    }  # fmt: skip
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(", text)
    if name.endswith(".html"):
        assert not re.search(r"<style|\son\w+=|\sstyle=|<script(?![^>]*\ssrc=)", text)
