"""A node is asked until it is ready, and complained about meanwhile."""

from __future__ import annotations

import httpx
import pytest
from trio.testing import MockClock

from liveserver.cluster import probe
from liveserver.cluster.probe import COMPLAIN_AFTER, not_ready_reason, wait_ready
from liveserver.config import Address

OPS = Address("127.0.0.1:1")


def answer_with(monkeypatch: pytest.MonkeyPatch, *answers: httpx.Response | httpx.HTTPError) -> list[str]:
    """Have requests answered so, the last for all further ones; return where the requests go."""
    asked: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        answer = answers[min(len(asked), len(answers) - 1)]
        asked.append(str(request.url))
        if isinstance(answer, httpx.HTTPError):
            raise answer
        return answer

    original = httpx.AsyncClient

    def client(**options: object) -> httpx.AsyncClient:
        return original(transport=httpx.MockTransport(handle))

    monkeypatch.setattr("httpx.AsyncClient", client)
    return asked


async def test_the_reason_is_the_nodes_own(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = answer_with(monkeypatch, httpx.Response(503, text="Redis is away\n"), httpx.Response(200))
    assert await not_ready_reason(OPS) == "503 Redis is away"
    assert await not_ready_reason(OPS) is None
    assert asked == ["http://127.0.0.1:1/readyz"] * 2


async def test_an_error_without_a_text_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    answer_with(monkeypatch, httpx.ReadTimeout(""))
    assert await not_ready_reason(OPS) == "ReadTimeout"


async def test_a_node_that_is_late_is_complained_about_now_and_then(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: MockClock
) -> None:
    late = [httpx.Response(503, text="wait")] * int(2.5 * COMPLAIN_AFTER / probe.EVERY)
    asked = answer_with(monkeypatch, *late, httpx.Response(200))
    complaints: list[str] = []
    await wait_ready(OPS, complaints.append)
    assert complaints == ["http://127.0.0.1:1/readyz says: 503 wait"] * 2
    assert len(asked) == len(late) + 1
