"""Published events arrive once, however many attempts are needed."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import trio
import trio.testing

from liveserver.client import ProtocolError, PublishReceipt, Refused, Unreachable, publish
from tests.client.fakes import Asked, Servers, answer, problem, stream

LIKE = {"type": "like"}


def accepted(count: int, *, duplicates: int = 0, cursor: str = "dc1-a-1") -> dict[str, object]:
    return {"accepted": count, "duplicates": duplicates, "cursor": cursor}


def ids(asked: Asked) -> list[str]:
    return [event["id"] for event in asked.body]


async def test_events_are_accepted_with_an_id_each() -> None:
    servers = Servers(answer(accepted(2)))
    events: list[dict[str, Any]] = [
        {"type": "like", "id": "mine"},
        {"type": "comment", "user": "u1", "data": {"text": "hi"}},
    ]
    assert await publish("http://a/", "v1", events, client=servers.client) == PublishReceipt(2, 0, "dc1-a-1")
    assert servers.asked[0].path == "/v1/videos/v1/events"
    first, second = servers.asked[0].body
    assert first == events[0]
    assert second.pop("id")
    assert second == events[1]


@pytest.mark.parametrize(
    "failure",
    [
        problem(503, "Redis does not answer", retry_after="1"),
        problem(429, "slower"),
        httpx.ConnectError("refused"),
        httpx.ReadError("reset"),
        stream(1e9),
    ],
)
async def test_an_unanswered_publish_is_repeated_with_the_same_ids_elsewhere(
    failure: object, autojump_clock: trio.testing.MockClock
) -> None:
    servers = Servers(failure, answer(accepted(0, duplicates=1)))  # type: ignore[arg-type]
    received: list[str] = []
    receipt = await publish(
        ["http://a", "http://b"],
        "v1",
        [LIKE],
        client=servers.client,
        on_failure=lambda why, _: received.append(why),
    )
    assert len(received) == 1
    assert receipt == PublishReceipt(0, 1, "dc1-a-1", attempts=2)
    assert [asked.host for asked in servers.asked] == ["a", "b"]
    assert ids(servers.asked[0]) == ids(servers.asked[1])


async def test_retry_after_is_a_lower_bound(autojump_clock: trio.testing.MockClock) -> None:
    servers = Servers(problem(503, "later", retry_after="9"), answer(accepted(1)))
    await publish("http://a", "v1", [LIKE], client=servers.client)
    assert servers.asked[1].at - servers.asked[0].at >= 9


async def test_publishing_gives_up_within_the_deduplication_window(
    autojump_clock: trio.testing.MockClock,
) -> None:
    servers = Servers(*[httpx.ConnectError("refused")] * 1000)
    began = trio.current_time()
    with pytest.raises(Unreachable, match=r"refused; gave up after \d+ attempts"):
        await publish("http://a", "v1", [LIKE], client=servers.client)
    assert trio.current_time() - began <= 60


async def test_a_permanent_refusal_is_raised_at_once() -> None:
    servers = Servers(problem(413, "an event's data has at most 16 KiB"))
    with pytest.raises(Refused, match="413: an event's data has at most 16 KiB"):
        await publish("http://a", "v1", [LIKE], client=servers.client)


async def test_an_answer_that_is_no_dispatchers_is_raised() -> None:
    with pytest.raises(ProtocolError):
        await publish("http://a", "v1", [LIKE], client=Servers(answer("hello")).client)


async def test_many_events_are_several_requests_in_order() -> None:
    sizes = [1000, 1000, 500]
    servers = Servers(*[answer(accepted(size, cursor=f"dc1-a-{size}")) for size in sizes])
    events = [{"type": "like", "id": str(number)} for number in range(2500)]
    receipt = await publish("http://a", "v1", events, client=servers.client)
    assert receipt == PublishReceipt(2500, 0, "dc1-a-500", attempts=3)
    assert [len(asked.body) for asked in servers.asked] == sizes
    assert [id_ for asked in servers.asked for id_ in ids(asked)] == [str(number) for number in range(2500)]


async def test_a_videos_name_is_one_segment_of_the_path() -> None:
    servers = Servers(answer(accepted(1)))
    await publish("http://a", "a/../b", [LIKE], client=servers.client)
    assert servers.asked[0].path in ("/v1/videos/a/../b/events", "/v1/videos/a%2F..%2Fb/events")


async def test_nothing_is_not_published() -> None:
    with pytest.raises(ValueError, match="at least one event"):
        await publish("http://a", "v1", [], client=Servers().client)
