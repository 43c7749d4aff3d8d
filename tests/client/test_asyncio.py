"""The client under asyncio, against a real server: every transport, publishing; and without an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import suppress

import pytest

from liveserver.client import (
    Event,
    Item,
    Publisher,
    Ready,
    Refused,
    Transport,
    comment,
    like,
    publish,
    retract,
    summary,
    watch,
)
from liveserver.testing import Server, running_server

SECONDS = 60.0  # far beyond what it takes


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with running_server("likes.each_up_to=1000") as running:
        yield running


@pytest.mark.parametrize("transport", ["sse", "poll", "ws", "auto"])
def test_events_are_watched_in_order(server: Server, transport: Transport) -> None:
    video = f"order-{transport}"

    async def main() -> list[Item]:
        items: list[Item] = []
        async with asyncio.timeout(SECONDS), watch(server.url, video, transport=transport) as watcher:
            async for item in watcher:
                items.append(item)
                if isinstance(item, Ready):
                    await publish(server.url, video, [{"type": "wave", "id": f"w{n}"} for n in range(3)])
                if isinstance(item, Event) and item.id == "w2":
                    return items
        raise AssertionError("it ended")

    items = asyncio.run(main())
    assert [item.id for item in items if isinstance(item, Event)] == ["w0", "w1", "w2"]


@pytest.mark.parametrize("transport", ["sse", "poll", "ws"])
def test_watching_resumes_exactly_after_it_was_cancelled(server: Server, transport: Transport) -> None:
    video = f"resume-{transport}"

    async def main() -> list[str]:
        seen: list[str] = []
        async with watch(server.url, video, transport=transport) as watcher:
            with suppress(TimeoutError):
                async with asyncio.timeout(0.5):
                    async for _ in watcher:
                        pass
            await publish(server.url, video, [{"type": "wave", "id": f"w{n}"} for n in range(5)])
            async with asyncio.timeout(SECONDS):
                async for item in watcher:
                    if isinstance(item, Event):
                        seen.append(item.id)
                    if len(seen) == 5:
                        return seen
        raise AssertionError("it ended")

    assert asyncio.run(main()) == ["w0", "w1", "w2", "w3", "w4"]


@pytest.mark.parametrize("transport", ["sse", "poll", "ws"])
def test_a_refusal_leaves_the_block_as_it_is(server: Server, transport: Transport) -> None:
    async def main() -> None:
        async with watch(server.url, "v", cursor="not a cursor", transport=transport) as watcher:
            async for _ in watcher:
                pass

    with pytest.raises(Refused) as refused:
        asyncio.run(main())
    assert refused.value.status == 400


def test_likes_and_comments_are_stored_once_for_one_key(server: Server) -> None:
    async def main() -> None:
        first = await like(server.url, "liked", user="ada", idempotency_key="k1")
        again = await like(server.url, "liked", user="ada", idempotency_key="k1")
        assert first == again
        assert first.total == 1
        said = await comment(server.url, "liked", "hello", user="ada")
        found = await summary(server.url, "liked")
        assert (found.likes, found.reactions) == (1, {"heart": 1})
        assert [each["id"] for each in found.comments] == [said.id]
        await retract(server.url, "liked", said.id)
        assert (await summary(server.url, "liked")).comments == []

    asyncio.run(main())


def test_a_publisher_needs_no_event_loop(server: Server) -> None:
    with Publisher(server.url) as publisher:
        assert publisher.publish("plain", [{"type": "wave"}, {"type": "wave"}]).accepted == 2
        assert publisher.like("plain", user="ada").total == 1
        said = publisher.comment("plain", "hello", user="ada")
        publisher.retract("plain", said.id)
        assert publisher.summary("plain").likes == 1
        with pytest.raises(Refused):
            publisher.publish("plain", [{"type": "No Type"}])
    publisher.close()
