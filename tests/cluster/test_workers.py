"""Several processes share a port: each is a node, and together they are one command that ends whole."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
import trio

from liveserver.client import publish
from liveserver.cluster import ports, workers
from liveserver.cluster.redis_server import free_port, reserve_port
from liveserver.cluster.topology import load
from liveserver.config import Address, Settings
from liveserver.config import load as load_settings
from liveserver.errors import ConfigError
from tests.cluster.harness import CLUSTER, Log, read_lines, write
from tests.conftest import Until
from tests.watching import Viewer

pytestmark = [pytest.mark.process, pytest.mark.redis]

REDIS = ("bus.kind=redis", "node.workers=2", "node.name=a")
ROLES = 'node.roles=["frontend","dispatcher"]'


def settings(*more: str) -> Settings:
    return load_settings(None, [*REDIS, *more], {})


def two_free_ports() -> int:
    """Return the first of two adjacent free ports."""
    while True:
        port = free_port()
        with suppress(OSError):
            reserve_port(port + 1)
            return port


def descendants(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children = [int(child) for child in (task / "children").read_text().split()]
        found += [*children, *(each for child in children for each in descendants(child))]
    return found


def comm(pid: int) -> str:
    return Path(f"/proc/{pid}/comm").read_text().strip()


class Running:
    """`liveserver run --workers 2` as a process of its own, and what it writes."""

    def __init__(self, process: trio.Process, log: Log, port: int, ops: int) -> None:
        self.process, self.log, self.port, self.ops = process, log, port, ops

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def wait_ready(self, client: httpx.AsyncClient, worker: int, until: Until) -> None:
        async def ready() -> bool:
            try:
                answer = await client.get(f"http://127.0.0.1:{self.ops + worker - 1}/readyz")
            except httpx.HTTPError:
                return False
            return answer.status_code == 200

        await until(ready)

    def workers_pid(self, name: str) -> int:
        [found] = [pid for pid in descendants(self.process.pid) if comm(pid) == name]
        return found


@asynccontextmanager
async def running(redis_url: str, *more: str) -> AsyncIterator[Running]:
    """Two workers of both roles; killed with the block if they have not ended."""
    port, ops = free_port(), two_free_ports()
    overrides = [*REDIS, ROLES, f"bus.url={redis_url}", f"listen.public=127.0.0.1:{port}"]
    overrides += ["node.drain_timeout=200ms"]
    overrides += [f"listen.ops=127.0.0.1:{ops}", *more]
    command = [sys.executable, "-m", "liveserver", "run"]
    process = await trio.lowlevel.open_process(
        [*command, *(word for each in overrides for word in ("--set", each))],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert process.stdout is not None
    log = Log()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(read_lines, process.stdout, log)
        try:
            with trio.fail_after(120):
                yield Running(process, log, port, ops)
        finally:
            with trio.CancelScope(shield=True):
                process.kill()
                await process.wait()
            nursery.cancel_scope.cancel()


async def test_both_workers_get_viewers_and_one_that_dies_comes_back(redis_server: str, until: Until) -> None:
    async with running(redis_server) as node, httpx.AsyncClient(trust_env=False, timeout=60) as client:
        for worker in (1, 2):
            await node.wait_ready(client, worker, until)
        viewers = [Viewer([node.url], "v", "sse") for _ in range(40)]  # all at one of them: 1 in 2**39
        async with trio.open_nursery() as nursery:
            for viewer in viewers:
                nursery.start_soon(viewer.run, 2)
            for viewer in viewers:
                await viewer.is_ready.wait()
            assert {viewer.readies[0].node for viewer in viewers} == {"a-w1", "a-w2"}
            await publish([node.url], "v", [{"type": "like", "id": "one"}])
            for viewer in viewers:
                await viewer.wait_events(1)
            os.kill(node.workers_pid("a-w2"), signal.SIGKILL)
            await node.log.wait_for(r"workers │ a-w2 was ended by SIGKILL; starting it again in 0\.[45] s")
            await node.wait_ready(client, 2, until)
            await publish([node.url], "v", [{"type": "like", "id": "two"}])
        for viewer in viewers:
            assert (viewer.ids, viewer.gaps) == (["one", "two"], 0)
        node.process.send_signal(signal.SIGTERM)
        assert await node.process.wait() == 0
        await node.log.wait_for("workers │ all ended")
        assert not any("killed" in line for line in node.log.lines)
        for port in (node.port, node.ops, node.ops + 1):
            assert not ports.is_busy(Address(f"127.0.0.1:{port}"))


async def test_each_says_what_it_can_hold_behind_its_name(redis_server: str) -> None:
    async with running(redis_server, "edge.max_connections=100") as node:
        for name in ("a-w1", "a-w2"):
            await node.log.wait_for(rf"^{name} +│ .*capacity.*connections=100")
        await node.log.wait_for(rf"2 workers share 127.0.0.1:{node.port}; ops at 127.0.0.1:{node.ops}, ")


async def test_a_second_signal_kills_a_worker_that_hangs(redis_server: str, until: Until) -> None:
    async with (
        running(redis_server, "node.drain_timeout=60s") as node,
        httpx.AsyncClient(trust_env=False, timeout=60) as client,
    ):
        await node.wait_ready(client, 1, until)
        os.kill(node.workers_pid("a-w1"), signal.SIGSTOP)
        node.process.send_signal(signal.SIGINT)
        await node.log.wait_for("draining; another signal kills what is left")
        node.process.send_signal(signal.SIGINT)
        assert await node.process.wait() == 0


async def test_workers_that_cannot_run_are_given_up_with_the_reason(redis_server: str) -> None:
    long = "a" * 63
    async with running(redis_server, f"node.name={long}") as node:
        assert await node.process.wait() == 2
        await node.log.wait_for("is not 1 to 64 of A-Z a-z 0-9")
        await node.log.wait_for("cannot run with these settings")


async def test_a_port_in_use_is_reported_before_anything_starts() -> None:
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    async with listener:
        taken = listener.socket.getsockname()[1]
        for setting in ("public", "ops"):
            with pytest.raises(ConfigError, match=rf"listen.{setting}: 127.0.0.1:{taken} is already in use"):
                await workers.run(settings(f"listen.{setting}=127.0.0.1:{taken}"), [], {})


def test_a_worker_is_a_node_with_a_name_and_an_ops_port_of_its_own() -> None:
    public = Address("127.0.0.1:8000")
    one, two = workers.plan(settings("listen.ops=127.0.0.1:9000"), public)
    assert (one.name, one.ops, two.name, two.ops) == ("a-w1", "127.0.0.1:9000", "a-w2", "127.0.0.1:9001")
    assert 'node.name="a-w2"' in two.options
    assert {worker.ops for worker in workers.plan(settings("listen.ops=[::1]:0"), public)} == {"[::1]:0"}
    unnamed = workers.plan(load_settings(None, REDIS[:2], {}), public)
    assert [re.sub("[0-9a-f]{6}", "…", worker.name) for worker in unnamed] == [
        f"dc1-frontend-dispatcher-backend-…-w{number}" for number in (1, 2)
    ]
    assert unnamed[0].name[:-3] == unnamed[1].name[:-3]


def test_there_are_not_more_workers_than_ports() -> None:
    with pytest.raises(ConfigError, match="more than there are ports from listen"):
        settings("listen.ops=127.0.0.1:65535")


def test_a_port_of_any_number_is_the_same_for_all_workers() -> None:
    with workers.held("listen.public", Address("127.0.0.1:0")) as public:
        assert public.port
        assert ports.is_busy(public)
        with workers.held("listen.tls", public) as shared:
            assert shared == public


def test_a_cluster_whose_workers_get_in_each_others_way_is_refused(tmp_path: Path) -> None:
    text = CLUSTER.replace("[settings.node]", "[settings.node]\nworkers = 2")
    frontend, _ = load(write(tmp_path, text.format(1, 2, 13, 4, 15))).nodes
    assert frontend.all_ops == ("127.0.0.1:13", "127.0.0.1:14")
    with pytest.raises(ConfigError, match="worker 2 of dc1-fe1 has the ops port 4, which is dc1-di1's"):
        load(write(tmp_path, text.format(1, 2, 3, 4, 15)))
