"""NATS JetStream as a sink, at a real nats-server."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import nats
import pytest
import trio

from liveserver.cluster.redis_server import free_port
from liveserver.config import HookEndpointSettings
from liveserver.hooks.nats_stream import open_nats_stream
from liveserver.hooks.sink import Delivery, SinkError
from tests.conftest import Until


class NatsServer:
    """A nats-server with JetStream. Its port is its own, and stays the same over restarts."""

    def __init__(self, directory: Path) -> None:
        self._port = free_port()
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._port}"

    def start(self) -> None:
        program = shutil.which("nats-server", path=str(Path(sys.executable).parent)) or "nats-server"
        listen = ["-a", "127.0.0.1", "-p", str(self._port)]
        self._process = subprocess.Popen(
            [program, *listen, "-js", "-sd", str(self._directory), "-l", str(self._directory / "log")]
        )

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[NatsServer]:
    made = NatsServer(tmp_path)
    made.start()
    yield made
    made.kill()


def delivery(number: int) -> Delivery:
    return Delivery(f"msg_{number}", "comment.created", "v", json.dumps({"n": number}).encode())


def make_stream(url: str) -> None:
    async def make() -> None:
        client = await nats.connect(url)
        await client.jetstream().add_stream(name="HOOKS", subjects=["site.>"])
        await client.close()

    asyncio.run(make())


def kept(url: str) -> list[tuple[str, int]]:
    """The subjects and numbers of what the stream has."""

    async def read() -> list[tuple[str, int]]:
        client = await nats.connect(url)
        info = await client.jetstream().stream_info("HOOKS")
        found = []
        for number in range(1, info.state.messages + 1):
            message = await client.jetstream().get_msg("HOOKS", number)
            found.append((message.subject or "", json.loads(message.data or b"")["n"]))
        await client.close()
        return found

    return asyncio.run(read())


@pytest.mark.process
async def test_messages_are_kept_once_and_in_order_over_a_restart(server: NatsServer, until: Until) -> None:
    endpoint = HookEndpointSettings(url=server.url, stream="site")
    async with open_nats_stream(endpoint, 5.0, "") as sink:

        async def is_reached() -> bool:
            try:
                await sink.check()
            except SinkError:
                return False
            return True

        await until(is_reached)
        with pytest.raises(SinkError) as caught:  # no stream would keep it
            await sink.deliver(delivery(0))
        assert not caught.value.is_refused
        await trio.to_thread.run_sync(make_stream, server.url)
        for number in (1, 2, 2, 3):
            await sink.deliver(delivery(number))
        server.kill()
        with pytest.raises(SinkError):
            await sink.deliver(delivery(4))
        server.start()
        await until(is_reached)

        async def is_kept() -> bool:  # the stream is there a moment after the server
            try:
                await sink.deliver(delivery(4))
            except SinkError:
                return False
            return True

        await until(is_kept)
        found = await trio.to_thread.run_sync(kept, server.url)
    assert found == [("site.comment.created", number) for number in (1, 2, 3, 4)]


async def test_after_a_cancelled_delivery_and_a_failed_one_the_next_is_tried() -> None:
    endpoint = HookEndpointSettings(url="nats://user:secret-word@127.0.0.1:1")
    async with open_nats_stream(endpoint, 5.0, "") as sink:
        with trio.move_on_after(0):
            await sink.deliver(delivery(1))
        with pytest.raises(SinkError) as caught:
            await sink.deliver(delivery(1))
        assert "secret-word" not in str(caught.value)
