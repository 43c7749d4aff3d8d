"""A whole node that asks for tokens, and people with them: a moderator, a host, spectators, a site."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import trio

from liveserver import config, node
from liveserver.auth import tokens
from liveserver.config import Settings
from tests.auth.harness import KEY, NODES, SECRET

ANYWHERE = ("listen.public=127.0.0.1:0", "listen.ops=127.0.0.1:0", "backend.database=:memory:")
LOCKED = (
    "auth.viewers=token",
    f"auth.secret={SECRET}",
    f"auth.nodes_secret={NODES}",
    f"auth.publishers.site.key={KEY}",
    'auth.publishers.site.scopes=["publish", "like", "comment", "moderate"]',
    "backend.follow_interval=20ms",
)
VIDEO = "/v1/videos/v"
HOURS = 12 * 3600.0  # tokens made at the import are used until the last test has run
COMMENTS, LIKES, SETTINGS = f"{VIDEO}/comments", f"{VIDEO}/likes", f"{VIDEO}/settings"


def token(user: str | None, scope: str | None = None, **claims: Any) -> str:
    said = {"videos": ["*"], "exp": time.time() + HOURS, "sub": user, "scope": scope, **claims}
    return tokens.make({name: value for name, value in said.items() if value is not None}, SECRET)


ADA, BOB = token("ada"), token("bob")
MODERATOR = token("mo", "watch like comment moderate")
HOST = token("hugo", "watch like comment host")


def settings(*more: str) -> Settings:
    return config.load(None, [*ANYWHERE, *LOCKED, *more], {})


class Node:
    """A running node, and a client."""

    def __init__(self, running: node.Running, client: httpx.AsyncClient) -> None:
        self.client = client
        self.url = f"http://{running.addresses.public}"
        self.ops = f"http://{running.addresses.ops}"

    async def ask(
        self, method: str, path: str, key: str | None, body: Any = None, **headers: str
    ) -> httpx.Response:
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        if key is not None:
            names["authorization"] = f"Bearer {key}"
        return await self.client.request(method, self.url + path, json=body, headers=names)

    async def done(self, method: str, path: str, key: str | None, body: Any = None) -> Any:
        """The JSON of an answer other than a problem."""
        answer = await self.ask(method, path, key, body)
        assert answer.is_success, answer.text
        return answer.json() if answer.content else None

    async def refused(
        self, method: str, path: str, key: str | None, body: Any = None, **headers: str
    ) -> tuple[int, str, str | None]:
        """The status, reason and `retry-after` of a problem."""
        answer = await self.ask(method, path, key, body, **headers)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        return answer.status_code, answer.json().get("reason", ""), answer.headers.get("retry-after")

    async def comment(self, key: str | None, text: str = "hi", **fields: Any) -> int:
        return (await self.ask("POST", COMMENTS, key, {"text": text, **fields})).status_code

    async def like(self, key: str | None, **fields: Any) -> int:
        return (await self.ask("POST", LIKES, key, fields)).status_code

    async def events(self, key: str = ADA, video: str = "v") -> list[dict[str, Any]]:
        """What is in the video's log for this viewer, but totals of likes."""
        answer = await self.done("GET", f"/v1/videos/{video}/poll?cursor=earliest", key)
        return [event for event in answer["events"] if event["type"] != "likes"]

    async def state(self, key: str = ADA) -> dict[str, Any]:
        """The video's state for this viewer: data by key."""
        found = await self.done("GET", f"{VIDEO}/poll?cursor=now", key)
        return {event["key"]: event["data"] for event in found.get("state", [])}


@asynccontextmanager
async def serving(*more: str) -> AsyncIterator[Node]:
    async with running(settings(*more)) as (on,):
        yield on


@asynccontextmanager
async def running(*several: Settings) -> AsyncIterator[tuple[Node, ...]]:
    async with httpx.AsyncClient(trust_env=False, timeout=60) as client, trio.open_nursery() as nursery:
        nodes = [Node(await nursery.start(node.serve, each), client) for each in several]
        yield tuple(nodes)
        nursery.cancel_scope.cancel()


def encode(value: Any) -> bytes:
    return msgspec.json.encode(value)


async def said(on: Node, key: str, text: str) -> str:
    made = await on.done("POST", COMMENTS, key, {"text": text})
    return str(made["id"])
