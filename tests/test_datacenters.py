"""Several datacenters, through real processes and a real Redis each: one audience."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import pytest
import trio

from liveserver.client import publish
from liveserver.cluster.redis_server import run_redis_server
from tests.processes import NodeProcess, running
from tests.watching import Viewer, publish_many

pytestmark = [pytest.mark.process, pytest.mark.redis]


class Datacenter(NamedTuple):
    """One of them, running."""

    dispatchers: list[NodeProcess]
    frontend: NodeProcess


@pytest.fixture
async def datacenters() -> AsyncIterator[dict[str, Datacenter]]:
    """dc1 with two dispatchers, dc2 with one."""
    names = {"dc1": 2, "dc2": 1}
    async with AsyncExitStack() as stack:
        redis = {name: (await stack.enter_async_context(run_redis_server())).url for name in names}
        made = {}
        for name, count in names.items():
            own = (f"node.datacenter={name}", "node.drain_timeout=200ms")
            peers = [f"peers.{other}.url={url}" for other, url in redis.items() if other != name]
            dispatchers = [
                NodeProcess(f"{name}-di{n}", "dispatcher", redis[name], *own, *peers, "relay.lease=1s")
                for n in range(1, count + 1)
            ]
            urls = ",".join(f'"{node.url}"' for node in dispatchers)
            frontend = NodeProcess(
                f"{name}-fe1", "frontend", redis[name], *own, f"frontend.dispatchers=[{urls}]"
            )
            made[name] = Datacenter(dispatchers, frontend)
        nodes = [node for each in made.values() for node in (*each.dispatchers, each.frontend)]
        await stack.enter_async_context(running(*nodes))
        yield made


def of(viewer: Viewer, publisher: str) -> list[str]:
    return [name for name in viewer.ids if name.startswith(f"{publisher}-")]


async def test_viewers_in_every_datacenter_get_each_event_once(datacenters: dict[str, Datacenter]) -> None:
    """Published in both at once; the relaying dispatcher of each video is killed, wherever that is."""
    one, two = datacenters["dc1"], datacenters["dc2"]
    viewers = [
        Viewer([each.frontend.url], video, how)
        for each in (one, two)
        for video in ("v1", "v2")
        for how in ("sse", "poll")
    ]
    mover = Viewer([one.frontend.url], "v1", "sse")
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            for viewer in viewers:
                nursery.start_soon(viewer.run, 4_000)
            nursery.start_soon(mover.run, 1_000)
            for viewer in (*viewers, mover):
                await viewer.is_ready.wait()
            for video in ("v1", "v2"):
                nursery.start_soon(publish_many, [one.dispatchers[0].url], video, "a", 40, 50)
                nursery.start_soon(publish_many, [two.dispatchers[0].url], video, "b", 40, 50)
            await viewers[0].wait_events(500)
            await one.dispatchers[1].kill()
        # From dc1 to dc2 with what was seen so far: exactly the rest.
        rest = Viewer([two.frontend.url], "v1", "sse", cursor=mover.cursors[-1])
        await rest.run(4_000 - len(mover.ids))
    expected = [f"{batch}-{index}" for batch in range(40) for index in range(50)]
    for viewer in viewers:
        for publisher in "ab":
            assert of(viewer, publisher) == [f"{publisher}-{name}" for name in expected]
        assert viewer.gaps == 0
    assert rest.gaps == 0
    for publisher in "ab":
        assert of(mover, publisher) + of(rest, publisher) == [f"{publisher}-{name}" for name in expected]


async def test_viewers_are_counted_everywhere_and_the_relay_reports_its_lag(
    datacenters: dict[str, Datacenter],
) -> None:
    import httpx

    one, two = datacenters["dc1"], datacenters["dc2"]
    viewers = [Viewer([each.frontend.url], "v", "sse") for each in (one, two, two)]
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            for viewer in viewers:
                nursery.start_soon(viewer.run, 1)
            for viewer in viewers:
                await viewer.wait_total(3)
            await publish([one.dispatchers[0].url], "v", [{"type": "like"}])
        async with httpx.AsyncClient(trust_env=False, timeout=60) as http:
            status = (await http.get(f"{two.dispatchers[0].ops_url}/v1/status")).json()
            metrics = (await http.get(f"{two.dispatchers[0].ops_url}/metrics")).text
    (peer,) = status["relay"]["peers"]
    assert (peer["peer"], peer["is_reached"], peer["relayed"], peer["sharing"]) == ("dc1", True, 1, 1)
    assert 'liveserver_relay_peer_lag_seconds{peer="dc1"} 0.0' in metrics
