"""Arriving: what a viewer wishes, and where in a channel's log it begins."""

from __future__ import annotations

import time
from itertools import count
from typing import NamedTuple

from liveserver.config import FrontendSettings
from liveserver.cursor import Cursor, CursorError
from liveserver.errors import BadRequest
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.delivery.audience import VIEWERS
from liveserver.frontend.delivery.viewer import random_retry
from liveserver.frontend.frontend import Frontend
from liveserver.frontend.history.log import GAP, ResumePoint
from liveserver.transport.form import Form, Ready, encode

NOW, EARLIEST = "now", "earliest"
ONE_WRITE = 64 * 1024  # bytes of a state that are copied for each viewer, so as to be sent with `ready`


class Resumption(NamedTuple):
    """Where a viewer on a stream begins, its `ready`, and what is to be withheld from it (`seen`)."""

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
            return await self.frontend.receiver.resume(channel, cursor)
        log = channel.log
        if cursor == EARLIEST or (replay and log.event_count < replay):
            await self.frontend.receiver.fill(channel)
        return ResumePoint(log.before_events(log.event_count if cursor == EARLIEST else replay))

    async def resume_stream(self, channel: Channel, cursor: Cursor | str, replay: int) -> Resumption:
        """Where a viewer on a stream begins; it has to take its seat at once. Raises `BusError`."""
        point, log = await self.place(channel, cursor, replay), channel.log
        position, seen = point.position, point.seen
        self.frontend.fanout.counts.gaps += point.gap
        if position < log.tip and log.between(position, position + 1)[0].event == GAP and point.gap:
            position += 1  # `ready` tells it
        start = log.cursor_at(position).decode()
        if isinstance(cursor, Cursor):
            if not point.gap:
                start = str(cursor)
            elif seen is not None:
                seen = Cursor.parse_trusted(start).merged(seen)
                start = str(seen)
        is_resumed = isinstance(cursor, Cursor) and not point.gap
        now, heartbeat = round(time.time() * 1000), round(self.settings.heartbeat * 1000)
        ready = Ready(channel.video, self.frontend.node, start, is_resumed, point.gap, now, heartbeat)
        return Resumption(ready, position, seen)

    def opening(self, channel: Channel, form: Form, resumption: Resumption) -> tuple[bytes, bytes]:
        """Return what a viewer is sent first: where it stands, the state unless it resumed, and how many
        watch; and apart what is shared with others, since it is large."""
        cursor, home = resumption.ready.cursor.encode(), channel.audience
        words = form.opening(cursor, resumption.ready, random_retry(self.settings))
        state = b""
        if not resumption.ready.resumed:
            state = home.log.frames(form).state(resumption.position, cursor)
        if len(state) > ONE_WRITE:  # how many watch comes with the next change
            return words, state
        if home.is_counted:  # with this one, who is not counted yet
            viewers = encode(channel.viewer_count.viewers(home.watching + 1))
            words, state = words + state + form.envelope(form.control(cursor, VIEWERS, viewers)), b""
        return words + state, b""


def parse_cursor(text: str) -> Cursor | str:
    """A cursor, `now` or `earliest`. Raises `BadRequest`."""
    if text in (NOW, EARLIEST):
        return text
    try:
        return Cursor.parse(text)
    except CursorError as error:
        raise BadRequest(f"{error}; or write cursor=now or cursor=earliest") from None
