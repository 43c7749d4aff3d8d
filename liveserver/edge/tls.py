"""TLS for the edge: a socket that behaves like a plain one, handshakes, and certificates.

Rules:

1. After the handshake, a `TLSSocket` is used like a plain non-blocking socket, by the fan-out as well. As
   Python configures OpenSSL, a `send` accepts all or nothing; after nothing, the next `send` has to begin
   with
   the same bytes. All writers here keep what was not accepted and send it first, so this always holds.
2. A handshake runs in the connection's own task; the server's sweep ends slow ones. Its cost is computation,
   so only a few steps run between two checkpoints.
3. The certificate's files are checked every few seconds. New connections use a new certificate; existing ones
   keep theirs. An unusable certificate changes nothing, and is logged.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import structlog
import trio

from liveserver.config import TLSSettings
from liveserver.config.certificates import server_context
from liveserver.edge.connection import Connection
from liveserver.errors import ConfigError, LiveserverError
from liveserver.instruments import gauge, total

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

HTTP2 = "h2"
RECORD = 16 * 1024  # bytes; the rest of a partly read record would not be visible to the selector
HANDSHAKE_STEPS = 8  # steps of handshakes between two checkpoints

log = structlog.get_logger(__name__)


class TLSStatistics(msgspec.Struct, frozen=True):
    """The statistics of the TLS listener."""

    handshakes: Annotated[int, total("Completed handshakes.")]
    handshakes_failed: Annotated[
        int, total("Failed handshakes: aborted, too slow, or without a common version or cipher.")
    ]
    handshaking: Annotated[int, gauge("Connections whose handshake is in progress.")]
    http2: Annotated[int, total("Connections that negotiated HTTP/2.")]
    reloads: Annotated[int, total("New certificates loaded.")]
    reloads_failed: Annotated[
        int, total("New certificates that were unusable; the old one was kept. The log says why.")
    ]
    certificate_expires: Annotated[
        float,
        gauge(
            "When the certificate in use expires, in seconds since 1970.",
            name="certificate_expires_timestamp_seconds",
        ),
    ]


class CertificateExpired(LiveserverError):
    """The certificate in use has expired."""


class TLSSocket(ssl.SSLSocket):
    """A socket whose `send`, `recv`, `shutdown` and `close` are those of a plain non-blocking one."""

    _has_sent_close_notify = False

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        try:
            return self.write(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            raise BlockingIOError from None
        except ValueError as error:  # both sides have sent close_notify
            raise BrokenPipeError from error

    def recv(self, buflen: int = RECORD, flags: int = 0) -> bytes:
        """Receive at most `buflen` bytes, or one record."""
        try:
            return self.read(max(buflen, RECORD))
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None
        except ValueError:
            return b""

    def shutdown(self, how: int) -> None:
        self._send_close_notify()
        socket.socket.shutdown(self, how)

    def close(self) -> None:
        self._send_close_notify()
        super().close()

    def _send_close_notify(self) -> None:
        """Send `close_notify` if there is room, without waiting for the other side's."""
        if not self._has_sent_close_notify and self.version() is not None:
            self._has_sent_close_notify = True
            with suppress(OSError, ValueError):
                self.unwrap()


class TLSAcceptor:
    """Makes the handshakes of the TLS port, and reloads its certificate.

    Creating it raises `ConfigError` if there is no usable certificate.
    """

    def __init__(self, settings: TLSSettings) -> None:
        self._settings = settings
        self._files = self._seen = self._signature()
        self._load()
        self._complaint = ""
        self._steps = trio.Semaphore(HANDSHAKE_STEPS)
        self._handshakes = self._failed = self._under_way = self._http2 = 0
        self._reloads = self._reloads_failed = 0

    def _load(self) -> None:
        context, self._expires = server_context(self._settings)
        context.sslsocket_class = TLSSocket
        context.set_alpn_protocols([HTTP2, "http/1.1"] if self._settings.http2 else ["http/1.1"])
        self._context = context

    async def handshake(self, connection: Connection) -> str | None:
        """Make the handshake, and replace the connection's socket; return the negotiated protocol, if any.

        Raises `OSError`, `trio.ClosedResourceError` if it fails.
        """
        self._under_way += 1
        try:
            sock = self._context.wrap_socket(connection.sock, server_side=True, do_handshake_on_connect=False)
            assert isinstance(sock, TLSSocket)
            connection.sock = sock
            connection.deadline = trio.current_time() + self._settings.handshake_timeout
            await self._do_handshake(connection, sock)
        except (OSError, trio.ClosedResourceError):
            self._failed += 1
            raise
        finally:
            self._under_way -= 1
        self._handshakes += 1
        protocol = sock.selected_alpn_protocol()
        self._http2 += protocol == HTTP2
        return protocol

    async def _do_handshake(self, connection: Connection, sock: TLSSocket) -> None:
        while True:
            left = connection.deadline - trio.current_time()
            connection.deadline = float("inf")  # waiting for the semaphore does not count
            async with self._steps:
                connection.deadline = trio.current_time() + left
                if connection.closed:
                    raise trio.ClosedResourceError
                wait = _step(sock)
                await trio.lowlevel.checkpoint()
            if wait is None:
                return
            await wait(sock)

    async def watch(self) -> None:
        """Check for a new certificate periodically, until cancelled."""
        while True:
            await trio.sleep(self._settings.reload)
            self.check_files()

    def check_files(self) -> None:
        """Load the certificate if its files have changed, and it is usable.

        Files that have just changed are loaded at the next check: they may be incomplete.
        """
        found, before = self._signature(), self._seen
        self._seen = found
        if found == self._files or found != before:
            return
        self._files = found
        try:
            self._load()
        except ConfigError as error:
            self._reloads_failed += 1
            self._complaint = str(error)
            log.warning("certificate_reload_failed", reason=str(error))
        else:
            self._reloads += 1
            self._complaint = ""
            log.info("certificate_reloaded", expires=self._expires.isoformat())

    def _signature(self) -> list[tuple[int, ...]]:
        """Return a value that changes when a file is modified or replaced."""
        signature: list[tuple[int, ...]] = []
        for name in (self._settings.certificate, self._settings.key):
            try:
                stat = Path(name).stat()
            except OSError as error:
                signature.append((error.errno or 0,))
            else:
                signature.append((stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino, stat.st_size))
        return signature

    async def check(self) -> str:
        """Return a warning, for readiness, if a new certificate is unusable. Raises `CertificateExpired`."""
        if self._expires <= datetime.now(UTC):
            raise CertificateExpired(
                f"the certificate expired at {self._expires:%Y-%m-%d %H:%M} UTC; put a new one into "
                f"{self._settings.certificate}" + (f"; {self._complaint}" if self._complaint else "")
            )
        return f"the new certificate cannot be used: {self._complaint}" if self._complaint else ""

    def statistics(self) -> TLSStatistics:
        return TLSStatistics(
            handshakes=self._handshakes,
            handshakes_failed=self._failed,
            handshaking=self._under_way,
            http2=self._http2,
            reloads=self._reloads,
            reloads_failed=self._reloads_failed,
            certificate_expires=self._expires.timestamp(),
        )


def _step(sock: TLSSocket) -> Callable[[TLSSocket], Awaitable[None]] | None:
    """Continue the handshake without blocking; return what to wait for, None if it is complete."""
    try:
        sock.do_handshake()
    except ssl.SSLWantReadError:
        return trio.lowlevel.wait_readable
    except ssl.SSLWantWriteError:
        return trio.lowlevel.wait_writable
    return None
