"""Requests committed together: each publisher gets the result of its own part."""

from __future__ import annotations

import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from liveserver.dispatcher.parse import VideoBatch
from tests.dispatcher.harness import publishing, video_batch


async def test_each_gets_the_result_of_its_own_events_from_a_shared_commit() -> None:
    async with publishing() as stage:
        await stage.publish("before", video_batch("v", "1", "2"), video_batch("w", "1"))
        stage.bus.hold()
        await stage.publish("first", video_batch("x", "0"))
        await stage.publish("a", video_batch("v", "3", "1", "3"))  # one known, one twice in itself
        await stage.publish("b", video_batch("w", "1"), video_batch("v", "4"))
        await stage.publish("c", video_batch("v", "2", "4", "1"))  # all known, one from the same commit
        await stage.publish("d", video_batch("v", "5", known=False))
        await stage.publish("e", video_batch("v", "5", known=False))
        stage.bus.let_go()
        await stage.settle()
        assert len(stage.bus.appended) == 3
        assert stage.accepted("a") == (1, 2, {"v": 3})
        assert stage.accepted("b") == (1, 1, {"w": 1, "v": 4})
        assert stage.accepted("c") == (0, 3, {"v": 6})
        assert stage.accepted("d") == (1, 0, {"v": 5})
        assert stage.accepted("e") == (1, 0, {"v": 6})
        assert await stage.bus.lines("v") == ["1", "2", "3", "4", "5", "5"]
        statistics = stage.publisher.statistics()
        assert (statistics.accepted, statistics.duplicates) == (8, 6)


@settings(max_examples=settings().max_examples // 2)
@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from("vw"), st.integers(0, 9)), min_size=1, max_size=4),
        min_size=1,
        max_size=8,
    )
)
def test_shared_commits_give_the_results_of_single_ones(
    requests: list[list[tuple[str, int]]],
) -> None:
    def video_batches(request: list[tuple[str, int]]) -> list[VideoBatch]:
        videos = dict.fromkeys(video for video, _ in request)
        return [
            video_batch(video, *[str(name) for each, name in request if each == video]) for video in videos
        ]

    async def main() -> None:
        async with publishing() as shared, publishing() as alone:
            shared.bus.hold()
            for index, request in enumerate(requests):
                await shared.publish(str(index), *video_batches(request))
                await alone.publish(str(index), *video_batches(request))
            shared.bus.let_go()
            await shared.settle()
            for index in range(len(requests)):
                together, single = shared.accepted(str(index)), alone.accepted(str(index))
                assert together[:2] == single[:2]
                for video, number in together[2].items():
                    assert number >= single[2][video]
                    if together[0] and len(together[2]) == 1:
                        assert number == single[2][video]
            for video in "vw":
                assert await shared.bus.lines(video) == await alone.bus.lines(video)

    trio.run(main)


async def test_a_keyed_request_stays_apart_in_its_place() -> None:
    keyed = VideoBatch("v", [b';t;k;-;5; {"id":"k"}', b"like 3"], [None, None], is_keyed=True)
    async with publishing() as stage:
        stage.bus.hold()
        await stage.publish("first", video_batch("v", "0"))
        await stage.publish("a", video_batch("v", "1"), video_batch("w", "1"))
        await stage.publish("b", video_batch("v", "2"))
        await stage.publish("keyed", keyed)
        await stage.publish("c", video_batch("v", "4"), video_batch("w", "2"))
        await stage.publish("d", video_batch("v", "5"))
        stage.bus.let_go()
        await stage.settle()
        _, requests = stage.bus.appended
        assert [(request.video, len(request.lines), request.is_keyed) for request in requests] == [
            ("v", 2, False), ("w", 2, False), ("v", 2, True), ("v", 2, False),
        ]  # fmt: skip
        assert await stage.bus.lines("v") == ["0", "1", "2", '{"id":"k"}', "3", "4", "5"]
        assert stage.accepted("b") == (1, 0, {"v": 3})
        assert stage.accepted("keyed") == (2, 0, {"v": 5})
        assert stage.accepted("c") == (2, 0, {"v": 6, "w": 2})
