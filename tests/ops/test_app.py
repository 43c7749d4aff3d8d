"""The ops pages."""

from __future__ import annotations

from typing import Any

import msgspec
from prometheus_client.openmetrics import parser as openmetrics
from prometheus_client.parser import text_string_to_metric_families
from trio.testing import MockClock

from liveserver.bus.interface import AppendRequest
from liveserver.edge.statistics import EdgeStatistics
from liveserver.errors import BusError
from liveserver.ops.app import ops_app
from liveserver.role import Check
from tests.frontend.harness import stage

EDGE = EdgeStatistics(
    connections=3,
    capacity=100,
    accepted=10,
    turned_away=0,
    reaped=0,
    paused=0,
    requests=9,
    refused={"404": 2},
    handed_over=1,
    expired=2,
    failures=0,
)
IDENTITY = {"node": "dc1-fe1", "roles": ["frontend"]}


async def get(path: str, checks: dict[str, Check] | None = None) -> Any:
    client = ops_app(IDENTITY, {"edge": lambda: EDGE}, lambda: checks or {}).test_client()
    return await client.get(path)


async def fine() -> None:
    pass


async def gone() -> None:
    raise BusError("the bus is gone")


async def test_healthz() -> None:
    response = await get("/healthz", {"bus": gone})
    assert (response.status_code, await response.get_data()) == (200, b'{"ok":true}')
    assert response.headers["content-type"] == "application/json"
    assert response.headers["cache-control"] == "no-store"


async def test_readyz() -> None:
    response = await get("/readyz", {"bus": fine})
    assert (response.status_code, await response.get_json()) == (
        200,
        {"ready": True, "checks": {"bus": {"ok": True}}},
    )
    response = await get("/readyz", {"bus": gone, "inbox": fine})
    assert (response.status_code, await response.get_json()) == (
        503,
        {
            "ready": False,
            "checks": {"bus": {"ok": False, "detail": "the bus is gone"}, "inbox": {"ok": True}},
        },
    )


async def test_checks_may_come_later() -> None:
    checks: dict[str, Check] = {}
    client = ops_app(IDENTITY, {}, lambda: checks).test_client()
    assert (await client.get("/readyz")).status_code == 200
    checks["bus"] = gone
    assert (await client.get("/readyz")).status_code == 503


async def test_metrics() -> None:
    response = await get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    families = {
        each.name: each for each in text_string_to_metric_families(await response.get_data(as_text=True))
    }
    assert families["liveserver_edge_connections"].samples[0].value == 3
    assert families["liveserver_edge_accepted"].samples[0].name == "liveserver_edge_accepted_total"


async def test_metrics_as_openmetrics_where_that_is_accepted() -> None:
    client = ops_app(IDENTITY, {"edge": lambda: EDGE}, dict).test_client()
    accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.2"  # Prometheus'
    response = await client.get("/metrics", headers={"accept": accept})
    assert response.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    text = await response.get_data(as_text=True)
    assert text.endswith("# EOF\n")
    parsed = openmetrics.text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
    families = {family.name: family for family in parsed}
    assert families["liveserver_edge_requests"].type == "counter"
    assert families["liveserver_edge_requests"].samples[0].name == "liveserver_edge_requests_total"
    for other in ("", "*/*", "text/plain"):
        response = await client.get("/metrics", headers={"accept": other})
        assert response.headers["content-type"].startswith("text/plain")


async def test_status() -> None:
    status = await (await get("/v1/status")).get_json()
    assert status.pop("uptime") >= 0
    assert status.pop("process")["descriptors"] > 0
    nothing = {"videos": [], "viewers": 0, "lag": 0, "peers": []}
    assert status == {**IDENTITY, **nothing, "edge": msgspec.structs.asdict(EDGE)}


async def test_status_takes_no_other_arguments() -> None:
    assert (await get("/v1/status?vido=x")).status_code == 400
    assert (await get("/v1/status?video=x&video=y")).status_code == 400


async def test_a_check_with_a_defect_is_not_ready_and_shows_nothing() -> None:
    async def broken() -> None:
        raise ValueError("secret")

    response = await get("/readyz", {"bus": broken})
    assert response.status_code == 500
    assert b"secret" not in await response.get_data()


async def test_other_paths_and_methods_are_problems() -> None:
    client = ops_app(IDENTITY, {}, dict).test_client()
    assert (await client.get("/nothing")).status_code == 404
    response = await client.post("/healthz")
    assert response.status_code == 405
    assert response.headers["content-type"] == "application/problem+json"
    assert "GET" in response.headers["allow"]


async def test_a_trace_needs_a_frontend_and_a_video() -> None:
    response = await get("/v1/videos/v/events/e1/trace")
    assert response.status_code == 404
    assert "use the ops port of a frontend" in (await response.get_json())["detail"]


async def test_status_and_trace_of_a_frontend(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client, _ = await on.ready()
        parcel = AppendRequest("v", "t", [b'like {"id":"a/b?","video":"v","type":"like","n":1}'], ["a/b?"])
        await on.bus.append([parcel])
        await client.events(1)
        ops = ops_app(IDENTITY, {"frontend": on.frontend.statistics}, dict, on.frontend).test_client()
        status = await (await ops.get("/v1/status")).get_json()
        assert [(video["video"], video["viewers"], video["offset"]) for video in status["videos"]] == [
            ("v", 1, 1)
        ]
        assert (status["more_videos"], status["more_viewers"]) == (0, 0)
        assert (status["viewers"], status["lag"]) == (1, 0)
        status = await (await ops.get("/v1/status?video=v")).get_json()
        assert [video["video"] for video in status["videos"]] == ["v"]
        assert (await ops.get("/v1/status?video=w")).status_code == 404
        assert (await ops.get("/v1/status?video=..")).status_code == 400
        story = await (await ops.get("/v1/videos/v/events/a%2Fb%3F/trace")).get_json()
        assert (story["id"], story["written"]["viewers"]) == ("a/b?", 1)
        for path, expected in (("v/events/nothing", 404), ("w/events/a", 404), ("-/events/a", 400)):
            assert (await ops.get(f"/v1/videos/{path}/trace")).status_code == expected
        assert (await ops.get("/v1/videos/v/events/a/trace?x=1")).status_code == 400
