from __future__ import annotations

import random
import zlib
from typing import Any

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked
from wsproto.events import AcceptConnection, CloseConnection, Request
from wsproto.extensions import PerMessageDeflate

from liveserver.config import Settings
from liveserver.transport.compression import GZIP_HEADER, Deflater
from liveserver.transport.form import Reason
from tests.frontend.fakes import SocketClient
from tests.frontend.harness import Client, Stage, settings, stage

GZIP = "accept-encoding: gzip, deflate, br"
NDJSON = "accept: application/x-ndjson"


def compressing(**sections: dict[str, Any]) -> Settings:
    sections["frontend"] = {"compression": "gzip"} | sections.get("frontend", {})
    return settings(**sections)


class GzipClient(Client):
    """A client that decompresses each chunk as it arrives."""

    _decoder: Any = None

    async def chunk(self) -> bytes:
        compressed = await super().chunk()
        if self._decoder is None:
            assert compressed.startswith(GZIP_HEADER)
            self._decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
        found: bytes = self._decoder.decompress(compressed)
        assert bool(found) is bool(compressed)
        return found


async def watch(on: Stage, query: str = "", *headers: str, **buffers: int) -> Client:
    """A client on a compressed event stream, behind its head."""
    client = on.connect(**buffers)
    client.__class__ = GzipClient
    await client.get(f"/v1/videos/v/events{query}", GZIP, *headers)
    head = await client.head()
    assert "content-encoding: gzip\r\nvary: accept-encoding" in head
    return client


async def connect(on: Stage, **buffers: int) -> SocketClient:
    """A WebSocket with `permessage-deflate`."""
    client = SocketClient(on.connect(**buffers))
    request = Request(host="test", target="/v1/ws", extensions=[PerMessageDeflate()])
    await client.client.sock.send(client._protocol.send(request))
    accepted = await client.event()
    assert isinstance(accepted, AcceptConnection)
    assert accepted.extensions
    return client


@pytest.mark.parametrize(
    ("version", "headers", "coding", "vary"),
    [
        ("1.1", (GZIP,), True, True),
        ("1.0", (GZIP,), True, True),
        ("1.1", (), False, True),
        ("1.1", ("accept-encoding: identity",), False, True),
        ("1.1", ("accept-encoding: gzip;q=0, *",), False, True),
        ("1.1", ("accept-encoding: gzip;q=0.5, identity",), False, True),
        ("1.1", ("accept-encoding: gzip;q=0.5, identity;q=0.1",), True, True),
        ("1.1", ("accept-encoding: br, *;q=0.1",), True, True),
        ("1.1", (GZIP, NDJSON), True, True),
    ],
)
async def test_negotiation(
    version: str, headers: tuple[str, ...], coding: bool, vary: bool, autojump_clock: MockClock
) -> None:
    async with stage(compressing()) as on:
        client = on.connect()
        await client.get("/v1/videos/v/events", *headers, version=version)
        head = await client.head()
        assert ("content-encoding: gzip" in head, "vary: accept-encoding" in head) == (coding, vary)
        client = on.connect()
        await client.sock.send(f"HEAD /v1/videos/v/events HTTP/1.1\r\nhost: x\r\n{GZIP}\r\n\r\n".encode())
        assert "content-encoding: gzip" in await client.head()


async def test_off_by_default(autojump_clock: MockClock) -> None:
    async with stage() as on:
        client = await on.watch("v", "", GZIP)
        assert (await client.event()).type == "ready"
        socket = SocketClient(on.connect())
        request = Request(host="test", target="/v1/ws", extensions=[PerMessageDeflate()])
        await socket.client.sock.send(socket._protocol.send(request))
        accepted = await socket.event()
        assert isinstance(accepted, AcceptConnection)
        assert not accepted.extensions


async def test_compressed_viewers_receive_what_the_others_do(autojump_clock: MockClock) -> None:
    """At whatever moment they join, also when they are slow."""
    rng = random.Random(7)
    async with stage(compressing(frontend={"max_write": 3000, "segment_size": 3})) as on:
        first = await on.publish(1)
        plain = await on.watch("v", f"?cursor=dc1-{first.epoch}-0")
        streams = [await watch(on, "?cursor=earliest")]
        slow = await watch(on, "?cursor=earliest", receive_buffer=4096, send_buffer=4096)
        sockets = [await connect(on)]
        await sockets[0].watch("v", cursor="earliest")
        published, begins = 1, [0]
        for step in range(60):
            published += (count := rng.choice((1, 1, 2, 9, 40)))
            receipt = await on.publish(count, padding=rng.choice((0, 3, 200)))
            if step % 10 == 4:
                at = rng.randrange(published)
                streams.append(await watch(on, f"?cursor=dc1-{receipt.epoch}-{at}"))
                sockets.append(await connect(on))
                await sockets[-1].watch("v", cursor=f"dc1-{receipt.epoch}-{at}")
                begins.append(at)
            if rng.random() < 0.5:
                await trio.sleep(rng.random() * 0.05)
        all_events = list(range(1, published + 1))
        expected = []
        for client in [plain, *streams, slow]:
            assert (await client.event()).type == "ready"
        for _ in all_events:
            expected.append(await plain.event())
        for begin, stream, socket in zip(begins, streams, sockets, strict=True):
            assert [await stream.event() for _ in all_events[begin:]] == expected[begin:]
            assert await socket.events(published - begin) == all_events[begin:]
        assert [await slow.event() for _ in all_events] == expected
        assert on.frontend.fanout.statistics().fell_behind > 0


async def test_each_chunk_is_compressed_once(
    autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    compressed: list[bytes] = []
    deflate = Deflater.deflate

    def counting(self: Deflater, data: bytes) -> bytes:
        compressed.append(data)
        return deflate(self, data)

    monkeypatch.setattr(Deflater, "deflate", counting)
    async with stage(compressing(frontend={"segment_size": 3})) as on:
        await on.publish_keyed("k", '"%s"' % ("s" * 1000), at=1)
        plain = await on.watch()
        assert [(await plain.event()).type for _ in range(2)] == ["ready", "state"]
        await on.publish(20)
        assert await plain.events(20) == list(range(2, 22))
        assert not compressed  # no viewer accepts it
        streams = [await watch(on) for _ in range(10)]
        for stream in streams:
            assert [(await stream.event()).type for _ in range(2)] == ["ready", "state"]
        assert len(compressed) == 1  # the state
        sockets = [await connect(on) for _ in range(10)]
        for socket in sockets:
            await socket.watch()
            assert (await socket.message())[0] == "state"
        assert len(compressed) == 2
        await on.publish(20)
        for stream, socket in zip(streams, sockets, strict=True):
            assert await stream.events(20) == await socket.events(20) == list(range(22, 42))
        assert len(compressed) == 4


async def test_gap_state_heartbeat_and_bye(autojump_clock: MockClock) -> None:
    chosen = compressing(
        history={"max_events": 3, "ephemeral_types": []}, frontend={"compression_min_size": 1}
    )
    async with stage(chosen) as on:
        receipt = await on.publish(5, padding=500)
        await on.publish_keyed("k", '"%s"' % ("s" * 1000), at=1)
        stream, socket = await watch(on, f"?cursor=dc1-{receipt.epoch}-1"), await connect(on)
        ready = await socket.watch("v", cursor=f"dc1-{receipt.epoch}-1")
        event = await stream.event()
        assert msgspec.json.decode(event.data)["gap"] is ready["gap"] is True
        assert (await stream.event()).type == (await socket.message())[0] == "state"
        assert await stream.events(2) == [4, 5]
        await stream.event()
        await trio.sleep(20)
        while not stream.raw:
            assert await stream.more()
        assert await stream.chunk() == b":\n"
        for viewer in on.channel().audience.viewers():
            viewer.disconnect(Reason.DRAIN, 1000)
        assert (await stream.event()).type == "bye"
        assert await stream.chunk() == b""  # the body is complete


async def test_events_seen_elsewhere_are_withheld(autojump_clock: MockClock) -> None:
    async with stage(compressing()) as on:
        receipt = await on.publish(20)
        cursor = f"dc1-{receipt.epoch}-10~dc2-zzzzz-7"
        stream, socket = await watch(on, f"?cursor={cursor}"), await connect(on)
        await socket.watch("v", cursor=cursor)
        assert (await stream.event()).type == "ready"
        assert await stream.events(10) == await socket.events(10) == list(range(11, 21))


async def test_filters_and_delays(autojump_clock: MockClock) -> None:
    async with stage(compressing()) as on:
        likes = await watch(on, "?types=like")
        others = await watch(on, "?types=comment")
        behind = await watch(on, "?behind=5s")
        for client in (likes, others, behind):
            assert (await client.event()).type == "ready"
        await on.publish(30)
        assert await likes.events(30) == list(range(1, 31))
        began = trio.current_time()
        assert await behind.events(30) == list(range(1, 31))
        assert 4 < trio.current_time() - began < 7
        while b"id: " not in (rest := await others.chunk()):
            assert rest == b":\n"


async def test_a_full_node_says_bye_in_a_complete_document(autojump_clock: MockClock) -> None:
    async with stage(compressing()) as on:
        on.frontend.is_draining = True
        client = on.connect()
        await client.get("/v1/videos/v/events", GZIP)
        assert "content-encoding: gzip" in await client.head()
        assert b"event: bye" in zlib.decompress(await client.chunk(), 16 + zlib.MAX_WBITS)
        assert await client.chunk() == b""


async def test_a_sockets_own_messages_may_be_compressed_but_are_bounded(autojump_clock: MockClock) -> None:
    async with stage(compressing()) as on:
        socket = await connect(on)
        await socket.say(ping={})
        assert await socket.message() == ("pong", {})
        await wait_all_tasks_blocked()
        await socket.say(ping={"x": "a" * 100_000})
        event = await socket.next()
        assert isinstance(event, CloseConnection)
        assert (event.code, event.reason) == (1009, "a message has at most 4096 characters")
