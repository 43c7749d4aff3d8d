"""A whole cluster restarted, node by node, while it is used: nothing is lost, nothing comes twice."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import trio

from liveserver.client import publish
from liveserver.cluster import pidfile, probe, rolling
from liveserver.cluster.child import Child
from liveserver.cluster.redis_server import free_port
from liveserver.cluster.topology import NodeSpec
from liveserver.config import Address
from liveserver.errors import LiveserverError
from tests.cluster.harness import Log, read_lines, write
from tests.watching import Transport, Viewer

pytestmark = [pytest.mark.process, pytest.mark.redis]

TWO_OF_EACH = """
stop_after = "5s"

[settings.node]
drain_timeout = "500ms"

[[datacenters]]
name = "dc1"
redis = {}
nodes = [
    {{ name = "dc1-di1", role = "dispatcher", public = {}, ops = {} }},
    {{ name = "dc1-fe1", role = "frontend", public = {}, ops = {} }},
    {{ name = "dc1-di2", role = "dispatcher", public = {}, ops = {} }},
    {{ name = "dc1-fe2", role = "frontend", public = {}, ops = {} }},
]
"""
ORDER = ("dc1-fe1", "dc1-fe2", "dc1-di1", "dc1-di2")
AFTERWARDS = 10  # events once the roll is over


async def test_viewers_get_each_event_once_while_every_node_is_restarted(tmp_path: Path) -> None:
    chosen = [free_port() for _ in range(9)]
    dispatchers, frontends = ([f"http://127.0.0.1:{chosen[n]}" for n in ns] for ns in ((1, 5), (3, 7)))
    path = write(tmp_path, TWO_OF_EACH.format(*chosen))
    command = [sys.executable, "-m", "liveserver", "cluster", "--config", str(path)]
    process = await trio.lowlevel.open_process(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    assert process.stdout is not None
    log = Log()
    transports: tuple[Transport, ...] = ("sse", "poll")
    viewers = [Viewer(urls, "v", how) for urls in (frontends, frontends[::-1]) for how in transports]
    accepted: list[str] = []
    with trio.fail_after(280):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(read_lines, process.stdout, log)
            try:
                await log.wait_for("Ctrl-C ends everything")
                async with trio.open_nursery() as watching:
                    for viewer in viewers:
                        watching.start_soon(viewer.run, sys.maxsize)
                    for viewer in viewers:
                        await viewer.is_ready.wait()
                    async with trio.open_nursery() as publishing:
                        publishing.start_soon(publish_on, dispatchers, "a", accepted)
                        publishing.start_soon(publish_on, dispatchers[::-1], "b", accepted)
                        await trio.run_process([*command, "--restart-rolling"])
                        await log.wait_for("rolling restart done: 4 nodes", seconds=240)
                        publishing.cancel_scope.cancel()
                    # What was under way then may have arrived or not; these have.
                    last = [f"last-{number}" for number in range(AFTERWARDS)]
                    await publish(dispatchers, "v", [{"type": "like", "id": each} for each in last])
                    for viewer in viewers:
                        while viewer.ids[-1] != last[-1]:
                            await viewer.wait_events(len(viewer.ids) + 1)
                    watching.cancel_scope.cancel()
                process.send_signal(signal.SIGTERM)
                assert await process.wait() == 0
            finally:
                with trio.CancelScope(shield=True):
                    process.kill()
                    await process.wait()
                nursery.cancel_scope.cancel()
                print(*log.lines, sep="\n")  # shown when the test fails
    asked = [match[1] for line in log.lines if (match := re.search(r"of 4: ending (\S+)", line))]
    assert tuple(asked) == ORDER
    for name in ORDER:
        assert sum(f"{name} is now process" in line for line in log.lines) == 1
    assert not any("killed" in line or "starting it again" in line for line in log.lines)
    for viewer in viewers:
        assert viewer.ids == viewers[0].ids
        assert viewer.gaps == 0
    got = viewers[0].ids
    assert len(set(got)) == len(got)
    assert set(got) >= {*accepted, *last}
    assert len(accepted) > 200
    assert len(viewers[0].readies) > 1  # it was indeed moved


async def publish_on(urls: list[str], prefix: str, accepted: list[str]) -> None:
    """Batches of 10 until cancelled; `accepted` are those that were answered."""
    number = 0
    while True:
        ids = [f"{prefix}-{number + index}" for index in range(10)]
        await publish(urls, "v", [{"type": "like", "id": each} for each in ids])
        accepted += ids
        number += 10


class FakeChild(Child):
    """Restarts at once; what became of it is what `ready` says."""

    def __init__(self, name: str) -> None:
        super().__init__(name, [], stdin=0, stop_after=1, output=print, say=print)
        self.restarts = 0

    async def restart(self) -> None:
        self.restarts += 1


def plan(name: str, role: str, port: int) -> NodeSpec:
    ops = Address(f"127.0.0.1:{port}")
    return NodeSpec(name, role, "dc1", Address("127.0.0.1:1"), ops, (), (ops,))


NODES = [plan("di1", "dispatcher", 2), plan("fe1", "frontend", 3), plan("fe2", "frontend", 4)]


async def test_a_node_that_does_not_come_back_stops_the_roll(
    monkeypatch: pytest.MonkeyPatch, autojump_clock: trio.testing.MockClock
) -> None:
    children = {node.name: FakeChild(node.name) for node in NODES}
    log = Log()

    async def answer(_: object, ops: Address) -> str | None:
        return "503 no" if ops.port == 3 and children["fe1"].restarts else None

    monkeypatch.setattr(probe, "_ask", answer)
    assert not await rolling.roll(NODES, children, log)
    assert log.lines == [
        "rolling restart, 1 of 3: ending fe1",
        "waiting for fe1; http://127.0.0.1:3/readyz says: 503 no",
        "rolling restart stopped: fe1 is not ready 30 s after its start, see its output above; "
        "not restarted yet: fe2, di1",
    ]
    assert [child.restarts for child in children.values()] == [0, 1, 0]


async def test_nothing_is_taken_away_while_another_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    children = {node.name: FakeChild(node.name) for node in NODES}
    log = Log()

    async def answer(_: object, ops: Address) -> str | None:
        return "503 no" if ops.port == 4 else None

    monkeypatch.setattr(probe, "_ask", answer)
    assert not await rolling.roll(NODES, children, log)
    assert log.lines == [
        "rolling restart stopped before fe1: fe2 is not ready; http://127.0.0.1:4/readyz says: 503 no"
    ]
    assert not any(child.restarts for child in children.values())


def test_a_cluster_is_found_while_it_runs_and_not_longer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    source = tmp_path / "cluster.toml"
    assert pidfile.holder(source) is None
    script = (
        "import sys, pathlib; from liveserver.cluster import pidfile\n"
        "with pidfile.hold_pidfile(pathlib.Path(sys.argv[1])): print(1, flush=True); sys.stdin.read()"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", script, str(source)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={"TMPDIR": str(tmp_path), "PYTHONPATH": str(Path(__file__).parents[2])},
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"1\n"
        assert pidfile.holder(source) == holder.pid
        assert pidfile.holder(tmp_path / "other.toml") is None
        with pidfile.hold_pidfile(source):  # the second one leaves it to the first
            assert pidfile.holder(source) == holder.pid
        assert pidfile.holder(source) == holder.pid
        holder.kill()
    assert pidfile.pidfile_path(source).exists()  # left over, and ignored
    with pytest.raises(LiveserverError, match=r"no cluster of .* runs here"):
        pidfile.request_rolling_restart(source)
