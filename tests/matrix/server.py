"""A whole node in this process, on ports of its own, and the means to publish to it."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import trio

from liveserver.auth import tokens
from liveserver.config import Settings, convert
from liveserver.node.process import Running, serve
from tests.edge.authority import Authority

SECRET = "the-viewers-secret-of-at-least-32-bytes"
TOKENS = {"viewers": "token", "secret": SECRET, "leeway": "0s"}
Trust = Callable[..., ssl.SSLContext]
LIMIT = 120.0  # seconds: nothing hangs


class Server:
    """A running node with all that watching takes."""

    def __init__(self, running: Running, trust: Trust) -> None:
        self.running = running
        self.address = running.addresses.public
        self.tls_address = running.addresses.tls or ""
        self.trust = trust
        self._count = 0

    def token(self, seconds: float = 600, *videos: str) -> str:
        """A viewer's token that is good for so long; of a node with `auth=TOKENS`."""
        return tokens.make({"videos": videos or ("*",), "exp": time.time() + seconds}, SECRET)

    async def publish(self, count: int, video: str = "v", padding: int = 0) -> str:
        """Publish events whose data's `n` counts up from 1; the cursor after them."""
        events = []
        for _ in range(count):
            self._count += 1
            events.append({"type": "like", "data": {"n": self._count, "p": "x" * padding}})
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            answer = await client.post(f"http://{self.address}/v1/videos/{video}/events", json=events)
        assert answer.status_code == 202, answer.text
        cursor: str = answer.json()["cursor"]
        return cursor


@asynccontextmanager
async def serving(**sections: dict[str, Any]) -> AsyncIterator[Server]:
    """A node for the duration of the block; `sections` are settings."""
    any_port = "127.0.0.1:0"
    given = {"listen": {"public": any_port, "ops": any_port, "tls": any_port}} | sections
    given["node"] = {"roles": ["frontend", "dispatcher"], "drain_timeout": "100ms"} | given.get("node", {})
    with trio.fail_after(LIMIT), TemporaryDirectory() as directory:
        authority = Authority(Path(directory))
        given["tls"] = {"certificate": str(authority.certificate), "key": str(authority.key)}
        async with trio.open_nursery() as nursery:
            yield Server(await nursery.start(serve, convert(given, Settings)), authority.trust)
            nursery.cancel_scope.cancel()
