"""Upgrade a running cluster from an earlier revision, node by node, under traffic: `make upgrade`.

    make upgrade ARGS="--from v0.1.0"                 # a tag, a branch or a commit
    make upgrade ARGS="--from HEAD~50 --order frontends,dispatchers,backends --back"

The earlier program is taken out of git, and run with the packages that are installed. Two dispatchers, two
frontends and a likes backend are on one Redis, with viewers over all transports at both frontends;
publishers and likes never stop. At the end each viewer has had each event once, in one order and without a
gap, and the total of likes is exact.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import NamedTuple

import httpx
import trio

from liveserver.client import Unreachable, publish
from liveserver.cluster.redis_server import run_redis_server
from tests.processes import NodeProcess, running
from tests.watching import Transport, Viewer

ROOT = Path(__file__).parents[2]
KINDS = ("dispatchers", "frontends", "backends")
TRANSPORTS: tuple[Transport, ...] = ("sse", "poll", "ws")
PAUSE = 0.02  # seconds between two requests
CALM = 2.0  # seconds between two nodes
SETTLE = 60.0  # seconds for what was accepted to arrive


class Outcome(NamedTuple):
    """What was accepted, and what is wrong."""

    events: int
    likes: int
    complaints: list[str]


def take_out(revision: str, directory: Path) -> None:
    """Write the program of a revision into a directory. Exits if git does not have it."""
    made = subprocess.run(
        ["git", "-C", ROOT, "archive", revision, "liveserver"], capture_output=True, check=False
    )
    if made.returncode:
        sys.exit(
            f"git has no {revision} here ({made.stderr.decode().strip()}); "
            "name a tag or commit with --from, and fetch it first if the checkout is shallow"
        )
    with tarfile.open(fileobj=BytesIO(made.stdout)) as archive:
        archive.extractall(directory, filter="data")


def program(directory: Path) -> dict[str, str]:
    """Return the environment in which `python -m liveserver` is the program in a directory."""
    return {**os.environ, "PYTHONPATH": str(directory), "PYTHONSAFEPATH": "1"}


class Traffic:
    """Publishers and likes that go on until `is_over`, whatever refuses them."""

    def __init__(self, dispatchers: Sequence[str], backend: str) -> None:
        self.is_over = False
        self.events: dict[str, set[str]] = {"one": set(), "two": set()}
        self.likes = 0
        self._dispatchers = list(dispatchers)
        self._backend = backend

    async def publish(self, name: str) -> None:
        number = 0
        async with httpx.AsyncClient(trust_env=False) as client:
            while not self.is_over:
                number += 1
                ids = [f"{name}-{number}-{index}" for index in range(5)]
                events = [{"type": "like", "id": each} for each in ids]
                while True:  # with the same ids
                    try:
                        await publish(self._dispatchers, "v", events, client=client)
                        break
                    except Unreachable:
                        await trio.sleep(PAUSE)
                self.events[name] |= set(ids)
                await trio.sleep(PAUSE)

    async def like(self) -> None:
        url = f"{self._backend}/v1/videos/liked/likes"
        async with httpx.AsyncClient(trust_env=False, timeout=5) as client:
            while not self.is_over:
                headers = {"idempotency-key": f"like-{self.likes}"}
                while True:  # with the same key
                    try:
                        answer = await client.post(url, json={"user": "u"}, headers=headers)
                    except httpx.HTTPError:
                        await trio.sleep(PAUSE)
                        continue
                    if answer.status_code == 201:
                        break
                    if answer.status_code not in (429, 503):
                        raise AssertionError(f"a like was answered {answer.status_code}: {answer.text}")
                    await trio.sleep(PAUSE)
                self.likes += 1
                await trio.sleep(PAUSE)


async def roll(
    nodes: dict[str, list[NodeProcess]], order: Sequence[str], environment: dict[str, str], name: str
) -> None:
    """Restart each node as another program, when the one before is ready."""
    for kind in order:
        for node in nodes[kind]:
            begun = time.monotonic()
            code = await node.terminate()
            node.environment = environment
            node.start()
            await node.wait_ready()
            print(
                f"  {node.name}: ended with {code}, ready as {name} after {time.monotonic() - begun:.1f} s",
                flush=True,
            )
            await trio.sleep(CALM)


async def upgrade(old: Path, name: str, order: Sequence[str], *, back: bool) -> Outcome:
    """Upgrade a cluster from the program in `old`; and `back` again."""
    former, present = program(old), program(ROOT)
    async with run_redis_server() as redis:
        dispatchers = [NodeProcess(f"di{n}", "dispatcher", redis.url) for n in (1, 2)]
        urls = ",".join(f'"{node.url}"' for node in dispatchers)
        where = f"dispatchers=[{urls}]"
        frontends = [
            NodeProcess(f"fe{n}", "frontend", redis.url, f"frontend.{where}", "node.drain_timeout=1s")
            for n in (1, 2)
        ]
        backend = NodeProcess(
            "be", "backend", redis.url, f"backend.{where}", f"backend.directory={old.parent / 'data'}"
        )
        nodes = {"dispatchers": dispatchers, "frontends": frontends, "backends": [backend]}
        for node in (*dispatchers, *frontends, backend):
            node.environment = former
        async with running(*dispatchers, *frontends, backend), trio.open_nursery() as nursery:
            viewers = [
                Viewer([node.url for node in (frontends if n else frontends[::-1])], "v", how)
                for n in (0, 1)
                for how in TRANSPORTS
            ]
            liked = Viewer([node.url for node in frontends], "liked", "sse")
            for viewer in (*viewers, liked):
                nursery.start_soon(viewer.run, sys.maxsize)
            for viewer in (*viewers, liked):
                await viewer.is_ready.wait()
            traffic = Traffic([node.url for node in dispatchers], backend.url)
            async with trio.open_nursery() as publishing:
                for who in traffic.events:
                    publishing.start_soon(traffic.publish, who)
                publishing.start_soon(traffic.like)
                await trio.sleep(CALM)
                await roll(nodes, order, present, "this revision")
                if back:
                    # A backend does not go back behind a database that was upgraded (docs/upgrading.md).
                    kinds = [kind for kind in reversed(order) if kind != "backends"]
                    await roll(nodes, kinds, former, name)
                traffic.is_over = True
            wanted = traffic.events["one"] | traffic.events["two"]
            with trio.move_on_after(SETTLE):
                for viewer in viewers:
                    await viewer.wait_events(len(wanted))
            await trio.sleep(CALM)  # for what would come twice
            async with httpx.AsyncClient(trust_env=False) as client:
                summary = (await client.get(f"{backend.url}/v1/videos/liked/summary")).json()
            complaints = list(judge(viewers, wanted))
            if liked.gaps:
                complaints.append(f"the viewer of likes got {liked.gaps} gaps")
            if summary["likes"] != traffic.likes:
                complaints.append(f"{traffic.likes} likes were stored, and the total is {summary['likes']}")
            nursery.cancel_scope.cancel()
    return Outcome(len(wanted), traffic.likes, complaints)


def judge(viewers: Sequence[Viewer], wanted: set[str]) -> list[str]:
    """Return what is wrong with what the viewers had."""
    complaints = []
    for number, viewer in enumerate(viewers):
        had = set(viewer.ids)
        for what, count in (
            ("lost", len(wanted - had)),
            ("twice", len(viewer.ids) - len(had)),
            ("never published", len(had - wanted)),
            ("gaps", viewer.gaps),
        ):
            if count:
                complaints.append(f"viewer {number}: {count} {what}")
        if viewer.ids != viewers[0].ids:
            complaints.append(f"viewer {number}: another order than viewer 0")
    return complaints


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m tests.chaos.upgrade",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--from", dest="revision", required=True, help="the revision that runs before")
    parser.add_argument("--order", default=",".join(KINDS), help=f"default: {','.join(KINDS)}")
    parser.add_argument("--back", action="store_true", help="go back afterwards, in the opposite order")
    given = parser.parse_args()
    order = given.order.split(",")
    if sorted(order) != sorted(KINDS):
        parser.error(f"--order has each of {', '.join(KINDS)} once")
    with tempfile.TemporaryDirectory() as directory:
        old = Path(directory) / "former"
        take_out(given.revision, old)
        print(f"From {given.revision} to this revision: {', '.join(order)}", flush=True)
        outcome = trio.run(lambda: upgrade(old, given.revision, order, back=given.back))
    print(f"{outcome.events} events and {outcome.likes} likes while it was upgraded.")
    for complaint in outcome.complaints:
        print(f"  {complaint}")
    print(
        "Something is wrong."
        if outcome.complaints
        else "None was lost, doubled or out of order, and no gap reported."
    )
    sys.exit(bool(outcome.complaints))


if __name__ == "__main__":
    main()
