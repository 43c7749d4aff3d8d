"""nginx, HAProxy and Caddy with the files of `config/deploy`, in front of upstreams that record requests.

Only addresses and the certificate's path are replaced in those files. The two upstreams are 127.0.0.1 and
127.0.0.2 at one port, with `/readyz` at another one, as two machines would be.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import h11
import trio
import trustme

from liveserver.cluster.redis_server import free_port

DEPLOY = Path(__file__).parents[2] / "config" / "deploy"
HOST = "live.example.com"
MACHINES = ("127.0.0.1", "127.0.0.2")
SBIN = f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"

Handler = Callable[[trio.SocketStream], Coroutine[object, object, None]]

READY = b'id: dc1-a-1\nevent: ready\ndata: {"video":"v"}\n\n'


@dataclass
class Answer:
    """A response; of a stream, its bytes up to the first empty line."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Upstream:
    """A machine with a frontend, which can be taken down and brought back."""

    host: str
    port: int
    ready_port: int
    seen: list[h11.Request] = field(default_factory=list)
    answer: Callable[[h11.Request], int] = lambda _request: 200  # the status; 0: close without an answer
    streams: int = 0
    _scope: trio.CancelScope | None = None

    def start(self, nursery: trio.Nursery) -> None:
        self._scope = trio.CancelScope()
        listening: list[tuple[trio.SocketListener, Handler]] = [
            (_listener(self.host, self.port), self._serve),
            (_listener(self.host, self.ready_port), self._ready),
        ]
        nursery.start_soon(self._run, self._scope, listening)

    def stop(self) -> None:
        assert self._scope is not None
        self._scope.cancel()

    async def _run(
        self, scope: trio.CancelScope, listening: list[tuple[trio.SocketListener, Handler]]
    ) -> None:
        with scope:
            async with trio.open_nursery() as nursery:
                for listener, handler in listening:
                    nursery.start_soon(partial(trio.serve_listeners, handler, [listener]))

    async def _ready(self, stream: trio.SocketStream) -> None:
        await self._talk(stream, lambda _request: (200, b"{}"))

    async def _serve(self, stream: trio.SocketStream) -> None:
        def respond(request: h11.Request) -> tuple[int, bytes]:
            self.seen.append(request)
            return self.answer(request), b"{}"

        await self._talk(stream, respond)

    async def _talk(
        self, stream: trio.SocketStream, respond: Callable[[h11.Request], tuple[int, bytes]]
    ) -> None:
        connection = h11.Connection(h11.SERVER)
        with suppress(trio.BrokenResourceError, trio.ClosedResourceError, h11.RemoteProtocolError):
            while True:
                event = await _next_event(connection, stream)
                if isinstance(event, h11.Request):
                    request = event
                elif isinstance(event, h11.EndOfMessage):
                    status, body = respond(request)
                    if status == 0:
                        break
                    if status == 200 and request.target.split(b"?")[0].endswith(b"/events"):
                        await self._stream(connection, stream)
                        break
                    length = [("content-length", str(len(body))), ("content-type", "application/json")]
                    await stream.send_all(
                        connection.send(h11.Response(status_code=status, headers=length)) or b""
                    )
                    await stream.send_all(connection.send(h11.Data(data=body)) or b"")
                    await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
                    if connection.our_state is h11.MUST_CLOSE:
                        break
                    connection.start_next_cycle()
                elif isinstance(event, h11.ConnectionClosed):
                    break
        await trio.aclose_forcefully(stream)

    async def _stream(self, connection: h11.Connection, stream: trio.SocketStream) -> None:
        head = h11.Response(
            status_code=200, headers=[("content-type", "text/event-stream"), ("transfer-encoding", "chunked")]
        )
        await stream.send_all(connection.send(head) or b"")
        await stream.send_all(connection.send(h11.Data(data=READY)) or b"")
        self.streams += 1
        try:
            while await stream.receive_some():
                pass
        finally:
            self.streams -= 1


def _listener(host: str, port: int) -> trio.SocketListener:
    sock = trio.socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock._sock.bind((host, port))  # type: ignore[attr-defined]  # numeric: nothing to wait for
    sock.listen(64)
    return trio.SocketListener(sock)


async def _next_event(connection: h11.Connection, stream: trio.abc.ReceiveStream) -> object:
    while (event := connection.next_event()) is h11.NEED_DATA:
        connection.receive_data(bytes(await stream.receive_some()))
    return event


class Proxy:
    """One of the proxies, as a process, and a client of it."""

    def __init__(self, name: str, folder: Path, port: int, ca: trustme.CA, upstreams: list[Upstream]) -> None:
        self.name, self.port, self.upstreams = name, port, upstreams
        self._folder = folder
        self.context = ssl.create_default_context()
        ca.configure_trust(self.context)
        self.process: subprocess.Popen[bytes] | None = None

    async def ask(
        self,
        method: str,
        target: str,
        *headers: tuple[str, str],
        host: str | None = None,
        body: bytes = b"",
    ) -> Answer:
        """Send one request over a new connection, with the target unchanged; return the response."""
        with trio.fail_after(60):
            async with await self.connect() as stream:
                return await self.exchange(stream, method, target, *headers, host=host, body=body)

    async def connect(self) -> trio.SSLStream[trio.SocketStream]:
        tcp = await trio.open_tcp_stream("127.0.0.1", self.port)
        stream = trio.SSLStream(tcp, self.context, server_hostname=HOST, https_compatible=True)
        try:
            await stream.do_handshake()
        except BaseException:
            await trio.aclose_forcefully(stream)
            raise
        return stream

    async def exchange(
        self,
        stream: trio.SSLStream[trio.SocketStream],
        method: str,
        target: str,
        *headers: tuple[str, str],
        host: str | None = None,
        body: bytes = b"",
    ) -> Answer:
        connection = h11.Connection(h11.CLIENT)
        said = [("host", host or f"{HOST}:{self.port}"), *headers]
        if body:
            said += [("content-length", str(len(body))), ("content-type", "application/json")]
        await stream.send_all(connection.send(h11.Request(method=method, target=target, headers=said)) or b"")
        if body:
            await stream.send_all(connection.send(h11.Data(data=body)) or b"")
        await stream.send_all(connection.send(h11.EndOfMessage()) or b"")
        answer = Answer(0, {}, b"")
        while True:
            event = await _next_event(connection, stream)
            if isinstance(event, h11.Response | h11.InformationalResponse):
                answer.status = event.status_code
                answer.headers = {name.decode(): value.decode() for name, value in event.headers}
                if isinstance(event, h11.InformationalResponse):
                    return answer
            elif isinstance(event, h11.Data):
                answer.body += event.data
                if answer.headers.get("content-type") == "text/event-stream" and b"\n\n" in answer.body:
                    return answer
            else:
                return answer

    async def wait_listening(self) -> bool:
        """Wait until it listens; return False if it ended, for example as its port was taken."""
        assert self.process is not None
        with trio.fail_after(60):
            while self.process.poll() is None:
                with suppress(OSError, trio.BrokenResourceError):
                    async with await self.connect():
                        return True
                await trio.sleep(0.02)
        return False

    async def end(self) -> int:
        """Terminate it as an operating system does; return its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return await trio.to_thread.run_sync(self.process.wait, abandon_on_cancel=True)


def program(name: str) -> str | None:
    return shutil.which(name, path=SBIN)


@asynccontextmanager
async def run_proxy(
    name: str, folder: Path, *edits: tuple[str, str], upstreams: list[Upstream] | None = None
) -> AsyncIterator[tuple[Proxy, trio.Nursery]]:
    """Yield the proxy with its file from `config/deploy`, some of it replaced, and two running upstreams."""
    ca = trustme.CA()
    certificate = folder / "live.pem"
    ca.issue_cert(HOST).private_key_and_cert_chain_pem.write_to_path(certificate)
    port_up, port_ready = (upstreams[0].port, upstreams[0].ready_port) if upstreams else two_ports()
    own = upstreams is None
    upstreams = upstreams or [Upstream(host, port_up, port_ready) for host in MACHINES]
    async with AsyncExitStack() as stack:
        nursery = await stack.enter_async_context(trio.open_nursery())
        stack.callback(nursery.cancel_scope.cancel)
        if own:
            for upstream in upstreams:
                upstream.start(nursery)
        for _attempt in range(5):
            proxy = Proxy(name, folder, free_port(), ca, upstreams)
            text = _configuration(name, certificate, proxy.port, port_up, port_ready)
            for old, new in edits:
                assert old in text, old
                text = text.replace(old, new)
            proxy.process = _start(name, folder, text)
            stack.callback(_stop, proxy.process)
            if await proxy.wait_listening():
                break
        else:
            raise AssertionError(f"{name} does not start: {(folder / 'log').read_text()}")
        yield proxy, nursery


def two_ports() -> tuple[int, int]:
    """Return two ports that are free at both machines."""
    found: list[int] = []
    while len(found) < 2:
        port = free_port()
        with suppress(OSError), socket.create_server((MACHINES[1], port)):
            found.append(port)
    return found[0], found[1]


def _configuration(name: str, certificate: Path, port: int, port_up: int, port_ready: int) -> str:
    text = (
        DEPLOY / {"nginx": "nginx.conf", "haproxy": "haproxy.cfg", "caddy": "Caddyfile"}[name]
    ).read_text()
    for number, host in zip(("10.0.0.11", "10.0.0.12"), MACHINES, strict=True):
        text = text.replace(f"{number}:8101", f"{host}:{port_up}")
    if name == "nginx":
        text = text.replace("listen 443 ssl", f"listen 127.0.0.1:{port} ssl")
        text = re.sub(r"/etc/ssl/live\.example\.com\.(pem|key)", str(certificate), text)
        user = "user root;" if os.geteuid() == 0 else ""
        paths = "".join(
            f"{kind}_temp_path {certificate.parent}/{kind};"
            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return (
            f"daemon off; {user} pid {certificate.parent}/pid; error_log stderr; worker_processes 1;\n"
            f"events {{ worker_connections 1024; }}\nhttp {{ access_log off; {paths}\n{text}\n}}\n"
        )
    if name == "haproxy":
        text = text.replace("bind :443", f"bind 127.0.0.1:{port}").replace("port 9101", f"port {port_ready}")
        text = text.replace("maxconn 120000", "maxconn 1000").replace("ulimit-n 262144", "")
        return text.replace("/etc/ssl/live.example.com.pem", str(certificate))
    text = text.replace("health_port 9101", f"health_port {port_ready}")
    text = text.replace(
        "live.example.com {", f"https://{HOST}:{port} {{\n\ttls {certificate} {certificate}\n", 1
    )
    return text.replace("{\n", "{\n\tadmin off\n\tauto_https off\n", 1)


def _start(name: str, folder: Path, text: str) -> subprocess.Popen[bytes]:
    file = folder / f"{name}.conf"
    file.write_text(text)
    path = program(name)
    assert path is not None
    command = {
        "nginx": [path, "-p", str(folder), "-c", str(file)],
        "haproxy": [path, "-db", "-f", str(file)],
        "caddy": [path, "run", "--config", str(file), "--adapter", "caddyfile"],
    }[name]
    environment = os.environ | {"XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with (folder / "log").open("wb") as log:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)


def _stop(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(3)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
