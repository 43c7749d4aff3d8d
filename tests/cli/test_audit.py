"""`liveserver audit`: pages of a backend's audit trail, as a table or as JSON, newest last."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from tests.cli.harness import call

ACTS = [{"id": str(n), "type": "ban", "by": "mo", "user": f"u{n}", "at": n * 1000, "data": {"n": n}}
        for n in range(500, 0, -1)]  # fmt: skip
URL = "http://backend:8121"


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[httpx.Request]]:
    """`serve(answer)`: what clients are answered; returns the requests, as they come."""
    real = httpx.Client

    def install(answer: Callable[[httpx.Request], httpx.Response]) -> list[httpx.Request]:
        asked: list[httpx.Request] = []

        def handle(request: httpx.Request) -> httpx.Response:
            asked.append(request)
            return answer(request)

        monkeypatch.setattr(
            httpx, "Client", lambda **given: real(**given, transport=httpx.MockTransport(handle))
        )
        return asked

    return install


def pages(request: httpx.Request) -> httpx.Response:
    """A backend with `ACTS`."""
    limit, before = int(request.url.params["limit"]), request.url.params.get("before")
    start = next((n + 1 for n, act in enumerate(ACTS) if act["id"] == before), 0)
    found = ACTS[start : start + limit]
    more = start + limit < len(ACTS)
    return httpx.Response(200, json={"acts": found, "next": found[-1]["id"] if more else None})


def listed(out: str) -> list[str]:
    return [json.loads(line)["id"] for line in out.splitlines()]


@pytest.mark.parametrize("limit", [1, 200, 201, 500, 900])
def test_as_many_as_asked_for_are_read_in_pages_and_printed_newest_last(
    serve: Callable[..., list[httpx.Request]], capsys: pytest.CaptureFixture[str], limit: int
) -> None:
    asked = serve(pages)
    code, out, err = call(capsys, "audit", URL, "v", "--limit", str(limit), "--json", "--key", "k")
    assert (code, err) == (0, "")
    assert listed(out) == [str(n) for n in range(max(1, 501 - limit), 501)]
    assert {request.headers["authorization"] for request in asked} == {"Bearer k"}
    assert len(asked) == -(-min(limit, 500) // 200)


def test_the_name_of_a_video_is_quoted_and_all_videos_are_a_star(
    serve: Callable[..., list[httpx.Request]], capsys: pytest.CaptureFixture[str]
) -> None:
    asked = serve(pages)
    for video in ("*", "a/b?c"):
        call(capsys, "audit", URL, video, "--limit", "1")
    assert [request.url.raw_path for request in asked] == [
        b"/v1/videos/*/audit?limit=1",
        b"/v1/videos/a%2Fb%3Fc/audit?limit=1",
    ]
    assert "authorization" not in asked[0].headers


@pytest.mark.parametrize(
    ("act", "words"),
    [
        ({"type": "ban", "data": None, "at": 0}, ["1970-01-01 00:00:00", "lift ban"]),
        ({"type": "pin", "at": 0}, ["unpin"]),
        ({"type": "waiting", "data": None, "at": 0}, ["decide"]),
        ({"type": "clear", "data": None, "at": 0}, ["clear clear"]),
        (
            {"type": "settings", "data": {"comments": "slow", "slow": 30}, "at": 0},
            ['comments="slow" slow=30'],
        ),
        ({"type": "note", "data": [1], "at": 0}, ["note", "[1]"]),
        ({"type": "x\x1b[31m", "at": 1e300, "by": 7, "user": None}, ["?", "7"]),
        ({}, ["?"]),
    ],
)
def test_every_act_has_a_row_in_words(
    serve: Callable[..., list[httpx.Request]],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    act: dict[str, Any],
    words: list[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    serve(lambda request: httpx.Response(200, json={"acts": [act], "next": None}))
    code, out, _ = call(capsys, "audit", URL, "v")
    assert code == 0
    assert all(word in out for word in words), out
    assert "\x1b" not in out


def unreachable(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused")


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        (unreachable, f"{URL} does not answer: refused"),
        (lambda _: httpx.Response(403, json={"detail": "needs moderate"}), "answers 403: needs moderate"),
        (lambda _: httpx.Response(404, text="<html>"), "answers 404: is it a likes backend?"),
        (lambda _: httpx.Response(502, json=["x"]), "answers 502: is it a likes backend?"),
        (lambda _: httpx.Response(200, text="<html>"), "is not a likes backend's"),
        (lambda _: httpx.Response(200, json={"acts": []}), "is not a likes backend's"),
        (lambda _: httpx.Response(200, json=[]), "is not a likes backend's"),
        (lambda _: httpx.Response(200, json={"acts": 3, "next": None}), "is not a likes backend's"),
        (lambda _: httpx.Response(200, json={"acts": [3], "next": None}), "is not a likes backend's"),
    ],
)
def test_what_is_no_audit_trail_is_one_line(
    serve: Callable[..., list[httpx.Request]],
    capsys: pytest.CaptureFixture[str],
    answer: Callable[[httpx.Request], httpx.Response],
    complaint: str,
) -> None:
    serve(answer)
    code, out, err = call(capsys, "audit", URL, "v")
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert complaint in err


def test_a_limit_of_none_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "audit", URL, "v", "--limit", "0")
    assert code == 2
    assert "--limit: is at least 1" in err or "is at least 1" in err
