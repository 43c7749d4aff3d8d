"""Every event once and in order, however often connections break."""

from __future__ import annotations

import httpx
import trio
import trio.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from liveserver.client import Event, watch
from liveserver.client.watching import Transport
from tests.client.fakes import (
    Asked,
    Body,
    cursor,
    event,
    like,
    page,
    ready,
)


class Flaky:
    """A server with a log, that breaks off any connection after any number of bytes."""

    def __init__(self, events: int, patience: list[int], gone: list[bool]) -> None:
        self.asked: list[Asked] = []
        self._events = events
        self._patience = patience
        self._gone = gone
        self.client = httpx.AsyncClient(transport=httpx.MockTransport(self._answer))

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        await trio.lowlevel.checkpoint()
        if self._gone and self._gone.pop():
            raise httpx.ConnectError("refused")
        seen = int(request.url.params["cursor"].rpartition("-")[2])
        patience = self._patience.pop() if self._patience else None
        if request.url.path.endswith("/poll"):
            upto = min(self._events, seen + 3)
            if patience is not None and patience % 3 == 0:
                raise httpx.ReadError("reset")
            return page(upto, *range(seen + 1, upto + 1))(request)
        whole = ready(seen, resumed=True) + b"".join(
            like(number) for number in range(seen + 1, self._events + 1)
        )
        steps = [whole[at : at + 50] for at in range(0, len(whole[:patience]), 50)]
        if patience is not None:
            steps = [*steps[:-1], steps[-1][: patience % 50]] if steps else []
        return httpx.Response(200, headers={"content-type": "text/event-stream"}, stream=Body(steps))


@settings(deadline=None)
@given(
    transport=st.sampled_from(["sse", "poll", "auto"]),
    events=st.integers(1, 30),
    patience=st.lists(st.integers(0, 2000), max_size=12),
    gone=st.lists(st.booleans(), max_size=8),
)
def test_however_connections_break_the_sequence_is_exact(
    transport: Transport, events: int, patience: list[int], gone: list[bool]
) -> None:
    async def main() -> list[str]:
        seen: list[str] = []
        servers = Flaky(events, patience, gone)
        async with watch(
            ["http://a", "http://b"], "v1", cursor=cursor(0), transport=transport, client=servers.client
        ) as watcher:
            async for item in watcher:
                if isinstance(item, Event):
                    seen.append(item.id)
                if len(seen) >= events:
                    return seen
        return seen

    seen = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert seen == [event(number)["id"] for number in range(1, events + 1)]
