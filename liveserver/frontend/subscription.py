"""What every transport sets up before a viewer joins: it is counted, its channel is open, its filter is held.

Rules:

1. What was counted is released when the block ends, unless the viewer has taken it over (`hand_over`).
2. While the block lasts, the channel is not closed, and `ViewerSession.ended` is set if the token is
   revoked. Whether the viewer is banned has to be checked after the last checkpoint.
"""

from __future__ import annotations

from collections.abc import Callable

from liveserver.errors import BusError, Unavailable
from liveserver.frontend.admission import Admission, ViewerSession
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.channels.subscriptions import ChannelRef, SubscriptionTable
from liveserver.transport.filter import Filter

Release = Callable[[], None]  # see `ViewerSession.acquire`

RETRY_AFTER = 2  # seconds


class Subscription:
    """The context manager of `Resumer.open_subscription`; not a generator, for speed.

    Entering raises `Forbidden`, `TooMany` and `Unavailable`; a `BusError` in the block becomes `Unavailable`.
    """

    __slots__ = (
        "_admission",
        "_chosen",
        "_max_filters",
        "_ref",
        "_release",
        "_session",
        "_table",
        "_video",
        "channel",
    )

    channel: Channel
    _ref: ChannelRef

    def __init__(
        self,
        table: SubscriptionTable,
        admission: Admission,
        session: ViewerSession,
        video: str,
        chosen: Filter | None,
        max_filters: int,
    ) -> None:
        self._table = table
        self._admission = admission
        self._session = session
        self._video = video
        self._chosen = chosen
        self._max_filters = max_filters
        self._release: Release | None = None

    async def __aenter__(self) -> Subscription:
        self._release = self._session.acquire(self._video)
        self._admission.track(self._session)
        try:
            self._ref = self._table.open_channel(self._video)
            self.channel = await self._ref.__aenter__()
            if self._chosen is not None:
                try:
                    self._release = self._with_filter(self.channel, self._chosen, self._release)
                except BaseException:
                    await self._ref.__aexit__()
                    raise
        except BaseException:
            self._end()
            raise
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *raised: object) -> None:
        await self._ref.__aexit__()
        self._end()
        if kind is not None and issubclass(kind, BusError):
            raise Unavailable("the log cannot be read; try again", RETRY_AFTER) from None

    def hand_over(self) -> Release:
        """Return the function that the viewer has to call when it leaves, instead of the end of the block."""
        release, self._release = self._release, None
        assert release is not None
        return release

    def _with_filter(self, channel: Channel, chosen: Filter, release: Release) -> Release:
        """Count the viewer's filter; return the function that releases both. Raises `TooMany`."""
        channel.audience.hold_filter(chosen, self._max_filters)

        def release_both() -> None:
            channel.audience.totals.remove_filter(chosen)
            release()

        return release_both

    def _end(self) -> None:
        self._admission.untrack(self._session)
        if self._release is not None:
            self._release()
            self._release = None
