"""The proxy causes exactly the requested faults."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress

import pytest
import trio
from trio.testing import wait_all_tasks_blocked

from bench.proxy import HOST, Proxy, open_proxy


@pytest.fixture
async def proxy(nursery: trio.Nursery) -> AsyncIterator[Proxy]:
    """In front of a server that says again what it receives, until the end."""

    async def echo(stream: trio.SocketStream) -> None:
        try:
            async for chunk in stream:
                await stream.send_all(chunk)
            await stream.send_eof()
        except trio.BrokenResourceError:
            pass

    listeners = await nursery.start(trio.serve_tcp, echo, 0)
    async with open_proxy(listeners[0].socket.getsockname()[1]) as made:
        with trio.fail_after(60):
            yield made
    nursery.cancel_scope.cancel()


async def connect(proxy: Proxy) -> trio.SocketStream:
    return await trio.open_tcp_stream(HOST, proxy.port)


async def say(stream: trio.SocketStream, what: bytes) -> bytes:
    await stream.send_all(what)
    return await hear(stream, len(what))


async def hear(stream: trio.SocketStream, count: int) -> bytes:
    heard = b""
    while len(heard) < count and (chunk := await stream.receive_some()):
        heard += chunk
    return heard


async def test_the_proxy_forwards_both_directions_and_the_end(proxy: Proxy) -> None:
    async with await connect(proxy) as stream:
        assert await say(stream, b"x" * 200_000) == b"x" * 200_000
        await stream.send_eof()
        assert await stream.receive_some() == b""


async def test_stalled_it_keeps_what_comes_until_it_is_healed(proxy: Proxy) -> None:
    async with await connect(proxy) as before:
        await say(before, b"hello")
        proxy.stall()
        async with await connect(proxy) as after:
            for stream in (before, after):
                await stream.send_all(b"wait")
                with trio.move_on_after(0.05) as scope:
                    await stream.receive_some()
                assert scope.cancelled_caught
            await proxy.heal()
            assert await hear(before, 4) == await hear(after, 4) == b"wait"


async def test_reset_breaks_what_there_is(proxy: Proxy) -> None:
    async with await connect(proxy) as before:
        await say(before, b"hello")
        proxy.reset()
        with pytest.raises(trio.BrokenResourceError) as caught:
            await before.receive_some()
        assert isinstance(caught.value.__cause__, ConnectionResetError)
        async with await connect(proxy) as after:
            assert await say(after, b"again") == b"again"


async def test_cut_ends_in_the_middle_of_a_message(proxy: Proxy) -> None:
    async with await connect(proxy) as stream:
        await say(stream, b"hello")
        proxy.cut(7, "down")
        await stream.send_all(b"0123456789")
        # What had come by then, unless the reset was faster.
        with suppress(trio.BrokenResourceError):
            assert b"0123456".startswith(await stream.receive_some())
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
    async with await connect(proxy) as stream:
        assert await say(stream, b"again") == b"again"


async def test_refused_until_healed(proxy: Proxy) -> None:
    async with await connect(proxy) as before:
        await say(before, b"hello")
        await proxy.refuse()
        await wait_all_tasks_blocked()
        with pytest.raises(OSError, match="failed"):
            await connect(proxy)
        assert await say(before, b"still") == b"still"
        await proxy.heal()
        async with await connect(proxy) as after:
            assert await say(after, b"again") == b"again"


async def test_half_closed_the_server_says_no_more(proxy: Proxy) -> None:
    async with await connect(proxy) as stream:
        await say(stream, b"hello")
        proxy.half_close()
        assert await stream.receive_some() == b""


async def test_delayed_it_carries_late_and_in_order(proxy: Proxy) -> None:
    proxy.delay(0.05)
    async with await connect(proxy) as stream:
        began = trio.current_time()
        assert await say(stream, b"one") == b"one"
        assert trio.current_time() - began >= 0.1


async def test_a_connection_ends_when_nothing_listens_behind_the_proxy(proxy: Proxy) -> None:
    proxy.target = 1
    async with await connect(proxy) as stream:
        with pytest.raises(trio.BrokenResourceError):
            await stream.receive_some()
