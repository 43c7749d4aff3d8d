"""HTTP/2, by Hypercorn: what it needs to keep our promises on a connection that is held for hours.

Rules:

1. A stream's buffer is bounded. Hypercorn's own lets a sender go on whenever it is looked at, also when
   the client has closed its window; then it would grow with those who don't read.
2. WebSockets are not offered here (RFC 8441): browsers open a connection of HTTP/1.1 for them, which is
   the fast one.
3. A connection whose client resets streams faster than anybody changes videos is closed (CVE-2023-44487).
4. An idle stream is not idle: only a connection without any is closed after a time.
"""

from __future__ import annotations

from contextlib import suppress

import h2.events
import h2.settings
import trio
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError
from hypercorn.config import Config
from hypercorn.events import Closed
from hypercorn.protocol.events import EndBody, Event, StreamClosed
from hypercorn.protocol.h2 import BUFFER_HIGH_WATER, H2Protocol, StreamBuffer
from hypercorn.trio.task_group import TaskGroup
from hypercorn.trio.tcp_server import TCPServer
from hypercorn.typing import ConnectionState
from hypercorn.utils import parse_socket_addr

from liveserver.config import EdgeSettings

RESETS = 200  # by the client, at once; one more every …
RESET_SECONDS = 0.1


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
        self._resets_paid_until = 0.0
        self._ended: set[int] = set()  # streams whose response is whole

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
            if isinstance(event, h2.events.StreamReset):
                now = trio.current_time()
                self._resets_paid_until = max(self._resets_paid_until, now) + RESET_SECONDS
                if self._resets_paid_until > now + RESETS * RESET_SECONDS:
                    await self.send(Closed())
                    return
            if isinstance(event, h2.events.DataReceived) and event.stream_id not in self.streams:
                with suppress(ProtocolError):  # it was answered before it had come whole
                    self.connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                continue
            await super()._handle_events([event])
        await self._flush()

    async def stream_send(self, event: Event) -> None:
        if isinstance(event, EndBody):
            self._ended.add(event.stream_id)
        elif isinstance(event, StreamClosed) and event.stream_id not in self._ended:
            with suppress(ProtocolError):  # else the client would wait for the rest for ever
                self.connection.reset_stream(event.stream_id, ErrorCodes.CANCEL)
                await self._flush()
            if (buffer := self.stream_buffers.get(event.stream_id)) is not None:
                await buffer.close()
        await super().stream_send(event)
        if isinstance(event, StreamClosed):
            self._ended.discard(event.stream_id)


class Http2Server(TCPServer):
    """Serves one connection that speaks HTTP/2 from its first byte, over TLS."""

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
        except OSError:
            pass
        finally:
            await self._close()
