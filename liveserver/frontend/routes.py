"""Watching: `GET /v1/videos/{video}/events`, `/poll` and `/viewers`."""

from __future__ import annotations

from itertools import count

import trio

from liveserver.config import FrontendSettings
from liveserver.cursor import Cursor, CursorError
from liveserver.edge.answer import Answer, Peer
from liveserver.edge.request import Request
from liveserver.edge.response import head, json_response, with_headers
from liveserver.edge.router import Router
from liveserver.errors import BadRequest, BusError, Unavailable
from liveserver.frontend.channel import Channel
from liveserver.frontend.frontend import Frontend
from liveserver.frontend.log import Place
from liveserver.frontend.poll import PollWaiter, poll_answer
from liveserver.frontend.viewer import Viewer, random_retry
from liveserver.transport.form import Bye, Form, Ready, Reason, encode
from liveserver.transport.ndjson import NDJSON, NDJSON_HTTP10
from liveserver.transport.sse import SSE, SSE_HTTP10

NOW, EARLIEST = "now", "earliest"
RETRY_AFTER = 2  # seconds


class WatchRoutes:
    """The frontend's hot routes."""

    def __init__(self, frontend: Frontend, settings: FrontendSettings) -> None:
        self._frontend = frontend
        self._settings = settings
        self._serials = count()

    def add_to(self, router: Router) -> None:
        router.add("GET", "/v1/videos/{video}/events", self.watch)
        router.add("GET", "/v1/videos/{video}/poll", self.poll)
        router.add("GET", "/v1/videos/{video}/viewers", self.viewers)

    async def watch(self, request: Request, peer: Peer) -> Answer:
        """Become a viewer on a stream. Who cannot is told `bye`: an error status would stop a browser
        from ever coming back."""
        form = _form(request)
        video = request.checked_video()
        arguments = request.arguments(("cursor", "replay"))
        wish = request.headers.get(b"last-event-id", b"").decode("latin-1") or arguments.get("cursor", NOW)
        cursor = _cursor(wish)
        replay = self._number(arguments, "replay", 0, self._settings.replay_events, default=0)
        reason = self._frontend.refusal()
        if reason is None:
            try:
                async with self._frontend.table.visit(video) as channel:
                    place = await self._place(channel, cursor, replay)
                    return self._welcome(request, peer, channel, form, cursor, place)
            except (Unavailable, BusError):
                reason = Reason.UNAVAILABLE
        self._frontend.fanout.counts.say_bye(reason)
        request.keep_alive = False
        bye = form.retry(random_retry(self._settings)) + form.frame(
            b"", b"bye", encode(Bye(reason.word, reason.reconnect))
        )
        return head(200, *form.headers) + form.envelope(bye) + form.end

    def _welcome(
        self, request: Request, peer: Peer, channel: Channel, form: Form, cursor: Cursor | str, place: Place
    ) -> Viewer:
        """Send the head and `ready`, and let the viewer take its seat."""
        resuming = isinstance(cursor, Cursor)
        self._frontend.fanout.counts.gaps += place.gap
        seen = cursor if isinstance(cursor, Cursor) and not place.is_exact else None
        start = channel.log.cursor_at(place.position).decode()
        if isinstance(cursor, Cursor):
            start = str(
                Cursor.parse(start).merged(cursor) if place.gap and seen else start if place.gap else cursor
            )
        ready = Ready(channel.video, self._frontend.node, start, resuming and not place.gap, place.gap)
        viewer = Viewer(peer, channel.audience, form, place.position, seen, next(self._serials))
        opening = form.retry(random_retry(self._settings)) + form.frame(
            start.encode(), b"ready", encode(ready)
        )
        opening += channel.audience.told(form, place.position, start.encode())
        channel.audience.welcome(
            viewer, with_headers(head(200, *form.headers), request.cors) + form.envelope(opening)
        )
        return viewer

    async def poll(self, request: Request, peer: Peer) -> Answer:
        """Answer with what is after the cursor, or wait for it."""
        settings = self._settings
        video = request.checked_video()
        arguments = request.arguments(("cursor", "wait", "limit", "replay"))
        cursor = _cursor(arguments.get("cursor", NOW))
        wait = self._number(arguments, "wait", 0, settings.max_wait, default=settings.default_wait)
        limit = int(self._number(arguments, "limit", 1, settings.poll_events, default=settings.poll_events))
        replay = self._number(arguments, "replay", 0, settings.replay_events, default=0)
        if (reason := self._frontend.refusal()) is not None:
            raise Unavailable(f"this node is not taking viewers ({reason.word}); try another", RETRY_AFTER)
        try:
            async with self._frontend.table.visit(video) as channel:
                place = await self._place(channel, cursor, replay)
                seen = cursor if isinstance(cursor, Cursor) and not place.is_exact else None
                at_once = not isinstance(cursor, Cursor) or wait == 0
                answer = poll_answer(channel.log, place.position, seen, limit, gap=place.gap, empty=at_once)
                if answer is not None:
                    self._frontend.fanout.counts.gaps += place.gap
                    return answer
                deadline = trio.current_time() + wait
                waiter = PollWaiter(peer, channel.log.tip, seen, limit, deadline, request.cors)
                channel.audience.wait(waiter)
                return waiter
        except BusError:
            raise Unavailable("the log cannot be read just now; try again", RETRY_AFTER) from None

    async def viewers(self, request: Request, peer: Peer) -> Answer:
        """How many are watching."""
        video = request.checked_video()
        request.arguments(())
        return json_response(200, encode(await self._frontend.viewers(video)))

    async def _place(self, channel: Channel, cursor: Cursor | str, replay: float) -> Place:
        """Where in the channel's log a viewer begins."""
        if isinstance(cursor, Cursor):
            return await self._frontend.intake.resume(channel, cursor)
        log = channel.log
        if cursor == EARLIEST or (replay and log.tip - log.base < replay):
            await self._frontend.intake.fill(channel)
        if cursor == EARLIEST:
            return Place(channel.log.base, gap=False, is_exact=True)
        return Place(max(channel.log.base, channel.log.tip - int(replay)), gap=False, is_exact=True)

    def _number(
        self, arguments: dict[str, str], name: str, least: float, most: float, *, default: float
    ) -> float:
        if name not in arguments:
            return default
        text = arguments[name]
        try:
            value = float(text) if text.isascii() and len(text) < 10 else -1.0
        except ValueError:
            value = -1.0
        if not least <= value <= most or (name != "wait" and value != int(value)):
            raise BadRequest(f"{name} is a number from {least:g} to {most:g}")
        return value


def _cursor(text: str) -> Cursor | str:
    """A cursor, `now` or `earliest`."""
    if text in (NOW, EARLIEST):
        return text
    try:
        return Cursor.parse(text)
    except CursorError as error:
        raise BadRequest(f"{error}; or write cursor=now or cursor=earliest") from None


def _form(request: Request) -> Form:
    """The streaming form the client asked for; event streams unless it says otherwise."""
    is_old = request.version == "1.0"
    if b"application/x-ndjson" in request.headers.get(b"accept", b""):
        return NDJSON_HTTP10 if is_old else NDJSON
    return SSE_HTTP10 if is_old else SSE
