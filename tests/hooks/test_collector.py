"""Logs of all videos, turned into messages that wait for endpoints."""

from __future__ import annotations

import pytest

from liveserver.bus.interface import ReplicationBatch
from liveserver.errors import BusError
from liveserver.hooks.collector import LostLead
from tests.hooks.harness import Stage, line, settings


def ids(found: list[dict[str, object]]) -> list[object]:
    return [
        "gap" if each["type"] in ("gap", "video.gap") else each["data"]["id"]  # type: ignore[index]
        for each in found
    ]


async def test_each_event_is_queued_once_for_each_endpoint_that_wants_it() -> None:
    stage = Stage(settings({"all": {}, "w": {"videos": ["w"]}, "scores": {"events": ["event.*"]}}))
    collector = await stage.lead()
    first = await stage.comment("v", 3)
    other = await stage.comment("w", 2)
    await stage.publish("v", line("score", "v", "s1"), line("like", "v", "l1"))
    assert await collector.collect() == 8
    assert await collector.collect() == 0
    more = await stage.comment("v")
    await collector.collect()
    assert ids(await stage.queued("all")) == [*first, *more, *other]
    assert ids(await stage.queued("w")) == other
    assert ids(await stage.queued("scores")) == ["s1"]
    assert collector.queued == {"comment.created": 8, "event": 1}


async def test_another_node_resumes_where_the_first_one_ended() -> None:
    stage = Stage()
    first = await stage.lead("a")
    before = await stage.comment("v", 3)
    await first.collect()
    after = await stage.comment("v", 2)
    await stage.queue.resign("a")
    second = await stage.lead("b")
    await second.collect()
    await stage.comment("v")
    with pytest.raises(LostLead):
        await first.collect()
    await second.collect()
    assert ids(await stage.queued())[:5] == before + after
    assert len(await stage.queued()) == 6


async def test_pages_of_long_logs_and_many_videos(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liveserver.hooks.collector.READ_EVENTS", 3)
    monkeypatch.setattr("liveserver.hooks.collector.READ_VIDEOS", 2)
    monkeypatch.setattr("liveserver.hooks.collector.PUT", 2)
    monkeypatch.setattr("liveserver.hooks.collector.KNOWN", 2)
    stage = Stage()
    collector = await stage.lead()
    published = {f"v{number}": await stage.comment(f"v{number}", 10) for number in range(5)}
    await collector.collect()
    for video, names in published.items():
        assert ids(await stage.queued("site", video)) == names


async def test_what_a_log_has_lost_is_reported() -> None:
    stage = Stage(max_events=5)
    collector = await stage.lead()
    first = await stage.comment("v")
    await collector.collect()
    lost = await stage.comment("v", 20)
    await collector.collect()
    assert ids(await stage.queued()) == [*first, "gap", *lost[-5:]]
    assert collector.gaps == 1


async def test_a_log_that_began_anew_is_read_from_its_beginning() -> None:
    stage = Stage()
    collector = await stage.lead()
    before = await stage.comment("v", 3)
    await collector.collect()
    epoch = ended = (await stage.bus.read("v", 0, 0)).head.epoch
    while epoch <= ended:  # names of one millisecond are in no order
        stage.bus._videos.clear()
        epoch = (await stage.bus.read("v", 0, 0)).head.epoch
    after = await stage.comment("v", 2)
    await collector.collect()
    assert ids(await stage.queued()) == [*before, "gap", *after]


async def test_other_datacenters_events_are_queued_once_or_left_to_their_own_hooks() -> None:
    theirs = ReplicationBatch("v", "dc2", "aaaaaaaa", 1, 1, [line("comment", "v", "theirs")])
    for origins, expected in (("all", ["theirs"]), ("own", [])):
        stage = Stage(settings(origins=origins))
        collector = await stage.lead()
        own = await stage.comment("v")
        await stage.bus.relay([theirs])
        await stage.bus.relay([theirs])
        await collector.collect()
        assert ids(await stage.queued()) == own + expected


async def test_after_a_failure_nothing_is_lost_or_doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage()
    collector = await stage.lead()
    put = stage.queue.put
    for is_done in (False, True):
        names = await stage.comment("v", 2)

        async def fail(*arguments: object, is_done: bool = is_done) -> None:
            if is_done:  # its answer was lost
                await put(*arguments)  # type: ignore[arg-type]
            raise BusError("no answer")

        with monkeypatch.context() as patched:
            patched.setattr(stage.queue, "put", fail)
            with pytest.raises(BusError):
                await collector.collect()
        await collector.collect()
        assert ids(await stage.queued())[-2:] == names
    assert len(await stage.queued()) == 4


async def test_nothing_is_queued_for_a_disabled_endpoint_and_too_much_is_counted() -> None:
    stage = Stage(settings({"site": {}, "gone": {}}, queue_messages=3))
    collector = await stage.lead()
    collector.disabled = {"gone"}
    await stage.comment("v", 5)
    await collector.collect()
    assert await stage.queued("gone") == []
    assert ids(await stage.queued())[3:] == ["gap"]
    assert collector.overflowed == 2
