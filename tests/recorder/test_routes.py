"""Recordings over HTTP, from a node with all roles."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import msgspec
import trio

from liveserver import config, node

BEGIN = 1_763_862_000_000


@asynccontextmanager
async def serving(directory: Path, *more: str) -> AsyncIterator[httpx.AsyncClient]:
    settings = config.load(
        None,
        [
            'node.roles=["frontend","dispatcher","backend","recorder"]',
            "listen.public=127.0.0.1:0",
            "listen.ops=127.0.0.1:0",
            f"backend.directory={directory}",
            f"recorder.directory={directory / 'recordings'}",
            "recorder.interval=10ms",
            *more,
        ],
    )
    async with trio.open_nursery() as nursery:
        running = await nursery.start(node.serve, settings)
        async with httpx.AsyncClient(
            base_url=f"http://{running.addresses.public}", trust_env=False, timeout=30
        ) as client:
            client.headers["x-ops"] = running.addresses.ops
            yield client
        nursery.cancel_scope.cancel()


async def publish(client: httpx.AsyncClient, *events: dict[str, Any]) -> None:
    answer = await client.post("/v1/videos/v/events", json=list(events))
    assert answer.status_code == 202, answer.text


async def recorded(client: httpx.AsyncClient, query: str, count: int) -> list[dict[str, Any]]:
    """Return what is recorded, once it is so much; the recorder is on its way."""
    with trio.fail_after(60):
        while True:
            answer = await client.get(f"/v1/videos/v/recording{query}")
            found = [msgspec.json.decode(line) for line in answer.text.splitlines()]
            if answer.status_code == 200 and len(found) >= count:
                assert answer.headers["content-type"] == "application/x-ndjson"
                return found
            assert answer.status_code in (200, 404), answer.text
            await trio.sleep(0.01)


def comment(number: int) -> dict[str, Any]:
    return {
        "type": "comment",
        "id": f"e{number}",
        "at": BEGIN + number * 1000,
        "position": number * 1000,
        "data": {"text": f"text {number}"},
    }


async def test_a_stretch_by_time_and_by_position_and_the_bare_files(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        assert (await client.get("/v1/videos/v/recording")).status_code == 404
        await publish(client, *map(comment, range(5)))
        assert [each["id"] for each in await recorded(client, "", 5)] == ["e0", "e1", "e2", "e3", "e4"]
        by_time = await recorded(client, f"?from={BEGIN + 1000}&to={BEGIN + 3000}", 2)
        assert [each["id"] for each in by_time] == ["e1", "e2"]
        by_position = await recorded(client, "?position=3000-", 2)
        assert [each["id"] for each in by_position] == ["e3", "e4"]
        answer = await client.get("/v1/videos/v/recording/index.json")
        index = answer.json()
        assert (answer.headers["cache-control"], index["offset"]) == ("no-cache", 5)
        (segment,) = index["segments"]
        answer = await client.get(f"/v1/videos/v/recording/{segment['file']}")
        assert gzip.decompress(answer.content).count(b"\n") == 5
        assert "immutable" in answer.headers["cache-control"]
        for file in ("x", ".lock", "..%2Fv%2Findex.json", "0" * 24 + ".ndjson.gz", "index.json?x=1"):
            assert (await client.get(f"/v1/videos/v/recording/{file}")).status_code in (400, 404)
        for query in ("from=x", "from=1&from=2", "position=5", "position=1-2&from=3", "until=1", "to=-1"):
            answer = await client.get(f"/v1/videos/v/recording?{query}")
            assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    async with serving(tmp_path, 'node.roles=["frontend","dispatcher","backend"]') as client:  # no recorder
        assert [each["id"] for each in await recorded(client, "?position=3000-", 2)] == ["e3", "e4"]
        assert (await client.get("/v1/videos/other/recording")).status_code == 404


async def test_a_like_and_a_retracted_comment_as_they_are_recorded(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        await client.post("/v1/videos/v/likes", json={"user": "ada", "position": 1500})
        said = (await client.post("/v1/videos/v/comments", json={"text": "oops", "position": 2000})).json()
        before = await recorded(client, "", 3)  # with the sum
        assert {each.get("position") for each in before if each["type"] in ("like", "comment")} == {
            1500,
            2000,
        }
        await client.delete(f"/v1/videos/v/comments/{said['id']}")
        with trio.fail_after(60):
            while True:
                shown = await recorded(client, "", 4)
                if not any("oops" in str(each) for each in shown) and not on_disk(tmp_path, b"oops"):
                    break
                await trio.sleep(0.01)


def on_disk(directory: Path, text: bytes) -> bool:
    for path in (directory / "recordings" / "v").glob("*.gz"):
        with suppress(FileNotFoundError):  # deleted just now
            if text in gzip.decompress(path.read_bytes()):
                return True
    return False


async def test_the_watch_scope_allows_reading_the_recording(tmp_path: Path) -> None:
    secret = "a-secret-of-more-than-thirty-two-bytes"
    async with serving(tmp_path, "auth.viewers=token", f"auth.secret={secret}") as client:
        for path in ("/v1/videos/v/recording", "/v1/videos/v/recording/index.json"):
            assert (await client.get(path)).status_code == 401


async def test_a_disk_that_is_full_turns_readiness_red(tmp_path: Path) -> None:
    (tmp_path / "recordings").write_text("no directory")
    async with serving(tmp_path) as client:
        await publish(client, comment(1))
        ops = client.headers["x-ops"]
        with trio.fail_after(60):
            while True:
                ready = (await client.get(f"http://{ops}/readyz")).json()
                if not ready["checks"]["recorder"]["ok"]:
                    break
                await trio.sleep(0.01)
        assert "is retried" in ready["checks"]["recorder"]["detail"]
