"""Where in a channel's log a viewer begins, and what it is sent first."""

from __future__ import annotations

import time
from itertools import count
from typing import NamedTuple

import msgspec
import trio

from liveserver.config import FrontendSettings
from liveserver.cursor import Cursor
from liveserver.frontend.admission import Admission, ViewerSession
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.delivery.audience import Audience
from liveserver.frontend.delivery.count_frames import VIEWERS
from liveserver.frontend.delivery.viewer import random_retry
from liveserver.frontend.frontend import Frontend
from liveserver.frontend.history.delayed import AudienceLog
from liveserver.frontend.history.log import GAP, ResumePoint
from liveserver.frontend.parameters import EARLIEST
from liveserver.frontend.subscription import Subscription
from liveserver.transport.filter import Filter
from liveserver.transport.form import EPHEMERAL, UNFILTERED, Form, Ready, encode

ONE_WRITE = 64 * 1024  # bytes; a smaller state is copied per viewer, to be sent together with `ready`


class Resumption(NamedTuple):
    """Where a viewer on a stream begins, its `ready`, and what is to be withheld from it (`seen`).

    `audience` is the audience that it belongs to.
    """

    ready: Ready
    position: int
    seen: Cursor | None
    audience: Audience


class Resumer:
    """Determines where viewers begin. `serial` numbers connections in their order of arrival."""

    def __init__(self, frontend: Frontend, settings: FrontendSettings, admission: Admission) -> None:
        self.frontend = frontend
        self.settings = settings
        self._admission = admission
        self._serials = count()

    def serial(self) -> int:
        return next(self._serials)

    def open_subscription(self, session: ViewerSession, video: str, chosen: Filter | None) -> Subscription:
        """Return the context manager of a subscription, for the duration of which a viewer may join.

        Entering raises `Forbidden`, `TooMany`, and `Unavailable` if no dispatcher answers in time.
        """
        table, max_filters = self.frontend.table, self.settings.max_filters
        return Subscription(table, self._admission, session, video, chosen, max_filters)

    async def place(
        self,
        channel: Channel,
        cursor: Cursor | str,
        replay: int,
        delay: int = 0,
        chosen: Filter | None = None,
    ) -> tuple[ResumePoint, Audience]:
        """Return where in the channel's log a viewer begins, and the audience to join at once.

        Raises `BusError`.
        """
        receiver = self.frontend.receiver
        if delay and not channel.reaches_back(delay):
            await receiver.fill(channel)
        if isinstance(cursor, Cursor):
            point = await receiver.resume(channel, cursor)
            return point, channel.audience_behind(delay, self.settings.max_delays)
        log: AudienceLog = channel.log
        if cursor == EARLIEST or (replay and log.event_count < replay):
            await receiver.fill(channel)
        audience = channel.audience_behind(delay, self.settings.max_delays)
        log = audience.log
        is_cut = bool(delay) and channel.log.is_lost_since(trio.current_time() - log.delay)
        if chosen is not None and replay and cursor != EARLIEST:
            position = _before_shown(log, replay, chosen)
        else:
            position = log.before_events(log.event_count if cursor == EARLIEST else replay)
        return ResumePoint(position, gap=is_cut, is_cut=is_cut), audience

    async def resume_stream(
        self,
        channel: Channel,
        cursor: Cursor | str,
        replay: int,
        delay: int = 0,
        chosen: Filter | None = None,
    ) -> Resumption:
        """Return where a stream viewer begins; it has to join without a checkpoint. Raises `BusError`."""
        (point, audience), log = await self.place(channel, cursor, replay, delay, chosen), channel.log
        position, seen = point.position, point.seen
        self.frontend.fanout.counts.gaps += point.gap
        if point.gap and any(item.event == GAP for item in log.between(position, position + 1)):
            position += 1  # `ready` reports this gap
        start = log.cursor_at(position).decode()
        if isinstance(cursor, Cursor):
            if not point.gap:
                start = str(cursor)
            elif seen is not None:
                seen = Cursor.parse_trusted(start).merged(seen)
                start = str(seen)
        is_resumed = isinstance(cursor, Cursor) and not point.gap
        now, heartbeat = round(time.time() * 1000), round(self.settings.heartbeat * 1000)
        ready = Ready(
            channel.video,
            self.frontend.node,
            start,
            is_resumed,
            point.gap,
            EPHEMERAL if point.skipped else msgspec.UNSET,
            now,
            heartbeat,
            behind=round(audience.log.delay) or msgspec.UNSET,
        )
        return Resumption(ready, position, seen, audience)

    def opening(self, channel: Channel, form: Form, resumption: Resumption) -> tuple[bytes, bytes]:
        """Return what a viewer is sent first: `ready`, the state unless it resumed exactly, the viewer count.

        A large state is returned separately, as bytes shared with other viewers.
        """
        cursor, audience = resumption.ready.cursor.encode(), resumption.audience
        head = form.opening(cursor, resumption.ready, random_retry(self.settings))
        state = b""
        if not resumption.ready.resumed or resumption.ready.skipped is not msgspec.UNSET:
            state = audience.log.frames(form).state(resumption.position, cursor)
        if len(state) > ONE_WRITE:  # the viewer count follows with its next change
            return head, state
        if audience.is_counted:  # plus this viewer, which is not counted yet
            viewers = encode(channel.viewer_count.viewers(audience.totals.watching + 1))
            count = form.for_one.envelope(form.for_one.control(cursor, VIEWERS, viewers))
            head, state = head + state + count, b""
        return head + state, b""


def _before_shown(log: AudienceLog, count: int, chosen: Filter) -> int:
    """Return the position of the `count`th event before the tip that a filter shows; the oldest, if there are
    not as many."""
    shown = [
        at
        for at, item in log.walk(log.kept_from, log.tip)
        if item.event not in UNFILTERED and log.ranks.includes(chosen, at, item)
    ]
    return shown[-count] if len(shown) >= count else log.before_events(log.event_count)
