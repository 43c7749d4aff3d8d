"""The attacks of `bench.hostile`: hostile clients of every known kind.

Each runs one round of its attack and returns the faults found, if any.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass

import h2.connection
import h2.exceptions
from h2.settings import SettingCodes

from bench.harness import HOST

VICTIM = "/v1/videos/victim"  # not the bystander's video: it has nothing to read of the attacks
HEAD = f"Host: {HOST}\r\n"


@dataclass(frozen=True)
class Target:
    """Where the node listens."""

    port: int
    tls_port: int


def connect(target: Target) -> socket.socket:
    return socket.create_connection((HOST, target.port), timeout=5)


def publish(target: Target, bodies: list[str]) -> list[int]:
    """Publish each body; return the statuses."""
    connection, found = http.client.HTTPConnection(HOST, target.port, timeout=5), []
    for body in bodies:
        connection.request(
            "POST",
            f"{VICTIM}/events",
            body.encode("utf-8", "surrogatepass"),
            {"content-type": "application/json"},
        )
        answer = connection.getresponse()
        answer.read()
        found.append(answer.status)
    return found


def bad_events(target: Target) -> str:
    types = ["error", "refused", "state", "ready", "gap", "bye", "open", "close", "message", "pong", "events"]
    data = ["1e999", "9" * 5_000, '{"a":1,"a":2}', '"\\ud800"', "[" * 10_000, "NaN"]
    bodies = [f'{{"type":"{kind}"}}' for kind in types] + [f'{{"type":"x","data":{each}}}' for each in data]
    statuses = publish(target, bodies)
    return "" if set(statuses) == {400} else f"accepted: {statuses}"


def bad_requests(target: Target) -> str:
    post = f"POST {VICTIM}/events HTTP/1.1\r\n"
    chunked = post + HEAD + "Transfer-Encoding: chunked\r\n\r\n"
    wires = [
        chunked + text
        for text in ("f \r\n", "f;;;\r\n", "0\r\nA\r\n\r\n", "5;a\0\r\n", "0\r\nHost: x\r\n\r\n")
    ]
    wires += [
        post + "Host: a b\r\n\r\n",
        f"GET * HTTP/1.1\r\n{HEAD}\r\n",
        post + HEAD + "Content_Length: 5\r\n\r\n",
    ]
    for wire in wires:
        with connect(target) as sock:
            sock.sendall(wire.encode())
            if not (answer := sock.recv(100)).startswith(b"HTTP/1.1 400 "):
                return f"{wire!r} was answered {answer!r}"
    with connect(target) as sock:
        sock.sendall(
            f"GET /%0a%1b HTTP/1.1\r\n{HEAD}Connection: upgrade\r\nUpgrade: websocket\r\n\r\n".encode()
        )
        if not (answer := sock.recv(100)).startswith(b"HTTP/1.1 404 "):
            return f"a WebSocket nowhere was answered {answer!r}"
    with connect(target) as sock:
        sock.sendall(f"POST {VICTIM}/events HTTP/1.1\r\nHost: evil.example\r\n\r\n".encode())
        if not (answer := sock.recv(100)).startswith(b"HTTP/1.1 421 "):
            return f"another host was answered {answer!r}"
    return ""


def pipelines(target: Target) -> str:
    wire = f"GET {VICTIM}/poll?cursor=earliest HTTP/1.1\r\n{HEAD}\r\n".encode() * 500
    with ExitStack() as stack:
        socks = [stack.enter_context(connect(target)) for _ in range(16)]
        for sock in socks:
            sock.setblocking(False)
        for _ in range(20):
            for sock in socks:
                with suppress(BlockingIOError):
                    sock.send(wire)
                with suppress(BlockingIOError):
                    sock.recv(1 << 20)
            time.sleep(0.01)
    return ""


def announced_bodies(target: Target) -> str:
    begun = f"POST {VICTIM}/events HTTP/1.1\r\n{HEAD}Content-Length: 4194304\r\n\r\n"
    large = "[" + ",".join([json.dumps({"type": "like", "data": "x" * 15_000})] * 10) + "]"
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connect(target)).sendall(begun.encode())
        statuses = publish(target, [large] * 3)
    return "" if statuses == [202] * 3 else f"a body was answered {statuses} beside announced ones"


def tiny_chunks(target: Target) -> str:
    wire = f"POST {VICTIM}/events HTTP/1.1\r\n{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode()
    with connect(target) as sock, suppress(OSError):
        sock.sendall(wire + b"1\r\nx\r\n" * 100_000)
        sock.recv(100)
    return ""


def silent_connections(target: Target) -> str:
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(connect(target))
        time.sleep(0.5)
    return ""


def made_up_cursors(target: Target) -> str:
    connection = http.client.HTTPConnection(HOST, target.port, timeout=5)
    for number in range(300):
        connection.request("GET", f"/v1/videos/new{number}/poll?cursor=dc9-zzzzz-999999999&wait=0")
        answer = connection.getresponse()
        answer.read()
        if answer.status not in (200, 429, 503):
            return f"a made-up cursor was answered {answer.status}"
    return ""


def made_up_marks(target: Target) -> str:
    """Resume at the beginning of a log, beside a mark of an origin that never sends anything."""
    body = json.dumps([{"type": "comment", "data": "x" * 100}] * 1_000)
    publish(target, [body])
    ask = f"GET {VICTIM}/events?cursor=dc9-zzzzz-999999999 HTTP/1.1\r\n{HEAD}\r\n".encode()
    with ExitStack() as stack:
        socks = [stack.enter_context(connect(target)) for _ in range(300)]
        for sock in socks:
            sock.sendall(ask)
            sock.setblocking(False)
        for _ in range(20):
            for sock in socks:
                with suppress(BlockingIOError):
                    sock.recv(1 << 18)
            time.sleep(0.05)
    return ""


class Http2:
    """A client of HTTP/2 without flow control or limits."""

    def __init__(self, target: Target) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        plain = socket.create_connection((HOST, target.tls_port), timeout=5)
        self.sock = context.wrap_socket(plain, server_hostname="localhost")
        self.h2 = h2.connection.H2Connection()
        self.h2.initiate_connection()

    def request(self, number: int, path: str) -> None:
        self.h2.send_headers(
            1 + 2 * number,
            [(":method", "GET"), (":scheme", "https"), (":authority", "localhost"), (":path", path)],
            end_stream=True,
        )

    def flush(self) -> None:
        with suppress(OSError):
            self.sock.sendall(self.h2.data_to_send())


def untaken_answers(target: Target) -> str:
    for _ in range(4):
        client = Http2(target)
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 0})
        for number in range(20):
            client.request(number, f"{VICTIM}/poll?replay=200")
        client.flush()
        time.sleep(0.3)
        client.sock.close()
    return ""


def http2_floods(target: Target) -> str:
    for kind in ("priority", "ping", "settings", "reset"):
        client = Http2(target)
        with suppress(h2.exceptions.ProtocolError):
            for number in range(3_000):
                if kind == "priority":
                    client.h2.prioritize(1 + 2 * number, weight=1 + number % 256)
                elif kind == "ping":
                    client.h2.ping(b"12345678")
                elif kind == "settings":
                    client.h2.update_settings({SettingCodes.MAX_FRAME_SIZE: 16_384 + number % 2})
                elif number < 300:
                    client.request(number, f"{VICTIM}/poll")
                    client.h2.reset_stream(1 + 2 * number)
        client.flush()
        time.sleep(0.3)
        client.sock.close()
    return ""


ATTACKS: dict[str, Callable[[Target], str]] = {
    "events that break clients": bad_events,
    "requests read in two ways": bad_requests,
    "pipelined polls": pipelines,
    "announced bodies": announced_bodies,
    "bodies of tiny chunks": tiny_chunks,
    "silent connections": silent_connections,
    "made-up cursors, new videos": made_up_cursors,
    "made-up marks, from the start": made_up_marks,
    "HTTP/2 answers not taken": untaken_answers,
    "HTTP/2 floods": http2_floods,
}
