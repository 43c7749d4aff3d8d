"""The contract of interface.py for every bus: a node has a video's publishers held back."""

from __future__ import annotations

from itertools import count

from liveserver.bus.interface import AppendRequest
from tests.bus.harness import WholeBus
from tests.conftest import Until

_tokens = count()


async def held(bus: WholeBus, video: str) -> float:
    """Append an event; return for how long publishers are to wait."""
    request = AppendRequest(video, f"t{next(_tokens)}", [b'like {"n":1}'], [None])
    (result,) = await bus.append([request])
    assert result.accepted(request) == 1, "the bus itself refuses nothing"
    return result.held


async def test_appends_say_how_long_their_video_is_held_back(bus: WholeBus, until: Until) -> None:
    assert await held(bus, "v") == 0
    await bus.hold_back(["v"], 0.4)
    assert 0 < await held(bus, "v") <= 0.4
    assert await held(bus, "w") == 0

    async def is_over() -> bool:
        return await held(bus, "v") == 0

    await until(is_over)


async def test_videos_are_held_back_together_and_none_is_nothing(bus: WholeBus) -> None:
    for video in "vw":
        assert await held(bus, video) == 0
    await bus.hold_back([], 60)
    await bus.hold_back(["v", "w"], 60)
    assert 0 < await held(bus, "v") <= 60
    assert 0 < await held(bus, "w") <= 60
