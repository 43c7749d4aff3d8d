"""A WebSocket connection, on which a client watches several videos.

Rules (delivery/multiplexed.py has those for sending):

1. Messages of the client are processed in order, and only while nothing is being sent: the messages of a
   client that does not read are not read either, until it is disconnected as slow.
2. There is no timer: the server's sweep over the deadlines calls `expire`. An idle client is sent a ping if
   there were no events either, and its connection is closed if it does not answer.
3. Between two messages of the client there is no parser: it is half of what an idle connection would weigh.
"""

from __future__ import annotations

from contextlib import suppress

import trio
from wsproto.connection import Connection, ConnectionState, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, Pong, TextMessage
from wsproto.frame_protocol import CloseReason

from liveserver.auth.grant import Grant
from liveserver.config import FrontendSettings
from liveserver.edge.answer import Peer
from liveserver.edge.request import checked_video
from liveserver.errors import BadRequest, BusError, Forbidden, Problem, Unavailable
from liveserver.frontend.admission import ViewerSession
from liveserver.frontend.delivery.multiplexed import MultiplexedConnection, MultiplexedViewer
from liveserver.frontend.forms import Forms
from liveserver.frontend.parameters import NOW, check_delay, check_rate, check_types, parse_cursor
from liveserver.frontend.resume import Resumer
from liveserver.token_bucket import TokenBucket
from liveserver.transport import websocket as wire
from liveserver.transport.filter import filter_of
from liveserver.transport.form import Reason
from liveserver.transport.permessage_deflate import Inflater

RECEIVE_BYTES = 4096
MAX_CHARACTER = 4  # bytes, in UTF-8


class WebSocket(MultiplexedConnection):
    """A connection after its opening handshake; `accepted` is the handshake's response. `is_deflated`: with
    `permessage-deflate`."""

    __slots__ = (
        "_forms",
        "_is_deflated",
        "_is_pinged",
        "_message",
        "_messages",
        "_protocol",
        "_resumer",
        "_serial",
        "_session",
        "_tips",
        "until",
    )

    def __init__(
        self,
        peer: Peer,
        resumer: Resumer,
        accepted: bytes,
        session: ViewerSession,
        forms: Forms,
        *,
        is_deflated: bool = False,
    ) -> None:
        super().__init__(peer, resumer.frontend.fanout)
        self._forms = forms
        self._is_deflated = is_deflated
        self.until = session.until
        self._session = session
        self._resumer = resumer
        self._serial = resumer.serial()
        self._protocol: Connection | None = None
        self._message = ""  # the fragments received so far
        self._messages = TokenBucket(rate := self._settings.websocket_message_rate, 1 / rate)
        self._is_pinged = False
        self._tips = 0
        resumer.frontend.sockets.add(self)
        self._fanout.add_expiry(self)
        self._note_life()
        self.send_message(accepted)

    @property
    def grant(self) -> Grant:
        """The grant of its token."""
        return self._session.grant

    @property
    def _settings(self) -> FrontendSettings:
        return self._resumer.settings

    def disconnect(self, reason: Reason, retry: int) -> None:
        self._fanout.counts.count_bye(reason)
        self.end(wire.SOCKET.disconnect_frame(b"", reason, retry))

    def send_removed(self, video: str, reason: Reason) -> None:
        problem = Forbidden("you were removed from this video by a moderator", "banned")
        self.send_message(wire.error(problem, video))

    def leave(self) -> None:
        super().leave()
        self._resumer.frontend.sockets.discard(self)
        self._fanout.remove_expiry(self)

    def expire(self) -> bool:
        if self.is_gone or (self._is_pinged and not self.is_blocked):
            return False
        self.peer.deadline = trio.current_time() + self._settings.heartbeat
        tips = sum(viewer.audience.log.tip for viewer in self.viewers.values())
        if tips == self._tips and not self.is_blocked:
            self._is_pinged = True
            self.peer.deadline = trio.current_time() + self._settings.pong_timeout
            self.send_message(wire.PING)
        self._tips = tips
        return not self.peer.closed

    async def wait_gone(self) -> None:
        try:
            received = self.peer.take_received()
            while True:
                if received and not self.is_gone:
                    await self._process(received)
                received = b""  # not kept while waiting
                while not received:
                    if self.peer.closed:
                        return
                    await self.peer.wait_readable()
                    with suppress(BlockingIOError):
                        received = self.peer.sock.recv(RECEIVE_BYTES)
                        if not received:
                            return
        except (OSError, trio.ClosedResourceError):
            return
        finally:
            self.leave()

    async def _process(self, received: bytes) -> None:
        """Process what the client has sent."""
        self._note_life()
        protocol = self._protocol or self._new_protocol()
        self._protocol = protocol
        protocol.receive_data(received)
        for event in protocol.events():
            await self.wait_unblocked()
            if self.is_gone:
                return
            await self._process_event(protocol, event)
        if is_between_messages(protocol):
            self._protocol = None
        elif announced_size(protocol) > self._settings.websocket_max_message_size * MAX_CHARACTER:
            self._end_too_big()

    def _new_protocol(self) -> Connection:
        if not self._is_deflated:
            return Connection(ConnectionType.SERVER)
        limit = self._settings.websocket_max_message_size * MAX_CHARACTER
        return Connection(ConnectionType.SERVER, [Inflater(limit)])

    def _note_life(self) -> None:
        self._is_pinged = False
        self.peer.deadline = trio.current_time() + self._settings.heartbeat

    async def _process_event(self, protocol: Connection, event: Event) -> None:
        if isinstance(event, CloseConnection):
            # Protocol errors are reported by the same event, but then the client has not closed.
            is_theirs = protocol.state is ConnectionState.REMOTE_CLOSING
            code = CloseReason.NORMAL_CLOSURE if event.code == CloseReason.NO_STATUS_RCVD else event.code
            if not is_theirs and code == CloseReason.MESSAGE_TOO_BIG:
                self._end_too_big()
            else:
                self.end(wire.close(code, "" if is_theirs else event.reason or ""))
            return
        if not self._messages.acquire(trio.current_time()):
            limit = self._settings.websocket_message_rate
            self.end(wire.close(1008, f"at most {limit} messages a second"))
        elif isinstance(event, Ping):
            self.send_message(wire.pong(bytes(event.payload)))
        elif isinstance(event, BytesMessage):
            self.end(wire.close(1003, "messages are text"))
        elif isinstance(event, TextMessage):
            await self._process_text(event)
        else:
            assert isinstance(event, Pong)

    def _end_too_big(self) -> None:
        limit = self._settings.websocket_max_message_size
        self.end(wire.close(1009, f"a message has at most {limit} characters"))

    async def _process_text(self, event: TextMessage) -> None:
        self._message += event.data
        if len(self._message) > self._settings.websocket_max_message_size:
            self._end_too_big()
        elif event.message_finished:
            text, self._message = self._message, ""
            video: str | None = None
            try:
                message = wire.parse_message(text)
                if isinstance(message, wire.Ping):
                    self.send_message(wire.PONG_MESSAGE)
                    return
                video = message.video
                checked_video(video)
                if isinstance(message, wire.Subscribe):
                    await self._subscribe(message)
                elif isinstance(message, wire.Behind):
                    await self._change_delay(message)
                else:
                    self._unsubscribe(message)
            except Problem as problem:
                await self.wait_unblocked()
                if not self.is_gone:
                    self.send_message(wire.error(problem, video))

    async def _subscribe(self, request: wire.Subscribe) -> None:
        """Subscribe to a video. Raises `Problem`."""
        frontend, settings = self._resumer.frontend, self._settings
        if request.video in self.viewers:
            raise BadRequest("already subscribed to this video; unsubscribe first to resume elsewhere")
        if len(self.viewers) >= settings.websocket_max_videos:
            raise BadRequest(
                f"at most {settings.websocket_max_videos} videos per connection; unsubscribe from one, "
                "or open another connection"
            )
        replay = request.replay or 0
        if not 0 <= replay <= settings.replay_events:
            raise BadRequest(f"replay is a number from 0 to {settings.replay_events}")
        cursor = NOW if request.cursor is None else parse_cursor(request.cursor)
        delay = check_delay(request.behind or 0.0, settings)
        types = None if request.types is None else check_types(request.types, settings)
        chosen = filter_of(types, None if request.rate is None else check_rate(request.rate, settings))
        self._check_draining()
        async with self._resumer.open_subscription(self._session, request.video, chosen) as subscription:
            channel = subscription.channel
            resumption = await self._resumer.resume_stream(channel, cursor, replay, delay, chosen)
            if self.is_gone or self.peer.closed:
                return
            self._check_draining()
            frontend.check_ban(channel, self.grant)
            audience = resumption.audience
            is_moderator = self._session.is_moderator(request.video)
            form = self._forms.socket(is_deflated=self._is_deflated, internal=is_moderator)
            form = form.filtered(chosen)
            viewer = MultiplexedViewer(
                self, audience, form, resumption.position, resumption.seen, self._serial
            )
            viewer.on_leave, viewer.grant = subscription.hand_over(), self.grant
            self.viewers[request.video] = viewer
            audience.admit(viewer, *self._resumer.opening(channel, form, resumption))

    async def _change_delay(self, request: wire.Behind) -> None:
        """Change how far behind live a viewer is. Raises `Problem`."""
        delay = check_delay(request.seconds, self._settings)
        if request.video not in self.viewers:
            raise BadRequest("not subscribed to this video")
        frontend = self._resumer.frontend
        try:
            async with frontend.table.open_channel(request.video) as channel:
                if delay and not channel.reaches_back(delay):
                    await frontend.receiver.fill(channel)
                viewer = self.viewers.get(request.video)
                if viewer is not None and not viewer.is_gone:
                    audience = channel.audience_behind(delay, self._settings.max_delays)
                    viewer.audience.move(viewer, audience)
        except BusError:
            raise Unavailable("the log cannot be read; try again") from None

    def _check_draining(self) -> None:
        if self._resumer.frontend.is_draining:
            raise Unavailable("this node is being restarted; connect to another")

    def _unsubscribe(self, request: wire.Unsubscribe) -> None:
        """Unsubscribe from a video. Raises `BadRequest`."""
        viewer = self.viewers.pop(request.video, None)
        if viewer is None:
            raise BadRequest("not subscribed to this video")
        viewer.audience.leave(viewer)


def announced_size(protocol: Connection) -> int:
    """Return the bytes of the frame that is being received, as its header says; 0 outside of one.

    wsproto does not say, so this looks at its decoder; 0 if it is not where it was.
    """
    decoder = getattr(getattr(protocol, "_proto", None), "_frame_decoder", None)
    header = getattr(decoder, "header", None)
    return int(getattr(header, "payload_len", 0))


def is_between_messages(protocol: Connection) -> bool:
    """Return whether nothing of a message has been received, so that a new parser can take what follows.

    wsproto does not say, so this looks at its decoders; False if they are not where they were.
    """
    frames = getattr(protocol, "_proto", None)
    decoder, message = getattr(frames, "_frame_decoder", None), getattr(frames, "_message_decoder", None)
    try:
        is_fresh = not decoder.buffer.buffer and decoder.header is None and message.opcode is None  # type: ignore[union-attr]
    except AttributeError:
        return False
    return is_fresh and protocol.state is ConnectionState.OPEN
