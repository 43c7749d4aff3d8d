"""The number of bytecodes of a request, which does not depend on a machine's load.

The bounds are a sixth above what is there now, in Python 3.11. Who needs more says so here, and why.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import trio
import trio.testing

import liveserver
from liveserver.auth.authorizer import Authorizer
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import Settings
from liveserver.dispatcher.parse import Parser
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.routes import DispatcherRoutes
from liveserver.dispatcher.subscriptions import Subscriptions
from tests.edge.harness import HOST, serving
from tests.frontend.harness import stage

OURS = str(Path(liveserver.__file__).parent)
TIMES = 20
LIKE = b'{"type":"like","user":"u1","data":{"reaction":"heart"}}'
PUBLISH = (
    b"POST /v1/videos/v/events HTTP/1.1\r\n"
    + HOST
    + b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(LIKE), LIKE)
)


@contextmanager
def counting() -> Iterator[Counter[str]]:
    """Count the bytecodes of this package's functions that run within the block, by their names."""
    found: Counter[str] = Counter()

    def count(frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            found[frame.f_code.co_qualname] += 1
        return count

    def begin(frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return count

    before = sys.gettrace()
    sys.settrace(begin)
    try:
        yield found
    finally:
        sys.settrace(before)


def assert_few(found: Counter[str], most: int) -> None:
    assert 0 < found.total() / TIMES <= most, (found.total() / TIMES, found.most_common(12))


async def test_a_publish() -> None:
    settings = Settings()
    bus = MemoryBus("dc1", settings.history, 100)
    publisher = Publisher(bus, "dc1", settings.dispatcher)
    subscriptions = Subscriptions(bus, settings.dispatcher.max_lease)
    routes = DispatcherRoutes(Parser(settings.dispatcher), publisher, subscriptions, Authorizer(settings))
    handlers = {("POST", "/v1/videos/{video}/events"): routes.publish}
    async with trio.open_nursery() as nursery, serving(handlers) as served, served.connect() as client:
        nursery.start_soon(publisher.run)
        for _ in range(3):
            assert (await client.ask(PUBLISH)).status == 202
        with counting() as found:
            for _ in range(TIMES):
                await client.ask(PUBLISH)
        nursery.cancel_scope.cancel()
    assert_few(found, 2_550)


async def test_a_long_poll_of_a_client_that_is_level() -> None:
    async with stage() as on:
        client = on.connect()
        found: Counter[str] = Counter()
        await client.get("/v1/videos/v/poll")
        cursor = (await client.json())["cursor"]
        for round_ in range(TIMES + 3):
            with counting() as steps:
                await client.get(f"/v1/videos/v/poll?cursor={cursor}")
                await trio.testing.wait_all_tasks_blocked()
            await on.publish(1)
            with counting() as answering:
                cursor = (await client.json())["cursor"]
            if round_ >= 3:
                found += steps + answering
    assert_few(found, 4_550)  # with the event that ends it
