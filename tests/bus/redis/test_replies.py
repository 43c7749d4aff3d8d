"""Another server answers instead of Redis: the error is raised in time, and the bus recovers."""

from __future__ import annotations

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest
import trio

from liveserver.bus.redis.bus import RedisBus
from liveserver.config import BusSettings, Duration, HistorySettings
from liveserver.errors import BusError
from tests.bus.harness import parcel

pytestmark = pytest.mark.slow

ANSWERS = {
    "another protocol": b"HTTP/1.1 400 Bad Request\r\n\r\n",
    "bytes": bytes(range(256)) * 4,
    "nothing": b"",
    "the end": b"end",
    "an error": b"-ERR what?\r\n",
    "always OK": b"+OK\r\n" * 20,
    "a null": b"$-1\r\n" * 20,
    "a number": b":1\r\n" * 20,
    "a string": b"$5\r\nhello\r\n" * 20,
    "a list": b"*2\r\n$1\r\na\r\n$1\r\nb\r\n" * 20,
    "lists in lists": b"*1\r\n" * 5000,
    "a huge string begun": b"$536870912\r\nx",
    "a string beyond 64 bits": b"$99999999999999999999999\r\n",
    "a negative length": b"$-7\r\n",
    "a huge list begun": b"*100000000\r\n",
    "a list beyond 64 bits": b"*99999999999999999999999\r\n",
    "an unrequested message": b"*3\r\n$7\r\nmessage\r\n$1\r\nx\r\n:5\r\n" * 5,
}
MOST = 200 * 1024  # KB that the process may grow by


@contextmanager
def answering(answer: bytes) -> Iterator[int]:
    """A server that says this to whatever comes; its port."""

    def serve(sock: socket.socket) -> None:
        with closing(sock):
            try:
                while sock.recv(65536) and answer != b"end":
                    sock.sendall(answer)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[sock], daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
    thread.join()


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
async def test_a_malformed_reply_is_an_error_in_bounded_time(answer: bytes) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with answering(answer) as port:
        settings = BusSettings(
            kind="redis", url=f"redis://:hunter2@127.0.0.1:{port}/0", timeout=Duration(0.3)
        )
        async with RedisBus.open("dc1", settings, HistorySettings()) as bus:
            for call in (
                lambda: bus.append([parcel("v", "a")]),
                lambda: bus.subscribe("n", {"v": 1}, 30),
                lambda: bus.read("v", 0, 10),
            ):
                with trio.fail_after(60), pytest.raises(BusError) as received:
                    await call()
                assert "hunter2" not in str(received.value)
                assert str(port) in str(received.value)
            with trio.fail_after(60), pytest.raises(BusError):
                async with bus.inbox("n"):
                    pass
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < MOST
