"""Arriving: what a viewer wishes, and where in a channel's log it begins."""

from __future__ import annotations

import time
from itertools import count
from typing import NamedTuple

from liveserver.config import FrontendSettings
from liveserver.cursor import Cursor, CursorError
from liveserver.errors import BadRequest
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.delivery.audience import Audience
from liveserver.frontend.delivery.viewer import random_retry
from liveserver.frontend.frontend import Frontend
from liveserver.frontend.history.log import ResumePoint
from liveserver.transport.form import Form, Ready

NOW, EARLIEST = "now", "earliest"


class Resumption(NamedTuple):
    """Where a viewer begins, what its `ready` says, and what is to be withheld from it (`seen`)."""

    ready: Ready
    position: int
    seen: Cursor | None


class Resumer:
    """Shows viewers their places. `serial` numbers connections in the order in which they came."""

    def __init__(self, frontend: Frontend, settings: FrontendSettings) -> None:
        self.frontend = frontend
        self.settings = settings
        self._serials = count()

    def serial(self) -> int:
        return next(self._serials)

    async def place(self, channel: Channel, cursor: Cursor | str, replay: int) -> ResumePoint:
        """Where in the channel's log a viewer begins. Raises `BusError`."""
        if isinstance(cursor, Cursor):
            return await self.frontend.intake.resume(channel, cursor)
        log = channel.log
        if cursor == EARLIEST or (replay and log.tip - log.base < replay):
            await self.frontend.intake.fill(channel)
        if cursor == EARLIEST:
            return ResumePoint(channel.log.base, gap=False, is_exact=True)
        return ResumePoint(max(channel.log.base, channel.log.tip - replay), gap=False, is_exact=True)

    async def arrive(self, channel: Channel, cursor: Cursor | str, replay: int) -> Resumption:
        """Where a viewer on a stream begins; it has to take its seat at once. Raises `BusError`."""
        place = await self.place(channel, cursor, replay)
        self.frontend.fanout.counts.gaps += place.gap
        seen = None
        start = channel.log.cursor_at(place.position).decode()
        if isinstance(cursor, Cursor):
            seen = None if place.is_exact else cursor
            if not place.gap:
                start = str(cursor)
            elif seen is not None:
                start = str(Cursor.read(start).merged(seen))
        is_resumed = isinstance(cursor, Cursor) and not place.gap
        now, heartbeat = round(time.time() * 1000), round(self.settings.heartbeat * 1000)
        ready = Ready(channel.video, self.frontend.node, start, is_resumed, place.gap, now, heartbeat)
        return Resumption(ready, place.position, seen)

    def opening(self, home: Audience, form: Form, arrival: Resumption) -> bytes:
        """The first words to a viewer of this audience: where it stands, and how many there are."""
        cursor = arrival.ready.cursor.encode()
        words = form.opening(cursor, arrival.ready, random_retry(self.settings))
        viewers = home.told(form, arrival.position, cursor)
        return words + form.envelope(viewers) if viewers else words


def parse_cursor(text: str) -> Cursor | str:
    """A cursor, `now` or `earliest`. Raises `BadRequest`."""
    if text in (NOW, EARLIEST):
        return text
    try:
        return Cursor.parse(text)
    except CursorError as error:
        raise BadRequest(f"{error}; or write cursor=now or cursor=earliest") from None
