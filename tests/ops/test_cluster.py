"""The nodes of a cluster: who they are, and what is asked of all of them."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
from trio.testing import MockClock

from liveserver.bus.interface import OPS_GROUP, OPS_LEASE
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import HistorySettings
from liveserver.config.sections import OpsSettings
from liveserver.errors import BusError, Unavailable
from liveserver.ops.cluster import Cluster, Member, reachable

STATUS = {
    "node": "dc1-fe1",
    "uptime": 5.0,
    "version": "1",
    "process": {"memory": 1, "cpu": 2.0},
    "frontend": {"viewers": 3, "fanout": {"deliveries": 9, "secret": 1}, "other": 2},
    "auth": {},
}
TRACE = {"node": "dc1-fe1", "written": {"viewers": 1}}


class Nodes:
    """Ops ports: what each answers, by host and path."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Any] = {}
        self.asked: list[httpx.Request] = []

    async def __call__(self, request: httpx.Request) -> httpx.Response:
        self.asked.append(request)
        answer = self.answers.get((request.url.host, request.url.path))
        if answer == "hangs":
            await trio.sleep_forever()
        if answer is None:
            raise httpx.ConnectError("refused")
        status, body = answer
        return httpx.Response(status, json=body)


def bus() -> MemoryBus:
    return MemoryBus("dc1", HistorySettings(), 100)


def cluster(bus: Any, nodes: Nodes, name: str = "dc1-fe1", **settings: Any) -> Cluster:
    return Cluster(name, "dc1", ["frontend"], bus, OpsSettings(**settings), httpx.MockTransport(nodes))


async def test_nodes_find_each_other_until_they_leave(autojump_clock: MockClock) -> None:
    shared = bus()
    one, two = cluster(shared, Nodes()), cluster(shared, Nodes(), "dc1-fe2", advertise="fe2.example:9000")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(one.run, "127.0.0.1:9001")
        async with trio.open_nursery() as inner:
            inner.start_soon(two.run, "127.0.0.1:9002")
            await trio.sleep(4 * OPS_LEASE)
            assert [(each.name, each.ops) for each in await one.members()] == [
                ("dc1-fe1", "127.0.0.1:9001"),
                ("dc1-fe2", "fe2.example:9000"),
            ]
            inner.cancel_scope.cancel()
        assert [each.name for each in await one.members()] == ["dc1-fe1"]
        await shared.join_group(OPS_GROUP, "not a member", 9)
        await shared.join_group(OPS_GROUP, "dc1 x frontend evil/../host:1", 9)
        assert [each.name for each in await one.members()] == ["dc1-fe1"]
        nursery.cancel_scope.cancel()


async def test_nodes_are_shown_with_their_numbers_or_their_trouble(autojump_clock: MockClock) -> None:
    shared, nodes = bus(), Nodes()
    for name in ("a", "b", "c", "d"):
        await shared.join_group(OPS_GROUP, str(Member("dc1", name, "frontend", f"{name}.test:9000")), 999)
    nodes.answers = {
        ("a.test", "/v1/status"): (200, STATUS),
        ("a.test", "/readyz"): (503, {"ready": False, "checks": {"bus": {"ok": False}, "x": {"ok": True}}}),
        ("b.test", "/v1/status"): "hangs",
        ("b.test", "/readyz"): (200, {"ready": True, "checks": {}}),
        ("c.test", "/v1/status"): (401, {}),
        ("me.test", "/v1/status"): (200, ["not", "a", "status"]),
    }
    mine = cluster(shared, nodes, "me", advertise="me.test:9000")
    async with trio.open_nursery() as nursery:
        nursery.start_soon(mine.run, "127.0.0.1:9001")
        await trio.testing.wait_all_tasks_blocked()
        found = (await mine.nodes({"authorization": "Bearer k"}))["nodes"]
        nursery.cancel_scope.cancel()
    assert found[0] == {
        "node": "a",
        "datacenter": "dc1",
        "roles": ["frontend"],
        "ops": "a.test:9000",
        "uptime": 5.0,
        "version": "1",
        "process": {"memory": 1, "cpu": 2.0},
        "frontend": {"viewers": 3, "fanout": {"deliveries": 9}},
        "ready": False,
        "failing": ["bus"],
    }
    assert [each.get("trouble") for each in found[1:]] == [
        "no answer within 2 s",
        "has another auth.ops_key",
        "does not answer",
        "answers 200; is it a node of this version?",
    ]
    assert found[1]["ready"] is True
    sent = {request.url.path: request.headers.get("authorization") for request in nodes.asked}
    assert sent == {"/v1/status": "Bearer k", "/readyz": None}


async def test_no_more_nodes_are_asked_than_allowed() -> None:
    shared, nodes = bus(), Nodes()
    for number in range(9):
        await shared.join_group(OPS_GROUP, str(Member("dc1", f"n{number}", "frontend", "h.test:1")), 999)
    found = await cluster(shared, nodes, max_nodes=4).nodes({})
    assert (len(found["nodes"]), found["more_nodes"]) == (4, 6)
    assert len(nodes.asked) == 2 * 4


async def test_an_event_is_traced_at_all_frontends() -> None:
    shared, nodes = bus(), Nodes()
    for name, roles in (("fe1", "frontend"), ("fe2", "frontend"), ("di1", "dispatcher"), ("fe3", "frontend")):
        await shared.join_group(OPS_GROUP, str(Member("dc2", name, roles, f"{name}.test:9")), 999)
    path = "/v1/videos/v/events/a/b?c/trace"
    nodes.answers = {("fe1.test", path): (200, TRACE), ("fe2.test", path): (404, {"detail": "no"})}
    found = await cluster(shared, nodes, "dc1-di9").trace("v", "a/b?c", {})
    assert found["traces"] == [{"datacenter": "dc2", **TRACE}]
    assert [each["node"] for each in found["missing"]] == ["dc1-di9", "fe3"]


async def test_moderators_acts_of_all_backends_are_merged() -> None:
    shared, nodes = bus(), Nodes()
    for name in ("be1", "be2"):
        await shared.join_group(OPS_GROUP, str(Member("dc1", name, "backend", f"{name}.test:9")), 999)
    acts = [{"id": f"a{at}", "at": at} for at in range(5)]
    nodes.answers = {
        ("be1.test", "/v1/acts"): (200, {"acts": acts[3::-1]}),
        ("be2.test", "/v1/acts"): (200, {"acts": [acts[4], acts[2]]}),
    }
    found = await cluster(shared, nodes).acts({})
    assert found == {"acts": acts[::-1], "backends": 2, "missing": []}


async def test_without_the_bus_the_nodes_are_not_known() -> None:
    class Gone(MemoryBus):
        async def join_group(self, group: str, node: str, lease: float) -> list[str]:
            raise BusError("gone")

    with pytest.raises(Unavailable):
        await cluster(Gone("dc1", HistorySettings(), 100), Nodes()).members()
    assert [each.name for each in await cluster(None, Nodes()).members()] == ["dc1-fe1"]


def test_an_address_that_others_reach() -> None:
    assert reachable("127.0.0.1:9000") == "127.0.0.1:9000"
    assert reachable("[::1]:9000") == "[::1]:9000"
    for wildcard in ("0.0.0.0:9000", "[::]:9000"):
        host, _, port = reachable(wildcard).rpartition(":")
        assert (port, host) == ("9000", reachable("0.0.0.0:1").rpartition(":")[0])
        assert Member.parse(f"dc1 n frontend {reachable(wildcard)}") is not None
