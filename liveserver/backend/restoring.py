"""Publishes the rules of a video again that its state has lost: settings, bans and so on.

Events keep their ids and times, so what the state has, or has in a newer form, is a duplicate or stale;
several backends may do the same.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Annotated, Any

import msgspec
import structlog

from liveserver.backend.outbox import RETRY_FIRST, RETRY_LONGEST, PublishTarget
from liveserver.backoff import Backoff
from liveserver.errors import BadRequest, DispatcherError, TooLarge, Unavailable
from liveserver.instruments import gauge, total
from liveserver.state import Keyed
from liveserver.wakeup import Wakeup

BATCH_SIZE = 500  # events in one request

log = structlog.get_logger(__name__)


class RestoringStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and what is waiting now."""

    restored: Annotated[
        int, total("Settings, bans and the like that a video's state had lost, published again.")
    ]
    waiting: Annotated[int, gauge("Settings, bans and the like that wait to be published again.")]


class Restorer:
    """Publishes the events given to `put`. `run` must be running."""

    def __init__(self, dispatcher: PublishTarget) -> None:
        self._dispatcher = dispatcher
        self._lost: dict[tuple[str, str], Keyed] = {}  # by video and key: bounded as states are
        self._wakeup = Wakeup()
        self._restored = 0

    def put(self, video: str, events: Sequence[Keyed]) -> None:
        for event in events:
            self._lost[video, event.key] = event
        self._wakeup.set()

    async def run(self) -> None:
        """Publish events until cancelled."""
        while True:
            await self._wakeup.wait()
            backoff = Backoff(RETRY_FIRST, RETRY_LONGEST)
            while self._lost:
                some = dict(itertools.islice(self._lost.items(), BATCH_SIZE))
                body = msgspec.json.encode([_publication(video, event) for (video, _), event in some.items()])
                try:
                    await self._dispatcher.publish(body, retractions=False)
                except (Unavailable, DispatcherError) as error:
                    log.warning("rules_not_restored", reason=str(error))
                    await backoff.sleep()
                    continue
                except (BadRequest, TooLarge) as error:
                    log.error("rules_refused", events=len(some), reason=error.detail)  # noqa: TRY400
                else:
                    self._restored += len(some)
                for which, event in some.items():
                    if self._lost.get(which) is event:
                        del self._lost[which]

    def statistics(self) -> RestoringStatistics:
        return RestoringStatistics(self._restored, len(self._lost))


def _publication(video: str, event: Keyed) -> dict[str, Any]:
    said: dict[str, Any] = msgspec.json.decode(event.data)
    said |= {"video": video, "type": event.type.decode(), "key": event.key, "at": event.at}
    if event.is_cleared:
        said["data"] = None
    return said
