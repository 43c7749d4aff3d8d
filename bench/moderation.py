"""Moderation: how soon an act holds in the other datacenter, and what a long ban list costs.

    python -m bench.moderation
    python -m bench.moderation --bans 10000 --rounds 10

Two datacenters of real nodes, each with its Redis, dispatcher, frontend and likes backend (SQLite), started
from config/; viewers have tokens.

- **Acts**: a moderator acts at the likes backend of dc1. `shown` is from the request until a viewer at the
  frontend of dc2 has its event; `enforced` from the answer until the likes backend of dc2 refuses (or the
  frontend has ended the banned user's stream), asked every few milliseconds. Their maxima over all rounds.
- **Costs**: likes and comments as fast as 16 connections carry them, alternating between a video without bans
  and one with `--bans` of them: the likes backend's CPU for one, and their ratio.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from typing import Annotated, Any

import httpx
import trio
import typer

from bench import likes
from bench.harness import HOST, Worker, cores, progress
from bench.likes import RequestTemplate
from bench.nodes import Datacenter, run_datacenter
from bench.results import Sheet, by_measure, finish, machine, medians
from liveserver.auth import tokens
from liveserver.client import Bye, Event, Item, Ready, Watcher, watch

SECRET = "a-secret-of-more-than-thirty-two-characters"
VIDEO = "show"
BANNED = "banned"  # the video with a long ban list
QUIET = "quiet"  # the one without
PROBE = 0.004  # seconds from one attempt to the next
DEADLINE = 20.0  # seconds for an act to hold
AT_ONCE = 16
MEASURES = {
    "shown_p50_ms": "shown in dc2, p50 ms",
    "shown_max_ms": "at most",
    "enforced_p50_ms": "enforced in dc2 after the answer, p50 ms",
    "enforced_max_ms": "at most",
}
COSTS = {
    "without_us": "the backend's CPU without bans, µs",
    "with_us": "with them, µs",
    "ratio": "ratio",
}


@dataclass(frozen=True)
class Pair:
    """Two datacenters, and an HTTP client."""

    here: Datacenter
    there: Datacenter

    def backend(self, datacenter: Datacenter) -> str:
        assert datacenter.backend is not None
        return datacenter.backend.url


def main(
    rounds: Annotated[int, typer.Option(help="Rounds.")] = 10,
    bans: Annotated[int, typer.Option(help="Users on the ban list.")] = 10_000,
    seconds: Annotated[float, typer.Option(help="Of each part of the costs.")] = 3.0,
) -> None:
    """How soon moderators' acts hold in the other datacenter, and what bans cost.

    Example: python -m bench.moderation --rounds 10 --bans 10000
    """
    facts = machine()
    acts: dict[str, dict[str, float]] = {}
    costs: dict[str, list[dict[str, float]]] = {}
    with ExitStack() as stack:
        step = stack.enter_context(progress(2 + rounds))
        step("starting two datacenters", 0)
        pair = stack.enter_context(opened())
        step(f"{rounds} rounds of acts")
        for name, times in trio.run(measure_acts, pair, rounds).items():
            acts[name] = {
                f"{what}_{share}_ms": value
                for what in times[0]
                for share, value in (
                    ("p50", statistics.median(each[what] for each in times)),
                    ("max", max(each[what] for each in times)),
                )
            }
        step(f"{bans} bans")
        trio.run(ban_many, pair, bans)
        _, load_core = cores()
        liker = stack.enter_context(closing(Worker(likes.run, load_core)))
        for number in range(1, rounds + 1):
            step(f"round {number} of costs")
            for kind in ("likes", "comments"):
                costs.setdefault(kind, []).append(measure_costs(pair, liker, kind, number, seconds))
    result: dict[str, Any] = {
        "bench": "moderation",
        "bans": bans,
        "acts": acts,
        "medians": {kind: medians(each) for kind, each in costs.items()},
        "rounds": costs,
        "machine": facts,
    }
    finish(result, sheets(result))


@contextmanager
def opened() -> Iterator[Pair]:
    """Yield the two datacenters, ready; what happens in the first is relayed to the second."""
    core, load_core = cores()
    common = ("auth.viewers=token", f"auth.secret={SECRET}")
    with ExitStack() as stack:

        def start(name: str, *peers: str) -> Datacenter:
            own = (*common, f"node.datacenter={name}")
            nodes = run_datacenter(
                load_core, load_core, [load_core], core, settings=own, dispatcher_settings=peers
            )
            return stack.enter_context(nodes)

        here = start("dc1")
        yield Pair(here, start("dc2", f"peers.dc1.url=redis://{HOST}:{here.redis.port}/0"))


def headers(user: str, scope: str = "watch like comment") -> dict[str, str]:
    """Return a token of a user, as a header."""
    claims = {"sub": user, "scope": scope, "videos": ["*"], "exp": time.time() + 3_600}
    return {"Authorization": f"Bearer {tokens.make(claims, SECRET)}"}


MODERATOR = headers("mo", "watch like comment moderate")


class Acts:
    """Acts at the first datacenter, and what is seen of them in the second."""

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


async def ban_many(pair: Pair, count: int) -> None:
    """Ban so many users from a video, and wait until the backend of the second datacenter knows them."""
    users = iter([f"banned{number}" for number in range(count)])
    limits = httpx.Limits(max_connections=AT_ONCE)
    async with httpx.AsyncClient(trust_env=False, timeout=DEADLINE, limits=limits) as client:

        async def ban() -> None:
            for user in users:
                url = f"{pair.backend(pair.there)}/v1/videos/{BANNED}/bans/{user}"
                (await client.put(url, json={}, headers=MODERATOR)).raise_for_status()

        async with trio.open_nursery() as nursery:
            for _ in range(AT_ONCE):
                nursery.start_soon(ban)


def measure_costs(pair: Pair, liker: Worker, kind: str, number: int, seconds: float) -> dict[str, float]:
    """Return the backend's CPU for a like or comment at either video, microseconds."""
    backend = pair.there.backend
    assert backend is not None
    body = b'{"reaction":"heart"}' if kind == "likes" else b'{"text":"a comment of usual length, says one"}'
    used: dict[str, float] = {}
    names = [QUIET, BANNED] if number % 2 else [BANNED, QUIET]
    for video in names:
        shown = tuple(f"{name}: {value}" for name, value in headers("ada").items())
        template = RequestTemplate((f"/v1/videos/{video}/{kind}",), body=body, host=HOST, headers=shown)
        cpu = backend.cpu_seconds()
        taken = liker.ask("closed", backend.port, seconds, AT_ONCE, template)
        used[video] = (backend.cpu_seconds() - cpu) / taken["accepted"] * 1e6
    ratio = used[BANNED] / used[QUIET] if used[QUIET] else math.nan
    return {"without_us": used[QUIET], "with_us": used[BANNED], "ratio": ratio}


def sheets(result: dict[str, Any]) -> list[Sheet]:
    """Return the tables for people."""
    return [
        by_measure("a moderator's acts", MEASURES, result["acts"]),
        by_measure(f"likes and comments with {result['bans']:,} bans", COSTS, result["medians"]),
    ]


if __name__ == "__main__":
    typer.run(main)
