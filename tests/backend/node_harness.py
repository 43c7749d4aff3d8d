"""A node with all roles, and a client of its likes backend."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import trio

from liveserver import config, node

LIKES, COMMENTS, SUMMARY = "/v1/videos/v/likes", "/v1/videos/v/comments", "/v1/videos/v/summary"


ANYWHERE = ("listen.public=127.0.0.1:0", "listen.ops=127.0.0.1:0")


class Stage:
    """A running node, and a client."""

    def __init__(self, running: node.Running, client: httpx.AsyncClient) -> None:
        self.client = client
        self.url = f"http://{running.addresses.public}"
        self.ops = f"http://{running.addresses.ops}"

    async def post(self, path: str, body: Any, **headers: str) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.client.post(self.url + path, json=body, headers=names)

    async def get(self, path: str) -> Any:
        answer = await self.client.get(self.url + path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def events(self, sums: bool = False) -> list[dict[str, Any]]:
        """The video's events: totals of likes, or all others."""
        events = (await self.get("/v1/videos/v/poll?cursor=earliest"))["events"]
        return [event for event in events if (event["type"] == "likes") is sums]


@asynccontextmanager
async def serving(*settings: str) -> AsyncIterator[Stage]:
    effective = config.load(None, [*ANYWHERE, "backend.database=:memory:", *settings], {})
    async with trio.open_nursery() as nursery, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        yield Stage(await nursery.start(node.serve, effective), client)
        nursery.cancel_scope.cancel()


SECRET, KEY = "s" * 40, "k" * 40


NODES = f"auth.nodes_secret={SECRET}"


SITE = f'auth.publishers={{site={{key="{KEY}",videos=["concert-*"],scopes=["publish"]}}}}'
