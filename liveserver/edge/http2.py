"""HTTP/2, by Hypercorn: what it needs to keep our promises on a connection that is held for hours.

Rules:

1. A stream's buffer is bounded. Hypercorn's own lets a sender go on whenever it is looked at, also when
   the client has closed its window; then it would grow with those who don't read.
2. WebSockets are not offered here (RFC 8441): browsers open a connection of HTTP/1.1 for them, which is
   the fast one.
3. A connection whose client resets streams faster than anybody changes videos is closed (CVE-2023-44487),
   and so is one that sends frames that only cost: pings, settings, empty data. Priorities mean nothing
   here (RFC 9113 §5.3).
4. An idle stream is not idle: only a connection without any is closed after a time.
5. Whatever ends a connection or a stream ends all that waits for its window: nothing is kept for a client
   that has gone, or that takes nothing.
"""

from __future__ import annotations

from contextlib import suppress

import h2.events
import h2.settings
import trio
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.config import Config
from hypercorn.events import Closed, RawData, Updated
from hypercorn.events import Event as IOEvent
from hypercorn.protocol.events import EndBody, Event, StreamClosed
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, H2Protocol, StreamBuffer
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from liveserver.config import EdgeSettings
from liveserver.token_bucket import TokenBucket

RESETS = 200  # by the client, at once; one more every …
RESET_SECONDS = 0.1
FRAMES = 1_000  # that carry nothing, at once; one more every …
FRAME_SECONDS = 0.01
RECEIVE_BYTES = 4 * 1024  # between two turns of everything else: some hundred of the smallest frames


def http2_config(settings: EdgeSettings) -> Config:
    """Hypercorn's limits, all of them ours."""
    config = Config()
    config.h2_max_concurrent_streams = settings.http2_streams
    config.h2_max_header_list_size = settings.max_header_size
    config.keep_alive_timeout = settings.keep_alive
    config.keep_alive_max_requests = 2**31  # streams that are under way would be cut off
    config.read_timeout = None  # a viewer has nothing to say
    config.include_server_header = False
    config.accesslog = config.errorlog = None
    return config


class BoundedBuffer(StreamBuffer):
    """A stream's bytes on their way out."""

    async def push(self, data: bytes) -> None:
        """Take it, and return when there is room for more."""
        await super().push(data)
        while len(self.buffer) >= BUFFER_HIGH_WATER:
            await super().push(b"")


_COSTLY = (
    h2.events.PingReceived,
    h2.events.PingAckReceived,
    h2.events.RemoteSettingsChanged,
    h2.events.SettingsAcknowledged,
    h2.events.UnknownFrameReceived,
)


class _Protocol(H2Protocol):
    def __init__(self, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]
        codes = h2.settings.SettingCodes
        self.connection.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.MAX_CONCURRENT_STREAMS: self.config.h2_max_concurrent_streams,
                codes.MAX_HEADER_LIST_SIZE: self.config.h2_max_header_list_size,
            },
        )
        self._resets = TokenBucket(RESETS, RESET_SECONDS)
        self._frames = TokenBucket(FRAMES, FRAME_SECONDS)
        self._ended: set[int] = set()  # streams whose response is whole

    async def handle(self, event: IOEvent) -> None:
        """Take what was received a piece at a time; at the end, nothing waits any more."""
        if isinstance(event, RawData) and len(event.data) > RECEIVE_BYTES:
            for start in range(0, len(event.data), RECEIVE_BYTES):
                if self.closed:
                    return
                await super().handle(RawData(event.data[start : start + RECEIVE_BYTES]))
                await trio.lowlevel.checkpoint()
            return
        await super().handle(event)
        if isinstance(event, Closed):
            for buffer in list(self.stream_buffers.values()):
                await buffer.close()

    async def _create_stream(self, request: h2.events.RequestReceived) -> None:
        stream_id = request.stream_id
        if (b":method", b"CONNECT") in request.headers:
            self.connection.reset_stream(stream_id, ErrorCodes.REFUSED_STREAM)
            return
        await super()._create_stream(request)
        if stream_id in self.stream_buffers:
            self.stream_buffers[stream_id] = BoundedBuffer(self.context.event_class)

    async def _handle_events(self, events: list[h2.events.Event]) -> None:
        for event in events:
            if isinstance(event, h2.events.PriorityUpdated):
                is_flood = not self._frames.take(trio.current_time())
            elif isinstance(event, h2.events.StreamReset):
                is_flood = not self._resets.take(trio.current_time())
            elif isinstance(event, _COSTLY) or (isinstance(event, h2.events.DataReceived) and not event.data):
                is_flood = not self._frames.take(trio.current_time())
            else:
                is_flood = False
            if is_flood:
                self.connection.close_connection(ErrorCodes.ENHANCE_YOUR_CALM)
                await self._flush()
                await self.send(Closed())
                return
            if isinstance(event, h2.events.PriorityUpdated):
                continue
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                with suppress(ProtocolError):  # it was answered before it had come whole
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                continue
            await super()._handle_events([event])
        await self._flush()

    def _is_unsent(self, stream_id: int) -> bool:
        """Whether some of a stream's response is still to be said, or to be taken by the client."""
        buffer = self.stream_buffers.get(stream_id)
        return stream_id not in self._ended or (buffer is not None and len(buffer.buffer) > 0)

    async def stream_send(self, event: Event) -> None:
        if isinstance(event, EndBody):
            self._ended.add(event.stream_id)
        elif isinstance(event, StreamClosed) and self._is_unsent(event.stream_id):
            with suppress(ProtocolError):  # else the client would wait for the rest without end
                self.connection.reset_stream(event.stream_id, ErrorCodes.CANCEL)
                await self._flush()
            if (buffer := self.stream_buffers.get(event.stream_id)) is not None:
                await buffer.close()
        await super().stream_send(event)
        if isinstance(event, StreamClosed):
            self._ended.discard(event.stream_id)


class Http2Server(TCPServer):
    """Serves one connection that speaks HTTP/2 from its first byte, over TLS.

    `first_request` is how long, in seconds, it may take to ask for something at all.
    """

    first_request: float = 10.0

    async def _idle_timeout(self) -> None:
        is_new = self.protocol.keep_alive_requests == 0  # type: ignore[attr-defined]
        with trio.move_on_after(self.first_request if is_new else self.config.keep_alive_timeout):
            await self.context.terminated.wait()
        with trio.CancelScope(shield=True):
            await self._initiate_server_close()

    async def protocol_send(self, event: IOEvent) -> None:
        if not (isinstance(event, Updated) and self.protocol.closed):  # type: ignore[attr-defined]
            await super().protocol_send(event)

    async def run(self) -> None:
        try:
            sock = self.stream.socket
            async with TaskGroup() as group:
                self._task_group = group
                self.protocol = _Protocol(  # type: ignore[assignment]
                    self.app,
                    self.config,
                    self.context,
                    group,
                    ConnectionState(self.state),
                    True,
                    parse_socket_addr(sock.family, sock.getpeername()),
                    parse_socket_addr(sock.family, sock.getsockname()),
                    self.protocol_send,
                )
                await self.protocol.initiate()
                await self.idle_task.restart(group, self._idle_timeout)
                await self._read_data()
                await self.idle_task.stop()
        except OSError:
            pass
        finally:
            await self._close()
