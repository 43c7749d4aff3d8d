"""What is set up before a viewer joins is released when the block ends, or when the viewer leaves."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
from trio.testing import MockClock

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.grant import OPEN
from liveserver.errors import BusError, TooMany, Unavailable
from liveserver.frontend.admission import Admission, ViewerSession
from liveserver.frontend.resume import Resumer
from liveserver.transport.filter import Filter
from tests.frontend.harness import Stage, settings, stage

LIKES = Filter(frozenset({b"like"}))
CONFIGURED = settings(frontend={"max_filters": 1})


class Session(ViewerSession):
    """A session that notes how many of its viewers are counted."""

    __slots__ = ("counted", "problem")

    def __init__(self) -> None:
        super().__init__(Authorizer(CONFIGURED), OPEN, "", math.inf, {})
        self.counted = 0
        self.problem: Exception | None = None

    def acquire(self, video: str) -> Callable[[], None]:
        if self.problem is not None:
            raise self.problem
        self.counted += 1

        def release() -> None:
            self.counted -= 1

        return release


def resumer(on: Stage) -> Resumer:
    admission = Admission(Authorizer(CONFIGURED), on.frontend.table.channels)
    return Resumer(on.frontend, CONFIGURED.frontend, admission)


async def test_what_was_counted_is_released_with_the_block(autojump_clock: MockClock) -> None:
    async with stage(CONFIGURED) as on:
        session = Session()
        async with resumer(on).open_subscription(session, "v", LIKES) as subscription:
            channel = subscription.channel
            assert (session.counted, channel.arriving) == (1, 1)
            assert channel.audience.totals.filters == {LIKES}
        assert (session.counted, channel.arriving) == (0, 0)
        assert not channel.audience.totals.filters


async def test_a_viewer_that_has_joined_releases_it_when_it_leaves(autojump_clock: MockClock) -> None:
    async with stage(CONFIGURED) as on:
        session = Session()
        async with resumer(on).open_subscription(session, "v", LIKES) as subscription:
            leave = subscription.hand_over()
        assert session.counted == 1
        assert subscription.channel.audience.totals.filters == {LIKES}
        leave()
        assert session.counted == 0
        assert not subscription.channel.audience.totals.filters


async def test_a_viewer_that_is_not_counted_opens_no_channel(autojump_clock: MockClock) -> None:
    async with stage(CONFIGURED) as on:
        session = Session()
        session.problem = TooMany("enough")
        with pytest.raises(TooMany):
            async with resumer(on).open_subscription(session, "v", None):
                raise AssertionError
        assert "v" not in on.frontend.table.channels


async def test_a_filter_too_many_leaves_nothing_behind(autojump_clock: MockClock) -> None:
    async with stage(CONFIGURED) as on:
        session, other = Session(), Filter(frozenset({b"comment"}))
        async with resumer(on).open_subscription(session, "v", LIKES) as subscription:
            with pytest.raises(TooMany):
                async with resumer(on).open_subscription(session, "v", other):
                    raise AssertionError
            assert (session.counted, subscription.channel.arriving) == (1, 1)
            assert subscription.channel.audience.totals.filters == {LIKES}


async def test_an_unreadable_log_is_a_503_with_a_time_to_retry(autojump_clock: MockClock) -> None:
    async with stage(CONFIGURED) as on:
        session = Session()
        with pytest.raises(Unavailable) as caught:
            async with resumer(on).open_subscription(session, "v", None):
                raise BusError("the link is down")
        assert ("retry-after", "2") in caught.value.headers
        assert session.counted == 0
