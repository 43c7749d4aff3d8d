"""The routes for the whole cluster at a node that has none, and one node's acts."""

from __future__ import annotations

import msgspec

from liveserver.ops.app import ops_app


async def test_without_a_cluster_the_routes_say_so() -> None:
    client = ops_app({}, {}, dict).test_client()
    for path in ("/v1/cluster", "/v1/cluster/acts", "/v1/cluster/videos/v/events/e/trace"):
        answer = await client.get(path)
        assert answer.status_code == 409, path
        assert (await client.get(f"{path}?x=1")).status_code == 400
    assert (await client.get("/v1/acts")).status_code == 404


async def test_the_acts_of_this_node() -> None:
    async def acts(limit: int) -> list[msgspec.Raw]:
        return [msgspec.Raw(b'{"id":"a"}')] * min(limit, 2)

    answer = await ops_app({}, {}, dict, acts=lambda: acts).test_client().get("/v1/acts")
    assert await answer.get_json() == {"acts": [{"id": "a"}, {"id": "a"}]}


async def test_all_is_behind_the_operators_key() -> None:
    from liveserver.errors import Unauthorized

    def guard(headers: object) -> None:
        raise Unauthorized("no")

    client = ops_app({}, {}, dict, guard=guard).test_client()
    for path in ("/v1/cluster", "/v1/cluster/acts", "/v1/acts"):
        assert (await client.get(path)).status_code == 401
    assert (await client.post("/v1/videos/v/events", json={})).status_code == 401
