"""The access log: which requests have a line, and what is not in it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog
import trio

from liveserver import config, node
from liveserver.edge.access_log import MAX_PATH, AccessLog


def edge(mode: str, **more: Any) -> config.EdgeSettings:
    return config.convert({"access_log": mode, **more}, config.EdgeSettings)


@pytest.mark.parametrize(
    ("mode", "statuses"), [("off", None), ("refused", [404, 500]), ("all", [200, 404, 500])]
)
def test_the_setting_decides_which_have_a_line(mode: str, statuses: list[int] | None) -> None:
    access_log = AccessLog(edge(mode))
    assert access_log.is_on is (statuses is not None)
    with structlog.testing.capture_logs() as lines:
        for status in (200, 404, 500) if access_log.is_on else ():
            access_log.record("GET", "/v1/x", status, ("10.0.0.9", 5), b"", "r1")
    assert [line["status"] for line in lines] == (statuses or [])


def test_addresses_are_the_clients_and_paths_are_bounded() -> None:
    access_log = AccessLog(edge("all", trusted_proxies=["10.0.0.0/8"]))
    with structlog.testing.capture_logs() as lines:
        access_log.record("GET", "/" + "x" * 999, 200, ("10.0.0.9", 5), b"203.0.113.7", "r1")
        access_log.record("GET", "/", 200, ("192.0.2.1", 5, 0, 0), b"203.0.113.7", "r2")
        access_log.record("GET", "/", 200, "", b"", "r3")  # a Unix socket has no address
    assert [line["address"] for line in lines] == ["203.0.113.7", "192.0.2.1", ""]
    assert len(lines[0]["path"]) == MAX_PATH


@asynccontextmanager
async def serving(file: Path) -> AsyncIterator[tuple[httpx.AsyncClient, str]]:
    async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False, timeout=60) as client:

        def load() -> config.Settings:
            return config.load(file, (), {})

        running: node.Running = await nursery.start(lambda **more: node.serve(load(), load=load, **more))
        client.base_url = httpx.URL(f"http://{running.addresses.public}")
        yield client, f"http://{running.addresses.ops}"
        nursery.cancel_scope.cancel()


async def test_every_kind_of_request_has_one_line_without_its_query(tmp_path: Path) -> None:
    base = '[listen]\npublic = "127.0.0.1:0"\nops = "127.0.0.1:0"\n[backend]\ndatabase = ":memory:"\n[edge]\n'
    file = tmp_path / "node.toml"
    file.write_text(base + 'access_log = "all"\n')
    with structlog.testing.capture_logs() as lines:
        async with serving(file) as (client, ops):
            await client.post("/v1/videos/v/likes", json={"user": "u"})  # the edge
            await client.get("/v1/videos/v/poll?token=s3cret")  # refused by the edge, or answered
            async with client.stream("GET", "/v1/videos/v/events") as stream:  # a stream
                assert stream.status_code == 200
            await client.get("/v1/videos/v/comments?limit=1")  # Quart
            await client.get("/nowhere?x=s3cret")  # nobody
            file.write_text(base)
            assert (await client.post(f"{ops}/v1/reload")).json()["changed"] == ["edge.access_log"]
            await client.get("/v1/videos/v/summary")
    found = [(line["method"], line["path"], line["status"]) for line in lines if line["event"] == "request"]
    assert found[0] == ("POST", "/v1/videos/v/likes", 201)
    assert [each[:2] for each in found[1:]] == [
        ("GET", "/v1/videos/v/poll"),
        ("GET", "/v1/videos/v/events"),
        ("GET", "/v1/videos/v/comments"),
        ("GET", "/nowhere"),
    ]
    assert [each[2] for each in found[2:]] == [200, 200, 404]
    assert "s3cret" not in str(lines)
    assert all(
        line["address"] == "127.0.0.1" and line["request"] for line in lines if line["event"] == "request"
    )
