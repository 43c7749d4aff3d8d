"""The logs of all videos, recorded as they grow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from liveserver.bus.interface import AppendRequest, ReplicationBatch
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import HistorySettings, RecorderSettings
from liveserver.errors import Unavailable
from liveserver.recorder.directory import Directory
from liveserver.recorder.recorder import Recorder
from liveserver.recorder.recording import Recording

BEGIN = 1_763_862_000_000


class Written:
    """A bus, and what was published on it."""

    def __init__(self) -> None:
        self.bus = MemoryBus("dc1", HistorySettings(), 100)
        self._count = 0

    async def publish(self, video: str = "v", count: int = 1) -> None:
        for _ in range(count):
            self._count += 1
            line = b'like {"id":"e%d","video":"v","type":"like","at":%d}' % (
                self._count,
                BEGIN + self._count * 100,
            )
            await self.bus.append([AppendRequest(video, f"t{self._count}", [line], [None])])


def recorder(written: Written, directory: Path) -> Recorder:
    return Recorder(written.bus, Directory(directory), RecorderSettings())


def ids(directory: Path, video: str = "v") -> list[str]:
    recorded = Recording(Directory(directory), video, 10.0)
    return [msgspec.json.decode(line)["id"] for lines in recorded.between(0, float("inf")) for line in lines]


async def test_all_videos_are_recorded_and_none_twice(tmp_path: Path) -> None:
    written = Written()
    follows = recorder(written, tmp_path)
    await follows.catch_up()
    for _ in range(3):
        await written.publish("v", 2)
        await written.publish("w")
        await follows.catch_up()
    assert ids(tmp_path) == ["e1", "e2", "e4", "e5", "e7", "e8"]
    assert ids(tmp_path, "w") == ["e3", "e6", "e9"]
    again = recorder(written, tmp_path)  # as after a crash
    await again.catch_up()
    await written.publish()
    await again.catch_up()
    await follows.catch_up()  # and the first one, which was only slow
    assert ids(tmp_path) == ["e1", "e2", "e4", "e5", "e7", "e8", "e10"]
    assert follows.statistics().behind == 0


async def test_events_of_other_datacenters_are_recorded(tmp_path: Path) -> None:
    written = Written()
    await written.publish()
    line = b'like {"id":"theirs","video":"v","type":"like","at":%d}' % BEGIN
    await written.bus.relay([ReplicationBatch("v", "dc2", "aaa", 1, 1, [line])])
    await written.bus.relay([ReplicationBatch("only-theirs", "dc2", "aaa", 1, 1, [line])])
    await recorder(written, tmp_path).catch_up()
    assert ids(tmp_path) == ["e1", "theirs"]
    assert ids(tmp_path, "only-theirs") == ["theirs"]


async def test_many_pages_and_many_videos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liveserver.bus.following.PAGE", 3)
    monkeypatch.setattr("liveserver.recorder.recorder.READ_VIDEOS", 2)
    monkeypatch.setattr("liveserver.recorder.recorder.READ_EVENTS", 2)
    written = Written()
    for number in range(10):
        await written.publish(f"v{number}", 5)
    await recorder(written, tmp_path).catch_up()
    assert [len(ids(tmp_path, f"v{number}")) for number in range(10)] == [5] * 10


async def test_what_cannot_be_written_is_tried_again_and_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written()
    follows = recorder(written, tmp_path)
    write: Callable[[Directory, str, bytes], None] = Directory.write

    def full(self: Directory, name: str, content: bytes) -> None:
        if name.startswith("v/"):
            raise OSError(28, "No space left on device")
        write(self, name, content)

    with monkeypatch.context() as patched:
        patched.setattr(Directory, "write", full)
        await written.publish("v")
        await written.publish("w")
        for failures in (1, 2):
            await follows.step()
            assert follows.statistics().failures == failures
            with pytest.raises(Unavailable, match="No space left"):
                await follows.check()
        assert ids(tmp_path, "w") == ["e2"]  # the other one, on a disk of its own perhaps
        assert follows.statistics().behind == 1
        await written.publish("v")
    await follows.step()
    await follows.check()
    assert ids(tmp_path) == ["e1", "e3"]
    assert follows.statistics().behind == 0
