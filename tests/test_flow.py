"""The main job, through real processes and a real Redis: one like, to every viewer's screen.

Two dispatchers, two frontends; publishers at both dispatchers, viewers over both transports at both
frontends. What each viewer got is held against what was accepted.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import httpx
import pytest
import trio

from liveserver.client import publish
from tests.processes import NodeProcess, running, small_cluster
from tests.watching import Transport, Viewer, publish_many

pytestmark = [pytest.mark.process, pytest.mark.redis]


class Cluster(NamedTuple):
    """A running small cluster."""

    dispatchers: list[NodeProcess]
    frontends: list[NodeProcess]


@pytest.fixture
async def cluster(redis_server: str) -> AsyncIterator[Cluster]:
    dispatchers, frontends = small_cluster(redis_server, "node.drain_timeout=500ms")
    async with running(*dispatchers, *frontends):
        yield Cluster(dispatchers, frontends)


async def test_viewers_get_each_event_once_and_in_the_same_order(cluster: Cluster) -> None:
    """10,000 events from two publishers at both dispatchers; other videos are not affected."""
    one, two = (node.url for node in cluster.frontends)
    transports: tuple[Transport, ...] = ("sse", "poll", "ws")
    viewers = [Viewer([url], "v1", how) for url in (one, two) for how in transports for _ in range(2)]
    stranger = Viewer([one], "v2", "sse")
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(stranger.run, 1)
            async with trio.open_nursery() as watching:
                for viewer in viewers:
                    watching.start_soon(viewer.run, 10_000)
                for viewer in (*viewers, stranger):
                    await viewer.is_ready.wait()
                for number, node in enumerate(cluster.dispatchers):
                    watching.start_soon(publish_many, [node.url], "v1", f"p{number}", 50, 100)
            nursery.cancel_scope.cancel()
    expected = viewers[0].ids
    assert len(set(expected)) == 10_000
    for viewer in viewers:
        assert viewer.ids == expected
        assert viewer.gaps == 0
    for number in (0, 1):
        mine = [name for name in expected if name.startswith(f"p{number}-")]
        assert mine == [f"p{number}-{batch}-{index}" for batch in range(50) for index in range(100)]
    assert stranger.ids == []


async def test_a_viewer_resumes_at_any_node_over_any_transport(cluster: Cluster) -> None:
    """With an SSE id, at the other frontend and over long-poll, exactly the rest comes."""
    one, two = (node.url for node in cluster.frontends)
    first = Viewer([one], "v", "sse")
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(first.run, 300)
            await first.is_ready.wait()
            await publish_many([cluster.dispatchers[0].url], "v", "p", 3, 100)
        for url in (one, two):
            for how in ("sse", "poll", "ws"):
                rest = Viewer([url], "v", how, cursor=first.cursors[123])
                await rest.run(300 - 124)
                assert rest.ids == first.ids[124:]
                assert rest.gaps == 0


async def test_a_dispatcher_killed_under_load_loses_nothing(cluster: Cluster) -> None:
    """Publishing and subscribing go on at the other one; viewers see no hole and nothing twice."""
    killed, left = cluster.dispatchers
    viewers = [Viewer([node.url], "v", "sse") for node in cluster.frontends]
    late = Viewer([cluster.frontends[0].url], "new", "sse")
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            for viewer in viewers:
                nursery.start_soon(viewer.run, 6_000)
            for viewer in viewers:
                await viewer.is_ready.wait()
            both = [killed.url, left.url]
            nursery.start_soon(publish_many, both, "v", "a", 60, 50)
            nursery.start_soon(publish_many, both[::-1], "v", "b", 60, 50)
            await viewers[0].wait_events(300)
            await killed.kill()
            # A video without a viewer so far: its frontend has to find the other dispatcher.
            nursery.start_soon(late.run, 1)
            await late.is_ready.wait()
            await publish([left.url], "new", [{"type": "like"}])
    expected = {f"{who}-{batch}-{index}" for who in "ab" for batch in range(60) for index in range(50)}
    for viewer in viewers:
        assert viewer.ids == viewers[0].ids
        assert set(viewer.ids) == expected
        assert viewer.gaps == 0


async def test_a_frontend_killed_under_load_loses_nothing(cluster: Cluster) -> None:
    """Its viewers come back at the other one, with their cursors."""
    killed, left = cluster.frontends
    viewers = [
        Viewer([killed.url, left.url], "v", "sse"),
        Viewer([killed.url, left.url], "v", "poll"),
        Viewer([left.url], "v", "sse"),
    ]
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            for viewer in viewers:
                nursery.start_soon(viewer.run, 3_000)
            for viewer in viewers:
                await viewer.is_ready.wait()
            nursery.start_soon(publish_many, [node.url for node in cluster.dispatchers], "v", "a", 60, 50)
            await viewers[0].wait_events(300)
            await killed.kill()
    for viewer in viewers:
        assert viewer.ids == viewers[-1].ids
        assert len(set(viewer.ids)) == 3_000
        assert viewer.gaps == 0


async def test_a_node_that_does_not_listen_is_pruned(cluster: Cluster, redis_server: str) -> None:
    import redis

    killed, left = cluster.frontends
    viewer = Viewer([left.url], "v", "sse")
    with trio.fail_after(90), redis.Redis.from_url(redis_server, decode_responses=True) as client:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(viewer.run, 2)
            ghost = Viewer([killed.url], "v", "sse")
            async with trio.open_nursery() as haunted:
                haunted.start_soon(ghost.run, 1)
                await viewer.is_ready.wait()
                await ghost.is_ready.wait()
                haunted.cancel_scope.cancel()
            assert set(client.zrange("ls:{v}:nodes", 0, -1)) == {"dc1-fe1", "dc1-fe2"}
            await killed.kill()
            await publish([cluster.dispatchers[0].url], "v", [{"type": "like"}])
            assert client.zrange("ls:{v}:nodes", 0, -1) == ["dc1-fe2"]
            await publish([cluster.dispatchers[0].url], "v", [{"type": "like"}])


async def test_viewers_get_the_count_of_all_frontends(redis_server: str) -> None:
    """Those of a frontend that is killed are counted no more when its lease is over."""
    dispatchers, frontends = small_cluster(redis_server, "frontend.lease=2s")
    async with running(*dispatchers, *frontends):
        killed, left = frontends
        here, there = (Viewer([node.url], "v", "sse") for node in (left, killed))
        with trio.fail_after(90):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(here.run, 1)
                async with trio.open_nursery() as elsewhere:
                    for viewer in (there, Viewer([killed.url], "v", "sse")):
                        elsewhere.start_soon(viewer.run, 1)
                    await here.wait_total(3)
                    await there.wait_total(3)
                    async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
                        answer = (await client.get(f"{left.url}/v1/videos/v/viewers")).json()
                        assert answer == {"video": "v", "here": 1, "datacenter": 3, "total": 3}
                    here.totals.clear()
                    await killed.kill()
                    elsewhere.cancel_scope.cancel()
                await here.wait_total(1)
                nursery.cancel_scope.cancel()


async def test_viewers_of_a_drained_frontend_go_on_elsewhere(cluster: Cluster) -> None:
    drained, left = cluster.frontends
    viewers = [Viewer([drained.url, left.url], "v", how) for how in ("sse", "poll")]
    with trio.fail_after(90):
        async with trio.open_nursery() as nursery:
            for viewer in viewers:
                nursery.start_soon(viewer.run, 2_000)
            for viewer in viewers:
                await viewer.is_ready.wait()
            nursery.start_soon(publish_many, [cluster.dispatchers[0].url], "v", "a", 40, 50)
            await viewers[0].wait_events(300)
            assert await drained.terminate() == 0
    for viewer in viewers:
        assert viewer.ids == viewers[0].ids
        assert len(set(viewer.ids)) == 2_000
        assert viewer.gaps == 0
