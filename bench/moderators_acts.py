"""Acts of a moderator in one datacenter, timed until they take effect in another (see `moderation.py`)."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
import trio

from bench.nodes import Datacenter
from liveserver.auth import tokens
from liveserver.client import Bye, Event, Item, Ready, Watcher, watch

SECRET = "a-secret-of-more-than-thirty-two-characters"
VIDEO = "show"
PROBE = 0.004  # seconds from one attempt to the next
DEADLINE = 20.0  # seconds for an act to hold


@dataclass(frozen=True)
class Pair:
    """Two datacenters; what happens in the first is relayed to the second."""

    here: Datacenter
    there: Datacenter

    def backend(self, datacenter: Datacenter) -> str:
        assert datacenter.backend is not None
        return datacenter.backend.url


def headers(user: str, scope: str = "watch like comment") -> dict[str, str]:
    """Return a token of a user, as a header."""
    claims = {"sub": user, "scope": scope, "videos": ["*"], "exp": time.time() + 3_600}
    return {"Authorization": f"Bearer {tokens.make(claims, SECRET)}"}


MODERATOR = headers("mo", "watch like comment moderate")


class Acts:
    """Acts at the first datacenter, timed until they take effect in the second."""

    def __init__(self, pair: Pair, client: httpx.AsyncClient) -> None:
        self._acting = f"{pair.backend(pair.here)}/v1/videos/{VIDEO}"
        self._trying = f"{pair.backend(pair.there)}/v1/videos/{VIDEO}"
        self._frontend = pair.there.frontends[0].url
        self._client = client
        self._items: list[tuple[float, Item]] = []
        self._more = trio.Event()
        self._comments = 0

    async def view(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Watch in the second datacenter."""
        async with watch(self._frontend, VIDEO, token=_token(headers("viewer"))) as watcher:
            async for item in watcher:
                if isinstance(item, Ready):
                    task_status.started()
                self._items.append((trio.current_time(), item))
                self._more.set()
                self._more = trio.Event()

    async def act(
        self,
        method: str,
        path: str,
        body: Any,
        is_shown: Callable[[Event], bool] | None,
        enforced: Callable[[], Awaitable[bool]] | None = None,
    ) -> dict[str, float]:
        """Act; return the milliseconds until its event is shown, if viewers see it, and it is enforced."""
        seen, began = len(self._items), trio.current_time()
        answer = await self._client.request(method, f"{self._acting}{path}", json=body, headers=MODERATOR)
        answered = trio.current_time()
        answer.raise_for_status()
        found = {}
        if enforced is not None:
            found["enforced"] = await self._until(enforced, answered)
        if is_shown is None:
            return found
        with trio.fail_after(DEADLINE):
            while True:
                while seen < len(self._items):
                    at, item = self._items[seen]
                    seen += 1
                    if isinstance(item, Event) and is_shown(item):
                        return found | {"shown": (at - began) * 1000}
                await self._more.wait()

    async def _until(self, condition: Callable[[], Awaitable[bool]], since: float) -> float:
        with trio.fail_after(DEADLINE):
            while True:
                asked = trio.current_time()
                if await condition():
                    return max(0.0, asked - since) * 1000
                await trio.sleep(PROBE)

    async def comment(self, user: str, *, here: bool = False) -> httpx.Response:
        """Comment in the second datacenter, or `here` where the moderator is."""
        self._comments += 1
        body = {"text": f"comment {self._comments}"}
        url = f"{self._acting if here else self._trying}/comments"
        return await self._client.post(url, json=body, headers=headers(user))

    async def round(self, number: int) -> dict[str, dict[str, float]]:
        """Act once in each way."""
        user, other = f"user{number}", f"other{number}"

        async def is_refused(status: int, user: str = user) -> bool:
            return (await self.comment(user)).status_code == status

        def settings(**fields: Any) -> Callable[[Event], bool]:
            def is_shown(event: Event) -> bool:
                return event.type == "settings" and fields.items() <= dict(event.data).items()

            return is_shown

        found = {}
        found["close comments"] = await self.act(
            "PUT", "/settings", {"comments": "closed"}, settings(comments="closed"), lambda: is_refused(403)
        )
        found["open comments"] = await self.act(
            "PUT", "/settings", {"comments": "open"}, settings(comments="open"), lambda: is_refused(201)
        )
        found["slow mode"] = await self.act(
            "PUT",
            "/settings",
            {"comments": "slow", "slow": 600},
            settings(comments="slow"),
            lambda: is_refused(429),
        )
        await self.act("PUT", "/settings", {"comments": "open"}, settings(comments="open"))
        await self._until(lambda: is_refused(201), 0)
        said = (await self.comment(user, here=True)).json()["id"]
        found["pin"] = await self.act(
            "PUT", "/pin", {"comment": said}, lambda event: event.type == "pin" and event.data is not None
        )
        found["clear a user's comments"] = await self.act(
            "DELETE", f"/users/{user}/comments", None, lambda event: event.type == "clear"
        )
        async with self.banned_viewer(other) as is_gone:
            found["ban, at the likes backend"] = await self.act(
                "PUT",
                f"/bans/{user}",
                {},
                None,
                lambda: is_refused(403),
            )
            found["ban, at a stream"] = await self.act(
                "PUT",
                f"/bans/{other}",
                {},
                None,
                is_gone,
            )
        return found

    @asynccontextmanager
    async def banned_viewer(self, user: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
        """Watch as a user; yield whether the stream was ended because of a ban."""
        ended = trio.Event()

        async def read(watcher: Watcher) -> None:
            async for item in watcher:
                if isinstance(item, Bye) and not item.reconnect:
                    ended.set()

        async def is_gone() -> bool:
            return ended.is_set()

        async with (
            watch(self._frontend, VIDEO, token=_token(headers(user))) as watcher,
            trio.open_nursery() as nursery,
        ):
            await anext(watcher)
            nursery.start_soon(read, watcher)
            yield is_gone
            nursery.cancel_scope.cancel()


def _token(header: dict[str, str]) -> str:
    return header["Authorization"].partition(" ")[2]


async def measure_acts(pair: Pair, rounds: int) -> dict[str, list[dict[str, float]]]:
    """Return the times of each kind of act, milliseconds, a round each."""
    found: dict[str, list[dict[str, float]]] = {}
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE) as client, trio.open_nursery() as nursery:
        acts = Acts(pair, client)
        await nursery.start(acts.view)
        for number in range(rounds):
            for name, times in (await acts.round(number)).items():
                found.setdefault(name, []).append(times)
        nursery.cancel_scope.cancel()
    return found
