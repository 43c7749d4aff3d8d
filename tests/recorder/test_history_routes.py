"""The history of a video over HTTP, at a dispatcher; who may is in tests/node/test_server_api.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.auth.harness import KEY
from tests.node.test_authorization import MODERATOR, locked, serving

HISTORY = "/v1/videos/v/history"
ONLY_DISPATCHER = 'node.roles=["dispatcher"]'


async def ask(on: Any, method: str, path: str, key: str | None) -> tuple[int, Any]:
    answer = await on.ask(method, path, key)
    return answer.status_code, answer.json()


async def test_a_publisher_pages_through_its_video_s_history(tmp_path: Path) -> None:
    async with serving(locked(tmp_path, ONLY_DISPATCHER)) as [on]:
        for number in range(5):
            body = {"type": "score" if number % 2 else "note", "data": number, "id": f"e{number}"}
            assert await on.status_of("POST", "/v1/videos/v/events", KEY, body) == 202
        status, page = await ask(on, "GET", f"{HISTORY}?limit=2&types=note", KEY)
        assert status == 200
        assert (page["video"], page["complete"]) == ("v", True)
        assert [event["id"] for event in page["events"]] == ["e4", "e2"]
        status, rest = await ask(on, "GET", f"{HISTORY}?limit=2&types=note&cursor={page['next']}", KEY)
        assert ([event["id"] for event in rest["events"]], rest["next"]) == (["e0"], None)
        status, page = await ask(on, "GET", f"{HISTORY}?order=oldest&from=1", MODERATOR)
        assert [event["id"] for event in page["events"]] == [f"e{number}" for number in range(5)]
        at = page["events"][2]["at"]
        status, page = await ask(on, "GET", f"{HISTORY}?to={at + 1}&from={at}", KEY)
        assert "e2" in [event["id"] for event in page["events"]]
