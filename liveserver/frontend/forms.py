"""The wire form of each viewer: what it accepts, compressed if that is switched on."""

from __future__ import annotations

from collections.abc import Callable

from liveserver.config import FrontendSettings
from liveserver.edge.accept import accepts_gzip, preferred
from liveserver.edge.request import Request
from liveserver.frontend.delivery.compressed_answers import VARY_LINE, CompressedAnswers
from liveserver.transport import websocket as wire
from liveserver.transport.compression import MESSAGE_WINDOW_BITS, Deflater
from liveserver.transport.form import HttpForm
from liveserver.transport.ndjson import NDJSON, NDJSON_HTTP10, NDJSON_INTERNAL, NDJSON_INTERNAL_HTTP10
from liveserver.transport.sse import SSE, SSE_HTTP10, SSE_INTERNAL, SSE_INTERNAL_HTTP10


class Forms:
    """The forms of one node. Viewers with the same form share what is rendered and compressed."""

    def __init__(self, settings: FrontendSettings) -> None:
        self.is_compressing = settings.compression == "gzip"
        self.answers = CompressedAnswers(settings.compression_min_size)
        self._gzipped: dict[HttpForm, HttpForm] = {}
        self._varying: dict[HttpForm, HttpForm] = {}
        self._sockets = {False: wire.SOCKET, True: wire.SOCKET_INTERNAL}
        self._deflated = self._sockets
        if self.is_compressing:
            deflater = Deflater(settings.compression_min_size)
            for is_lines in (False, True):
                for is_internal in (False, True):
                    for is_old in (False, True):
                        plain = _plain(is_lines, is_internal, is_old)
                        self._gzipped[plain] = plain.gzipped(deflater)
                        self._varying[plain] = plain.varying()
            deflater = Deflater(settings.compression_min_size, MESSAGE_WINDOW_BITS)
            self._deflated = {key: form.deflated(deflater) for key, form in self._sockets.items()}

    def stream(self, request: Request, *, internal: bool = False) -> HttpForm:
        """Return the streaming form that a client accepts, SSE by default; with `internal`, a moderator's."""
        accept = request.headers.get(b"accept", b"")
        is_lines = (b"*" in accept or b"ndjson" in accept.lower()) and (
            preferred(accept, (SSE.content_type, NDJSON.content_type)) == NDJSON.content_type
        )
        plain = _plain(is_lines, internal, request.version == "1.0")
        if not self.is_compressing:
            return plain
        return (self._gzipped if self.accepts_gzip(request) else self._varying)[plain]

    def accepts_gzip(self, request: Request) -> bool:
        """Return whether answers to this client are compressed."""
        return self.is_compressing and accepts_gzip(request.headers.get(b"accept-encoding", b""))

    def poll_compression(self, request: Request) -> Callable[[bytes], bytes] | None:
        """Return the function that compresses answers to this long-poll, or None.

        Where it depends on the request, its answers are marked as varying.
        """
        if self.accepts_gzip(request):
            return self.answers.compress
        if self.is_compressing:
            request.cors += VARY_LINE
        return None

    def extension(self, request: Request) -> bytes:
        """Return the WebSocket extension to agree to with the client; empty for none."""
        if not self.is_compressing:
            return b""
        from liveserver.transport.permessage_deflate import accepted_offer

        return accepted_offer(request.headers.get(b"sec-websocket-extensions", b""))

    def socket(self, *, is_deflated: bool, internal: bool = False) -> wire.SocketForm:
        """Return the form of a WebSocket."""
        return (self._deflated if is_deflated else self._sockets)[internal]


def _plain(is_lines: bool, is_internal: bool, is_old: bool) -> HttpForm:
    if is_lines:
        if is_internal:
            return NDJSON_INTERNAL_HTTP10 if is_old else NDJSON_INTERNAL
        return NDJSON_HTTP10 if is_old else NDJSON
    if is_internal:
        return SSE_INTERNAL_HTTP10 if is_old else SSE_INTERNAL
    return SSE_HTTP10 if is_old else SSE
