"""Watching: `GET /v1/videos/{video}/events`, `/poll` and `/viewers`, and `GET /v1/ws`."""

from __future__ import annotations

import trio

from liveserver.config import FrontendSettings
from liveserver.deferred_import import import_in_thread
from liveserver.edge.answer import Answer, Peer
from liveserver.edge.request import Request
from liveserver.edge.response import constant_head, head, json_response, with_headers
from liveserver.edge.router import Router
from liveserver.errors import TooMany, Unavailable
from liveserver.frontend.admission import Admission
from liveserver.frontend.delivery.long_poll import PollWaiter
from liveserver.frontend.delivery.viewer import StreamViewer, random_retry
from liveserver.frontend.forms import Forms
from liveserver.frontend.frontend import Frontend
from liveserver.frontend.parameters import TOKEN, ParameterReader
from liveserver.frontend.resume import Resumer
from liveserver.frontend.subscription import RETRY_AFTER
from liveserver.transport.form import Reason, encode


class WatchRoutes:
    """The frontend's hot routes."""

    def __init__(self, frontend: Frontend, settings: FrontendSettings, admission: Admission) -> None:
        self._frontend = frontend
        self._admission = admission
        self._settings = settings
        self._parameters = ParameterReader(settings)
        self._forms = Forms(settings)
        self._resumer = Resumer(frontend, settings, admission)

    def add_to(self, router: Router) -> None:
        router.add("GET", "/v1/videos/{video}/events", self.watch)
        router.add("GET", "/v1/videos/{video}/poll", self.poll)
        router.add("GET", "/v1/videos/{video}/viewers", self.viewers)
        router.add("GET", "/v1/ws", self.socket)

    async def watch(self, request: Request, peer: Peer) -> Answer:
        """Turn the connection into a viewer's event stream.

        A node without room sends `bye`, since an error status would stop browsers from reconnecting. A viewer
        without permission receives the error status.
        """
        video = request.checked_video()
        cursor, replay, delay, token, chosen = self._parameters.watch(request)
        retry = random_retry(self._settings)
        form = self._forms.stream(request)
        try:
            session = await self._admission.authenticate(request, peer, token)
            if session.is_moderator(video):
                form = self._forms.stream(request, internal=True)
            form = form.filtered(chosen)
            reason = self._frontend.refusal()
            if request.method == "HEAD":
                return head(200, *[line for line in form.headers if not line.startswith(b"transfer")])
            if reason is None:
                async with self._resumer.open_subscription(session, video, chosen) as subscription:
                    channel = subscription.channel
                    resumption = await self._resumer.resume_stream(channel, cursor, replay, delay, chosen)
                    reason = self._frontend.refusal() or session.ended
                    self._frontend.check_ban(channel, session.grant)
                    if reason is None:
                        audience, serial = resumption.audience, self._resumer.serial()
                        viewer = StreamViewer(
                            peer, audience, form, resumption.position, resumption.seen, serial
                        )
                        viewer.until, viewer.on_leave = session.until, subscription.hand_over()
                        viewer.grant = session.grant
                        opening, shared = self._resumer.opening(channel, form, resumption)
                        headers = with_headers(constant_head(200, form.headers), request.cors)
                        audience.admit(viewer, headers + opening, shared)
                        return viewer
        except TooMany as too_many:
            reason = Reason.OVERLOAD
            retry += 1000 * too_many.retry_after
        except Unavailable:
            reason = Reason.DRAIN if self._frontend.is_draining else Reason.UNAVAILABLE
        self._frontend.fanout.counts.count_bye(reason)
        request.keep_alive = False
        return head(200, *form.headers) + form.refusal(reason, retry)

    async def socket(self, request: Request, peer: Peer) -> Answer:
        """Turn the connection into a WebSocket that watches many videos; without room it is sent `bye`."""
        await import_in_thread("liveserver.frontend.websocket")
        from liveserver.edge.upgrade import accept_websocket
        from liveserver.frontend.websocket import WebSocket

        arguments = request.arguments((TOKEN,))
        extension = self._forms.extension(request)
        accepted = accept_websocket(request, extension)
        session = await self._admission.authenticate(request, peer, arguments.get(TOKEN))
        self._frontend.check_ban(None, session.grant)
        websocket = WebSocket(
            peer, self._resumer, accepted, session, self._forms, is_deflated=bool(extension)
        )
        if (reason := self._frontend.refusal()) is not None:
            websocket.disconnect(reason, random_retry(self._settings))
        return websocket

    async def poll(self, request: Request, peer: Peer) -> Answer:
        """Answer with the events after the cursor, or wait for some."""
        video = request.checked_video()
        cursor, wait, limit, replay, delay, token, chosen = self._parameters.poll(request)
        if request.method == "HEAD":
            wait = 0
        compress = self._forms.poll_compression(request) if self._forms.is_compressing else None
        session = await self._admission.authenticate(request, peer, token)
        if (reason := self._frontend.refusal()) is not None:
            raise Unavailable(f"this node does not accept viewers ({reason.word}); try another", RETRY_AFTER)
        async with self._resumer.open_subscription(session, video, chosen) as subscription:
            channel = subscription.channel
            point, audience = await self._resumer.place(channel, cursor, replay, delay, chosen)
            self._frontend.check_ban(channel, session.grant)
            empty = isinstance(cursor, str) or wait == 0 or self._frontend.is_draining
            internal = session.is_moderator(video)
            answer = audience.poll_pages.answer(
                point.position,
                point.seen,
                limit,
                is_cut=point.is_cut,
                empty=empty or session.ended is not None,
                has_state=isinstance(cursor, str),
                internal=internal,
                skipped=point.skipped,
                chosen=chosen,
            )
            if answer is not None:
                self._frontend.fanout.counts.gaps += point.gap
                return answer if compress is None or point.seen is not None else compress(answer)
            waiter = PollWaiter(
                peer,
                max(point.position, audience.log.tip),
                point.seen,
                limit,
                min(trio.current_time() + wait, session.until),
                request.cors,
                subscription.hand_over(),
                is_internal=internal,
                chosen=chosen,
            )
            waiter.grant, waiter.compress = session.grant, compress
            audience.wait(waiter)
            return waiter

    async def viewers(self, request: Request, peer: Peer) -> Answer:
        """Return the viewer counts of a video; for moderators and publishers how many have watched, too."""
        video = request.checked_video()
        arguments = request.arguments((TOKEN,))
        if await self._admission.may_see_audience(request, video, arguments.get(TOKEN)):
            return json_response(200, encode(await self._frontend.audience(video)))
        return json_response(200, encode(await self._frontend.viewers(video)))
