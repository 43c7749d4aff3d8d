"""HTTP/2, by Hypercorn, with the changes that connections held for hours need.

Rules:

1. A stream's buffer is bounded. Hypercorn's own resumes the sender whenever it is checked, even if the
   client has closed its window; it would grow for clients that do not read.
2. WebSockets are not offered here (RFC 8441): browsers use an HTTP/1.1 connection for them, which is faster.
3. A connection is closed if its client resets streams at an implausible rate (CVE-2023-44487), or sends many
   frames that only cause work: pings, settings, empty data. Priorities are ignored (RFC 9113 §5.3).
4. Only a connection without streams is idle, and closed after a time, or when others need its place.
5. When a connection or stream ends, everything that waits for its window ends: nothing is kept for a client
   that has disconnected or accepts nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

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
from liveserver.edge.server_interface import Http2Client
from liveserver.token_bucket import TokenBucket

RESETS = 200  # burst of resets by the client; one more every …
RESET_SECONDS = 0.1
FRAMES = 1_000  # burst of frames without content; one more every …
FRAME_SECONDS = 0.01
RECEIVE_BYTES = 4 * 1024  # between two checkpoints: some hundred of the smallest frames


def http2_config(settings: EdgeSettings) -> Config:
    """Return Hypercorn's configuration, with our limits."""
    config = Config()
    config.h2_max_concurrent_streams = settings.http2_streams
    config.h2_max_header_list_size = settings.max_header_size
    config.keep_alive_timeout = settings.keep_alive
    config.keep_alive_max_requests = 2**31  # open streams would be cut off
    config.read_timeout = None  # viewers send nothing
    config.include_server_header = False
    config.accesslog = config.errorlog = None
    return config


class BoundedBuffer(StreamBuffer):
    """A stream's bytes to be sent."""

    async def push(self, data: bytes) -> None:
        """Add data, and wait until there is room for more."""
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
        self._ended: set[int] = set()  # streams whose response is complete

    async def handle(self, event: IOEvent) -> None:
        """Process received bytes in pieces; at the end, close all buffers."""
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
                is_flood = not self._frames.acquire(trio.current_time())
            elif isinstance(event, h2.events.StreamReset):
                is_flood = not self._resets.acquire(trio.current_time())
            elif isinstance(event, _COSTLY) or (isinstance(event, h2.events.DataReceived) and not event.data):
                is_flood = not self._frames.acquire(trio.current_time())
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
                with suppress(ProtocolError):  # answered before all of it had arrived
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                continue
            await super()._handle_events([event])
        await self._flush()

    async def send_goaway(self) -> None:
        with suppress(ProtocolError):
            self.connection.close_connection()
            await self._flush()

    def _is_unsent(self, stream_id: int) -> bool:
        """Return whether a stream's response is not sent completely."""
        buffer = self.stream_buffers.get(stream_id)
        return stream_id not in self._ended or (buffer is not None and len(buffer.buffer) > 0)

    async def stream_send(self, event: Event) -> None:
        if isinstance(event, EndBody):
            self._ended.add(event.stream_id)
        elif isinstance(event, StreamClosed) and self._is_unsent(event.stream_id):
            with suppress(ProtocolError):  # otherwise the client would wait for the rest indefinitely
                self.connection.reset_stream(event.stream_id, ErrorCodes.CANCEL)
                await self._flush()
            if (buffer := self.stream_buffers.get(event.stream_id)) is not None:
                await buffer.close()
        await super().stream_send(event)
        if isinstance(event, StreamClosed):
            self._ended.discard(event.stream_id)


class Http2Server(TCPServer):
    """Serves one HTTP/2 connection over TLS.

    `first_request` is the time, in seconds, within which its first request has to arrive.
    """

    first_request: float = 10.0
    client: Http2Client | None = None

    async def _idle_timeout(self) -> None:
        is_new = self.protocol.keep_alive_requests == 0  # type: ignore[attr-defined]
        timeout = self.first_request if is_new else self.config.keep_alive_timeout
        with trio.move_on_after(timeout) as waiting, self._idle(waiting.cancel):
            await self.context.terminated.wait()
        with trio.CancelScope(shield=True):
            await self._initiate_server_close()

    async def _initiate_server_close(self) -> None:
        """Close the connection; its client learns that a request that it has just sent was not processed."""
        await self.protocol.send_goaway()  # type: ignore[attr-defined]
        await super()._initiate_server_close()

    @contextmanager
    def _idle(self, close: Callable[[], None]) -> Iterator[None]:
        """Mark the connection as idle for the duration of the block."""
        if self.client is None:
            yield
            return
        self.client.set_idle(close)
        try:
            yield
        finally:
            self.client.set_busy(close)

    async def protocol_send(self, event: IOEvent) -> None:
        if not (isinstance(event, Updated) and self.protocol.closed):  # type: ignore[attr-defined]
            await super().protocol_send(event)

    async def run(self) -> None:
        try:
            sock = self.stream.socket
            client = parse_socket_addr(sock.family, sock.getpeername())  # fails if it has disconnected
            ours = parse_socket_addr(sock.family, sock.getsockname())
            async with TaskGroup() as group:
                self._task_group = group
                self.protocol = _Protocol(  # type: ignore[assignment]
                    self.app,
                    self.config,
                    self.context,
                    group,
                    ConnectionState(self.state),
                    True,
                    client,
                    ours,
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
