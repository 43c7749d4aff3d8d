"""A log as it was some time ago: whatever happens meanwhile, it shows what it would have shown then."""

from __future__ import annotations

import time
from typing import Any

import msgspec
import trio
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from trio.testing import MockClock

from liveserver import state
from liveserver.bus.interface import AppendRequest
from tests.frontend.delivery.test_delayed import TICK, numbers, said
from tests.frontend.fakes import SocketClient
from tests.frontend.harness import stage


async def test_events_read_from_the_log_are_shown_by_their_own_time(autojump_clock: MockClock) -> None:
    """The first viewer of a video here: what came before it is in the datacenter's log only."""
    async with stage() as on:
        now = int(time.time() * 1000)
        for ago in (30, 8, 3):
            line = b'like {"id":"%d","video":"v","type":"like","at":%d,"n":%d}' % (ago, now - ago * 1000, ago)
            await on.bus.append([AppendRequest("v", f"t{ago}", [line], [None])])
        begun = trio.current_time()
        client, _ = await on.ready("v", "?behind=5&replay=1")
        received: list[tuple[float, int]] = []
        await numbers(client, 2, received)
        assert [number for _, number in received] == [8, 3]  # one before its moment, and what follows
        assert 1.0 < received[1][0] - begun < 2.1 + TICK


async def test_clocks_that_are_wrong_lose_nothing(autojump_clock: MockClock) -> None:
    async with stage() as on:
        for at in (1, 10**14):
            line = b'like {"id":"%d","video":"v","type":"like","at":%d,"n":1}' % (at, at)
            await on.bus.append([AppendRequest("v", f"t{at}", [line], [None])])
        begun = trio.current_time()
        client, _ = await on.ready("v", "?behind=5")
        await client.event()
        assert trio.current_time() - begun <= 5 + TICK


async def test_events_retracted_meanwhile_are_never_shown(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client, _ = await on.ready("v", "?behind=5")
        live, _ = await on.ready("v")
        await said(on, "a")
        await trio.sleep(3)
        await said(on, "b", kind="retract", data='{"id":"a"}')
        await trio.sleep(10)
        assert b"goal" in live.pending()
        shown = client.pending()
        assert b"goal" not in shown
        assert shown.count(b"event: retract") == 2


async def test_events_retracted_after_being_shown_elsewhere_are_rendered_anew(
    autojump_clock: MockClock,
) -> None:
    """The joined frames of a delay do not outlive a retraction."""
    async with stage() as on:
        first, _ = await on.ready("v", "?behind=5")
        await said(on, "a")
        await trio.sleep(6)
        assert b"goal" in first.pending()
        await said(on, "b", kind="retract", data='{"id":"a"}')
        second, _ = await on.ready("v", "?behind=5&replay=1")
        assert (await second.event()).type == "retract"


async def test_the_state_is_that_of_then(autojump_clock: MockClock) -> None:
    async with stage() as on:
        await on.publish_keyed("score", "1", at=10)
        live, _ = await on.ready()
        await trio.sleep(20)
        await on.publish_keyed("score", "2", at=11)
        client, ready = await on.ready("v", "?behind=5")
        shown = await client.event()
        assert (shown.type, '"data":1' in shown.data) == ("state", True)
        update = await client.event()
        assert '"data":2' in update.data
        assert ready["resumed"] is False
        _ = live


async def test_the_state_is_that_of_then_also_where_the_log_was_read_for_it(
    autojump_clock: MockClock,
) -> None:
    """The first viewer here: of a key that changed meanwhile, nothing is shown that is still to come."""
    async with stage() as on:
        for number, (key, at) in enumerate([("pin", 9), ("score", 10), ("score", 10**14)], 1):
            head = state.head("t", key, number, at, is_cleared=False, is_internal=False)
            line = b'%b {"id":"%d","key":"%b","at":%d,"data":%d}' % (head, number, key.encode(), at, number)
            request = AppendRequest("v", f"t{number}", [line], [None], is_keyed=True)
            await on.bus.append([request])
        client, _ = await on.ready("v", "?behind=5")
        shown = msgspec.json.decode((await client.event()).data)
        assert [each["data"] for each in shown["events"]] == [1, 2]
        update = await client.event()
        assert '"data":3' in update.data
        live, _ = await on.ready("v")
        shown = msgspec.json.decode((await live.event()).data)
        assert [each["data"] for each in shown["events"]] == [1, 3]


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.integers(1, 3)),
        st.tuples(st.just("sleep"), st.sampled_from([0.02, 0.4, 1.0, 2.7, 6.0])),
        st.tuples(st.just("come"), st.integers(0, 8)),
        st.tuples(st.just("move"), st.integers(0, 8)),
        st.tuples(st.just("retract"), st.integers(1, 30)),
    ),
    min_size=3,
    max_size=30,
)


class Viewer:
    """What one viewer was sent, and when, by a naive model: a list, and a clock."""

    def __init__(self, client: SocketClient, delay: int) -> None:
        self.client = client
        self.delay = delay
        self.changes: list[tuple[float, int]] = [(trio.current_time(), delay)]
        self.received: list[tuple[float, str, str]] = []

    async def listen(self) -> None:
        while True:
            kind, data = await self.client.message()
            assert kind in ("ready", "events"), (kind, data)
            for each in data.get("events", ()):
                self.received.append((trio.current_time(), each["id"], each["type"]))

    def earliest(self, at: float) -> float:
        """When an event that came at `at` is to be shown: as soon as it is as old as the delay then."""
        for (since, delay), until in zip(
            self.changes, [*[since for since, _ in self.changes[1:]], float("inf")], strict=True
        ):
            due = max(since, at + delay)
            if due < until:
                return due
        raise AssertionError


@hypothesis_settings(
    max_examples=hypothesis_settings().max_examples // 2,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(steps=STEPS)
def test_any_sequence_is_as_the_model_says(steps: list[tuple[str, Any]]) -> None:
    async def run() -> None:
        published: list[tuple[float, str, bool]] = []  # when, id, whether it is a retraction
        retracted: dict[str, float] = {}
        viewers: list[tuple[Viewer, int]] = []  # and how many were published before it came
        async with stage() as on, trio.open_nursery() as nursery:
            await on.ready()
            for what, value in steps:
                if what == "publish":
                    for _ in range(value):
                        name = f"e{len(published)}"
                        published.append((trio.current_time(), name, False))
                        await said(on, name)
                elif what == "retract":
                    name = f"e{value}"
                    if any(each[1] == name for each in published) and name not in retracted:
                        retracted[name] = trio.current_time()
                        published.append((trio.current_time(), f"r{len(published)}", True))
                        await said(on, published[-1][1], kind="retract", data=f'{{"id":"{name}"}}')
                elif what == "come" and len(viewers) < 5:
                    client = await SocketClient(on.connect()).open()
                    viewer = Viewer(client, value)
                    since = trio.current_time() - value
                    viewers.append((viewer, sum(each[0] <= since for each in published)))
                    await client.say(subscribe={"video": "v", "behind": value})
                    nursery.start_soon(viewer.listen)
                elif what == "move" and viewers:
                    viewer = viewers[value % len(viewers)][0]
                    viewer.changes.append((trio.current_time(), value))
                    await viewer.client.say(behind={"video": "v", "seconds": value})
                elif what == "sleep":
                    await trio.sleep(value)
                await trio.sleep(0.001)
            await trio.sleep(20)
            nursery.cancel_scope.cancel()
        for viewer, before in viewers:
            expected = published[before:]
            assert [name for _, name, _ in viewer.received] == [name for _, name, _ in expected]
            due = 0.0
            for (when, name, kind), (at, _, is_retraction) in zip(viewer.received, expected, strict=True):
                due = max(due, viewer.earliest(at))
                assert -0.01 <= when - due <= 0.1, (when, due, name)
                was_taken_back = name in retracted and retracted[name] < due - 0.1
                if was_taken_back:
                    assert kind == "retract"
                elif name not in retracted:
                    assert kind == ("retract" if is_retraction else "comment")

    trio.run(run, clock=MockClock(autojump_threshold=0))
