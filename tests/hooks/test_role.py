"""A node with all roles: from a comment over HTTP to a signed request."""

from __future__ import annotations

import httpx
import trio
from prometheus_client.parser import text_string_to_metric_families

from liveserver import config, node
from tests.conftest import Until
from tests.hooks.receiver import SECRET, ReceiverOfHooks


async def test_a_comment_and_a_ban_reach_the_receiver_and_are_counted(until: Until) -> None:
    receiver = ReceiverOfHooks()
    async with trio.open_nursery() as nursery:
        await receiver.start(nursery)
        settings = config.load(
            None,
            [
                'node.roles=["frontend","dispatcher","backend","hooks"]',
                "listen.public=127.0.0.1:0",
                "listen.ops=127.0.0.1:0",
                "backend.database=:memory:",
                "hooks.interval=20ms",
                f"hooks.endpoints.site.url={receiver.url}",
                f"hooks.endpoints.site.secret={SECRET}",
            ],
            {},
        )
        running = await nursery.start(node.serve, settings)
        async with httpx.AsyncClient(trust_env=False, timeout=60) as client:
            video = f"http://{running.addresses.public}/v1/videos/v"
            made = await client.post(f"{video}/comments", json={"user": "ada", "text": "hello"})
            assert made.status_code == 201
            assert (await client.put(f"{video}/bans/ada", json={"reason": "spam"})).status_code == 204

            async def has_come() -> bool:
                return len(receiver.received) >= 2

            await until(has_come)
            kinds = [each["type"] for each in receiver.received]
            assert kinds == ["comment.created", "moderation.ban"]
            comment, ban = (each["data"] for each in receiver.received)
            assert (comment["id"], comment["data"]) == (made.json()["id"], {"text": "hello"})
            assert ban["data"]["user"] == "ada"
            ops = f"http://{running.addresses.ops}"

            async def is_counted() -> bool:
                text = (await client.get(f"{ops}/metrics")).text
                samples = [each for family in text_string_to_metric_families(text) for each in family.samples]
                found = {each.name: each for each in samples if each.name.startswith("liveserver_hooks")}
                delivered = found["liveserver_hooks_endpoint_delivered_total"]
                assert delivered.labels == {"endpoint": "site"}
                assert found["liveserver_hooks_leads"].value == 1
                return delivered.value == 2

            await until(is_counted)
            assert "hooks" in (await client.get(f"{ops}/readyz")).json()["checks"]
        nursery.cancel_scope.cancel()
