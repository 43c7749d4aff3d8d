"""TLS in front of the edge: a socket that behaves like a plain one, the handshake, and the certificate.

Rules:

1. After the handshake there is nothing special about a connection: a `TLSSocket` is sent to and received
   from like a plain non-blocking socket, by the fan-out too. OpenSSL, as Python sets it up, either takes
   all of a `send` or remembers that it could not: then the next `send` has to begin with the same bytes.
   Whoever writes here keeps what was not taken and begins with it again, so that holds by itself.
2. A handshake runs in the connection's own task; the server's sweep ends those that take too long. What
   costs time in it is arithmetic, so only a few are worked on between two turns of everybody else.
3. The certificate's files are looked at every few seconds. New connections get what is new; connections
   that are there keep what they began with. What cannot be used changes nothing, and is logged.
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
RECORD = 16 * 1024  # bytes; with less than a whole record read, the rest would hide from the selector
AT_ONCE = 8  # steps of handshakes between two turns of everybody else

log = structlog.get_logger(__name__)


class TLSStatistics(msgspec.Struct, frozen=True):
    """The TLS listener."""

    handshakes: Annotated[int, total("Handshakes that came about.")]
    handshakes_failed: Annotated[
        int, total("Handshakes that did not: broken off, too slow, or without a version or cipher in common.")
    ]
    handshaking: Annotated[int, gauge("Connections whose handshake is under way.")]
    http2: Annotated[int, total("Connections that went on in HTTP/2.")]
    reloads: Annotated[int, total("Times a new certificate was taken.")]
    reloads_failed: Annotated[
        int, total("Times a new certificate could not be used and the old one was kept. The log says why.")
    ]
    certificate_expires: Annotated[
        float,
        gauge(
            "When the certificate in use expires, in seconds since 1970. Renew it before.",
            name="certificate_expires_timestamp_seconds",
        ),
    ]


class CertificateExpired(LiveserverError):
    """Clients refuse the certificate in use."""


class TLSSocket(ssl.SSLSocket):
    """A socket whose `send`, `recv`, `shutdown` and `close` are those of a plain non-blocking one."""

    _has_sent_close_notify = False

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        try:
            return self.write(data)
        except (ssl.SSLWantWriteError, ssl.SSLWantReadError):
            raise BlockingIOError from None
        except ValueError as error:  # both sides have said goodbye
            raise BrokenPipeError from error

    def recv(self, buflen: int = RECORD, flags: int = 0) -> bytes:
        """At most `buflen` bytes, or a record's."""
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
        """Send `close_notify`, if there is room for it, and don't wait for the other side's."""
        if not self._has_sent_close_notify and self.version() is not None:
            self._has_sent_close_notify = True
            with suppress(OSError, ValueError):
                self.unwrap()


class TLSAcceptor:
    """What stands at the TLS port: handshakes, and the certificate that they show.

    Raises `ConfigError` when there is none that can be used.
    """

    def __init__(self, settings: TLSSettings) -> None:
        self._settings = settings
        self._files = self._seen = self._signature()
        self._load()
        self._complaint = ""
        self._gate = trio.Semaphore(AT_ONCE)
        self._handshakes = self._failed = self._under_way = self._http2 = 0
        self._reloads = self._reloads_failed = 0

    def _load(self) -> None:
        context, self._expires = server_context(self._settings)
        context.sslsocket_class = TLSSocket
        context.set_alpn_protocols([HTTP2, "http/1.1"] if self._settings.http2 else ["http/1.1"])
        self._context = context

    async def handshake(self, connection: Connection) -> str | None:
        """Shake hands, and give the connection its new socket; which protocol was agreed on, if any.

        Raises `OSError`, `trio.ClosedResourceError` when nothing comes of it.
        """
        self._under_way += 1
        try:
            sock = self._context.wrap_socket(connection.sock, server_side=True, do_handshake_on_connect=False)
            assert isinstance(sock, TLSSocket)
            connection.sock = sock
            connection.deadline = trio.current_time() + self._settings.handshake_timeout
            await self._shake_hands(connection, sock)
        except (OSError, trio.ClosedResourceError):
            self._failed += 1
            raise
        finally:
            self._under_way -= 1
        self._handshakes += 1
        protocol = sock.selected_alpn_protocol()
        self._http2 += protocol == HTTP2
        return protocol

    async def _shake_hands(self, connection: Connection, sock: TLSSocket) -> None:
        while True:
            left = connection.deadline - trio.current_time()
            connection.deadline = float("inf")  # the wait for a turn is not the client's fault
            async with self._gate:
                connection.deadline = trio.current_time() + left
                if connection.closed:
                    raise trio.ClosedResourceError
                wait = _step(sock)
                await trio.lowlevel.checkpoint()
            if wait is None:
                return
            await wait(sock)

    async def watch(self) -> None:
        """Look for a new certificate again and again."""
        while True:
            await trio.sleep(self._settings.reload)
            self.look()

    def look(self) -> None:
        """Take the certificate that is there now, if it is another one and can be used.

        Files that have just changed are left alone until the next look: they may not be whole yet.
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
        """What changes when a file does, or is another one."""
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
        """For readiness: what is wrong, though it does not keep anybody out yet.

        Raises `CertificateExpired`.
        """
        if self._expires <= datetime.now(UTC):
            raise CertificateExpired(
                f"the certificate has expired at {self._expires:%Y-%m-%d %H:%M} UTC; put a new one into "
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
    """Go on with the handshake as far as it goes: what to wait for then, None when it is done."""
    try:
        sock.do_handshake()
    except ssl.SSLWantReadError:
        return trio.lowlevel.wait_readable
    except ssl.SSLWantWriteError:
        return trio.lowlevel.wait_writable
    return None
