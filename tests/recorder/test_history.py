"""Pages of what has happened with a video: from its recording, from its log, and across both."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
import trio
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as some
from structlog.testing import capture_logs

from liveserver.bus.interface import AppendRequest
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import HistorySettings, RecorderSettings
from liveserver.errors import BadRequest, Unavailable
from liveserver.recorder.directory import Directory
from liveserver.recorder.history import History, Query
from liveserver.recorder.recorder import Recorder
from liveserver.recorder.segments import DamagedRecording
from tests.recorder.test_recording import BEGIN, event, retraction


class Stage:
    """A log, and a recording of a part of it."""

    def __init__(self, directory: Path, *, is_recorded: bool, **history: int) -> None:
        self.bus = MemoryBus("dc1", msgspec.convert(history, HistorySettings), 100)
        self.recorder = Recorder(self.bus, Directory(directory), RecorderSettings())
        self.history = History(self.bus, self.recorder.recording if is_recorded else None)
        self._count = 0

    async def publish(self, *lines: bytes) -> None:
        self._count += 1
        await self.bus.append([AppendRequest("v", f"t{self._count}", list(lines), [None] * len(lines))])

    async def pages(self, *, newest: bool = True, limit: int = 3, **query: Any) -> list[str]:
        """The ids of all events, page by page; of those without content `-`."""
        found: list[str] = []
        cursor = None
        for _ in range(100):
            asked = Query(limit=limit, is_newest_first=newest, cursor=cursor)._replace(**query)
            page = await self.history.page("v", asked)
            assert len(page.events) <= limit
            for each in map(msgspec.json.decode, page.events):
                found.append("-" if each["type"] == "retract" and "data" in each else each["id"])
            cursor = page.next
            if cursor is None:
                return found
        raise AssertionError("there is no end")


def events(first: int, last: int, kind: str = "comment", seconds: float = 4) -> list[bytes]:
    return [event(number, round(number * seconds * 1000), kind) for number in range(first, last + 1)]


@pytest.mark.parametrize("recorded", [0, 4, 9, 10])
async def test_each_event_is_on_one_page_in_either_order(recorded: int, tmp_path: Path) -> None:
    stage = Stage(tmp_path, is_recorded=True)
    if recorded:
        await stage.publish(*events(1, recorded))
        await stage.recorder.catch_up()
    await stage.publish(*events(recorded + 1, 11))
    expected = [f"e{number}" for number in range(1, 12)]
    for limit in (1, 3, 11, 100):
        assert await stage.pages(newest=False, limit=limit) == expected
        assert await stage.pages(newest=True, limit=limit) == expected[::-1]


@hypothesis_settings(max_examples=30)
@given(some.integers(0, 12), some.integers(1, 5), some.integers(0, 50_000), some.integers(0, 60_000))
def test_times_and_types_choose_as_they_say(recorded: int, limit: int, first: int, length: int) -> None:
    begin, end = BEGIN + first, BEGIN + first + length
    expected = [f"e{n}" for n in range(1, 13) if n % 3 and begin <= BEGIN + n * 4_000 < end]

    async def compare(directory: Path) -> None:
        stage = Stage(directory, is_recorded=True)
        lines = [event(n, n * 4_000, "comment" if n % 3 else "score") for n in range(1, 13)]
        if recorded:
            await stage.publish(*lines[:recorded])
            await stage.recorder.catch_up()
        await stage.publish(*lines[recorded:] or [event(99, 10**9)])
        asked: dict[str, Any] = {"first": begin, "last": end, "types": frozenset({"comment"})}
        assert await stage.pages(newest=False, limit=limit, **asked) == expected
        assert await stage.pages(newest=True, limit=limit, **asked) == expected[::-1]

    with TemporaryDirectory() as directory:
        trio.run(compare, Path(directory))


async def test_new_events_move_no_page(tmp_path: Path) -> None:
    for is_recorded in (False, True):
        stage = Stage(tmp_path, is_recorded=is_recorded)
        await stage.publish(*events(1, 6))
        if is_recorded:
            await stage.recorder.catch_up()
        page = await stage.history.page("v", Query(limit=2))
        await stage.publish(*events(7, 9))
        rest = await stage.history.page("v", Query(limit=2, cursor=page.next))
        assert [msgspec.json.decode(each)["id"] for each in rest.events] == ["e4", "e3"]


@pytest.mark.parametrize("is_recorded", [False, True])
async def test_what_is_taken_back_has_no_content_anywhere(is_recorded: bool, tmp_path: Path) -> None:
    stage = Stage(tmp_path, is_recorded=is_recorded)
    await stage.publish(*events(1, 3))
    await stage.recorder.catch_up()
    await stage.publish(*events(4, 5), retraction(6, 2), retraction(7, 4))
    for newest in (False, True):
        found = await stage.pages(newest=newest)
        assert sorted(found) == ["-", "-", "-", "-", "e1", "e3", "e5"]


async def test_what_is_missing_is_reported(tmp_path: Path) -> None:
    stage = Stage(tmp_path, is_recorded=False, max_events=5)
    await stage.publish(*events(1, 3))
    assert (await stage.history.page("v", Query())).complete
    await stage.publish(*events(4, 20))
    assert not (await stage.history.page("v", Query())).complete
    nothing = await stage.history.page("unknown", Query())
    assert nothing == ([], None, True)


async def test_a_page_looks_at_so_many_segments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("liveserver.recorder.history.SCAN", 2)
    stage = Stage(tmp_path, is_recorded=True)
    await stage.publish(*events(1, 9, seconds=15), event(10, 200_000, "score"))
    await stage.recorder.catch_up()
    first = await stage.history.page("v", Query(types=frozenset({"score"}), is_newest_first=False))
    assert (first.events, first.next) == ([], "recorded-2")
    assert await stage.pages(newest=False, types=frozenset({"score"})) == ["e10"]


@pytest.mark.parametrize("cursor", ["", "x", "recorded-", "a-1-2", "recorded-9999999999999999", "../x-1"])
async def test_other_cursors_are_malformed(cursor: str, tmp_path: Path) -> None:
    stage = Stage(tmp_path, is_recorded=False)
    with pytest.raises(BadRequest, match="`next` of the page before"):
        await stage.history.page("v", Query(cursor=cursor))
    with pytest.raises(BadRequest, match="begun anew"):
        await stage.history.page("v", Query(cursor="recorded-3"))


@pytest.mark.parametrize(
    ("error", "detail"),
    [
        (DamagedRecording("v/index.json is damaged"), "v/index.json is damaged"),
        (PermissionError(13, "Permission denied", "/srv/recordings/v/index.json"), "Permission denied"),
        (OSError("s3.internal: no route"), "its store failed"),
    ],
)
async def test_a_recording_that_cannot_be_read_is_reported_without_a_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: OSError | DamagedRecording, detail: str
) -> None:
    stage = Stage(tmp_path, is_recorded=True)

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("liveserver.recorder.recording.Recording.index", fail)
    with capture_logs() as logged, pytest.raises(Unavailable) as raised:
        await stage.history.page("v", Query())
    assert raised.value.detail == f"the recording cannot be read: {detail}"
    assert logged == [{"event": "recording_not_read", "log_level": "warning", "reason": str(error)}]
