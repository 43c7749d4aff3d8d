"""Likes backends of one datacenter, each with a database of its own: they come to the same."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import msgspec
import pytest
import trio

from liveserver.backend.backend import Backend, open_backend
from liveserver.backend.commands import Retraction
from liveserver.backend.received import ReceivedComment, ReceivedEvents
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import DispatcherSettings, HistorySettings, LikeSettings, convert
from liveserver.dispatcher.local import LocalDispatcher
from liveserver.dispatcher.parse import Parser
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.subscriptions import Subscriptions
from liveserver.errors import NotFound
from tests.backend.harness import comment, like, settings
from tests.conftest import Until


class Datacenter:
    """A bus with a dispatcher, and backends with databases of their own."""

    def __init__(self, directory: Path, **history: Any) -> None:
        self._directory = directory
        self.bus = MemoryBus("dc1", convert(history, HistorySettings), 1000)
        publisher = Publisher(self.bus, "dc1", DispatcherSettings())
        self.dispatcher = LocalDispatcher(
            Parser(DispatcherSettings()), publisher, Subscriptions(self.bus, 30.0)
        )
        self.run = publisher.run

    @asynccontextmanager
    async def backend(self, name: str) -> AsyncIterator[Backend]:
        database = f"sqlite:///{self._directory / name}.db"
        own = settings(database=database, follow_interval="20ms")
        sums = LikeSettings(each_up_to=0)
        async with open_backend(own, self.dispatcher, sums, self.bus) as backend:
            yield backend


@asynccontextmanager
async def datacenter(directory: Path, **history: Any) -> AsyncIterator[Datacenter]:
    made = Datacenter(directory, **history)
    async with trio.open_nursery() as nursery:
        nursery.start_soon(made.run)
        yield made
        nursery.cancel_scope.cancel()


async def summary(backend: Backend) -> dict[str, Any]:
    return dict(msgspec.json.decode(await backend.summary("v")))


async def test_totals_and_comments_are_the_same_at_all_backends(tmp_path: Path, until: Until) -> None:
    async with datacenter(tmp_path) as dc, AsyncExitStack() as stack:
        backends = [await stack.enter_async_context(dc.backend(name)) for name in ("a", "b", "c")]
        a, b, c = backends
        for backend in backends:
            assert await summary(backend) == {"likes": 0, "reactions": {}, "comments": []}
        for backend, times in zip(backends, (5, 3, 1), strict=True):
            for _ in range(times):
                await backend.write(like())
        await b.write(like(reaction="fire"))
        made = [
            await backend.write(comment(text)) for backend, text in ((a, "one"), (b, "two"), (c, "three"))
        ]

        async def same() -> bool:
            found = [await summary(backend) for backend in backends]
            return found[0]["likes"] == 10 and found[0] == found[1] == found[2]

        await until(same)
        found = await summary(a)
        assert found["reactions"] == {"heart": 9, "fire": 1}
        assert {each["text"] for each in found["comments"]} == {"one", "two", "three"}
        assert (await a.write(like())).total == 11, "all stores' likes count"
        await c.write(Retraction("v", made[0].id))

        async def gone() -> bool:
            texts = [{each["text"] for each in (await summary(backend))["comments"]} for backend in backends]
            return texts == [{"two", "three"}] * 3

        await until(gone)


async def test_a_follower_that_was_away_catches_up(tmp_path: Path, until: Until) -> None:
    async with datacenter(tmp_path) as dc, dc.backend("a") as a:
        first = await a.write(comment("before"))
        async with dc.backend("b") as b:

            async def is_received() -> bool:
                return len((await b.comments("v", None, 50)).comments) == 1

            await until(is_received)
        await a.write(Retraction("v", first.id))
        for number in range(120):
            await a.write(comment(str(number)))
        await a.write(like())

        async def published() -> bool:
            return a.outbox.statistics().published == 122 and a.sums.statistics().published >= 1

        await until(published)
        async with dc.backend("b") as b:

            async def is_level() -> bool:
                return (await b.comments("v", None, 1)).complete

            await until(is_level)
            texts: list[str] = []
            before: str | None = None
            while True:
                page = await b.comments("v", before, 50)
                assert page.complete
                texts += [each["text"] for each in page.comments]
                if (before := page.next) is None:
                    break
            assert texts == [str(number) for number in reversed(range(120))]
            assert (await summary(b))["likes"] == 1
            with pytest.raises(NotFound):
                await b.comments("v", "nothing", 50)


async def test_a_follower_beyond_the_logs_reach_reports_a_gap(tmp_path: Path, until: Until) -> None:
    async with datacenter(tmp_path, max_events=10) as dc, dc.backend("a") as a:
        for number in range(40):
            await a.write(comment(str(number)))
            await a.outbox.wait_handed_over()
        async with dc.backend("b") as b:
            page = await b.comments("v", None, 50)
            assert not page.complete
            assert 0 < len(page.comments) < 40


async def test_repeated_and_early_batches_are_stored_once(tmp_path: Path) -> None:
    async with datacenter(tmp_path) as dc, dc.backend("a") as a:
        said = [ReceivedComment("x", "ada", "stays", 5), ReceivedComment("y", None, "goes", 6)]
        for epoch, offset in (("e", 2), ("e", 2), ("f", 9)):
            await a.writer.write(
                ReceivedEvents("w", epoch, offset, True, said, ["y", "later"], {"s": {"heart": 7}})
            )
        late = [ReceivedComment("later", "bob", "was retracted before it came", 7)]
        await a.writer.write(ReceivedEvents("w", "f", 10, True, late, [], {"s": {"heart": 3, "fire": 1}}))
        page = await a.comments("w", None, 50)
        assert page.comments == [{"id": "x", "user": "ada", "text": "stays", "at": 5}]
        found = msgspec.json.decode(await a.summary("w"))
        assert (found["likes"], found["reactions"]) == (8, {"heart": 7, "fire": 1})


async def test_a_page_read_before_its_log_was_is_not_complete(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with datacenter(tmp_path) as dc, dc.backend("a") as a:
        view = await a.follower.follow("v")
        read = a._comments

        async def read_slowly(video: str, before: str | None, limit: int) -> list[dict[str, Any]] | None:
            found = await read(video, before, limit)
            view.is_level = True
            return found

        monkeypatch.setattr(a, "_comments", read_slowly)
        view.is_level = False
        assert not (await a.comments("v", None, 50)).complete
        assert (await a.comments("v", None, 50)).complete
