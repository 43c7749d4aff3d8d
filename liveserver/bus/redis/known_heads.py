"""What this process was last told about each log: a Redis that knows less lost data."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable

from liveserver.bus.mailbox import Mailbox
from liveserver.bus.redis.commands import Opening
from liveserver.event import Batch
from liveserver.ids import new_epoch

KNOWN = 50_000  # videos whose heads are remembered, the latest used


class KnownHeads:
    """The end of each log, as far as it is known, of the `KNOWN` videos that were used last."""

    def __init__(self) -> None:
        self._ends: OrderedDict[str, tuple[str, int]] = OrderedDict()

    def opening(self, video: str) -> Opening:
        """What goes with each command that opens this log."""
        return (new_epoch(), *self._ends.get(video, ("-", 0)))

    def learn(self, video: str, epoch: str, offset: int) -> None:
        """The log's life `epoch` has come as far as this, at least."""
        known = self._ends.get(video)
        if known is None or known[0] != epoch or known[1] < offset:
            self._ends[video] = (epoch, offset)
        self._ends.move_to_end(video)
        if len(self._ends) > KNOWN:
            self._ends.popitem(last=False)

    def latest(self, count: int) -> list[str]:
        """The videos used last, up to so many."""
        return list(self._ends)[-count:]


class HeadTrackingInbox:
    """An inbox from which it is learnt how far each log has come. When listening has begun anew, Redis is
    told first, by `tell`: it may have restarted with less than it had."""

    def __init__(self, mailbox: Mailbox, known: KnownHeads, tell: Callable[[], Awaitable[None]]) -> None:
        self._mailbox = mailbox
        self._known = known
        self._tell = tell

    def __aiter__(self) -> HeadTrackingInbox:
        return self

    async def __anext__(self) -> list[Batch]:
        batches = await anext(self._mailbox)
        for batch in batches:
            self._known.learn(batch.video, batch.epoch, batch.last)
        if not batches:
            await self._tell()
        return batches
