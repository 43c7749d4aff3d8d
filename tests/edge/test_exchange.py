"""One request over HTTP/2, with its stream in the place of a socket."""

from __future__ import annotations

import gc
from pathlib import Path

import h2.connection
import h2.events
import pytest
import trio
import trio.testing
from h2.settings import SettingCodes

from liveserver.edge.http2 import BoundedBuffer
from tests.edge.authority import Authority
from tests.frontend.http2_harness import NO_WINDOW, numbers, over_http2, raw


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def test_a_refused_stream_that_keeps_sending_delays_no_other(authority: Authority) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        await client.ask(1, "/v1/videos/v/events", method="DELETE", **{"content-length": "30000"})
        headers = dict((await client.until(h2.events.ResponseReceived)).headers)
        assert headers[b":status"] == b"405"
        client.h2.send_data(1, b"x" * 15_000)
        await client.flush()
        client.h2.send_data(1, b"x" * 15_000, end_stream=True)
        await client.ask(3, "/v1/videos/v/poll")
        assert (await client.until(h2.events.ResponseReceived)).stream_id == 3


async def test_a_request_that_never_ends_is_answered(authority: Authority) -> None:
    async with over_http2(authority, edge={"body_timeout": "100ms"}) as both, raw(both, authority) as client:
        await client.ask(1, "/v1/videos/v/poll", **{"content-length": "5"})
        headers = dict((await client.until(h2.events.ResponseReceived)).headers)
        assert headers[b":status"] == b"408"


async def test_a_stream_that_does_not_read_lags_alone_and_loses_nothing(authority: Authority) -> None:
    """Its window closes; the other stream of the same connection goes on, and nothing piles up."""
    async with over_http2(authority, frontend={"slow_timeout": "1h"}) as both, raw(both, authority) as client:
        client.h2.increment_flow_control_window(2**30)
        await client.ask(1, "/v1/videos/v/events")
        slow = bytearray(await client.data(1))
        await client.ask(3, "/v1/videos/w/events")
        await client.data(3)
        for _ in range(60):
            await both.on.publish(5, padding=10_000)
            await trio.testing.wait_all_tasks_blocked(0.001)
        await both.on.publish(video="w")
        assert b'{"n":301,' in await client.data(3)
        assert both.on.frontend.statistics().lagging == 1
        slow += client.received.pop(1)
        assert len(slow) < 2**16
        client.h2.increment_flow_control_window(2**30, 1)
        await client.flush()
        while len(numbers(slow)) < 300:
            slow += await client.data(1)
        assert numbers(slow) == list(range(1, 301))


async def test_a_stream_without_progress_is_sent_bye(authority: Authority) -> None:
    """It reads on when it has been given up already, and finds whole events, the reason and the end."""
    async with (
        over_http2(authority, frontend={"slow_timeout": "200ms"}) as both,
        raw(both, authority) as client,
    ):
        client.h2.increment_flow_control_window(2**30)
        await client.ask(1, "/v1/videos/v/events")
        text = bytearray(await client.data(1))
        while both.on.frontend.statistics().viewers:
            await both.on.publish(5, padding=10_000)
            await trio.sleep(0.02)
        client.h2.increment_flow_control_window(2**30, 1)
        await client.flush()
        while b"event: bye" not in text:
            text += await client.data(1)
        assert b'"reason":"slow"' in text
        assert numbers(text) == list(range(1, 1 + len(numbers(text))))
        await client.until(h2.events.StreamEnded)


async def test_a_stream_given_up_that_never_reads_is_reset(authority: Authority) -> None:
    async with (
        over_http2(authority, frontend={"slow_timeout": "100ms"}, edge={"body_timeout": "100ms"}) as both,
        raw(both, authority) as client,
    ):
        await client.ask(1, "/v1/videos/v/events")
        while both.on.frontend.statistics().fanout.slow == 0:
            await both.on.publish(5, padding=10_000)
            await trio.sleep(0.02)
        assert (await client.until(h2.events.StreamReset)).stream_id == 1
        assert len(both.on.edge.connections) == 1


async def test_unread_answers_are_freed_when_the_client_disconnects(authority: Authority) -> None:
    patient = {"frontend": {"slow_timeout": "10m"}, "edge": {"write_timeout": "10m"}}
    async with over_http2(authority, **patient) as both:
        async with raw(both, authority) as client:
            client.h2.update_settings(NO_WINDOW)
            paths = ("/v1/videos/v/poll", "/v1/videos/v/events", "/openapi.json")
            for number in range(20):
                await client.ask(1 + 2 * number, paths[number % 3])
            while len(both.on.edge.connections) < 21:
                await trio.testing.wait_all_tasks_blocked(0.01)
            await trio.aclose_forcefully(client.stream)
        with trio.fail_after(60):
            while both.on.edge.connections:
                await trio.testing.wait_all_tasks_blocked(0.01)
        assert both.on.frontend.statistics().viewers == 0


@pytest.mark.parametrize("path", ["/v1/videos/v/poll", "/openapi.json", "/v1/nothing"])
async def test_an_answer_that_is_not_taken_is_given_up_in_time(authority: Authority, path: str) -> None:
    async with over_http2(authority, edge={"write_timeout": "200ms"}) as both, raw(both, authority) as client:
        client.h2.update_settings(NO_WINDOW)
        await client.ask(1, path)
        assert (await client.until(h2.events.StreamReset)).stream_id == 1
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 65_535})
        await client.ask(3, "/v1/videos/v/poll")
        assert (await client.until(h2.events.StreamEnded)).stream_id == 3


async def test_answers_wait_for_their_window_a_piece_at_a_time(authority: Authority) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        await both.on.publish(100, padding=5_000)
        client.h2.update_settings(NO_WINDOW)
        for number in range(10):
            await client.ask(1 + 2 * number, "/v1/videos/v/poll?replay=100")
        for _ in range(10):
            await client.until(h2.events.ResponseReceived)
        await trio.testing.wait_all_tasks_blocked(0.05)
        buffers = [len(each.buffer) for each in gc.get_objects() if type(each) is BoundedBuffer]
        assert sum(size > 0 for size in buffers) == 10
        assert max(buffers) <= 64 * 1024
        client.h2.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 2**24})
        client.h2.increment_flow_control_window(2**30)
        await client.flush()
        text = bytearray()
        while len(text) < 500_000:
            text += await client.data(19)


async def test_a_body_that_is_only_announced_takes_nothing(authority: Authority) -> None:
    async with (
        over_http2(authority, edge={"max_body_memory": 100_000}) as both,
        raw(both, authority) as client,
    ):
        for number in range(5):
            fields = {"method": "POST", "content-length": "90000", "content-type": "application/json"}
            await client.ask(1 + 2 * number, "/v1/nothing", **fields)
        while len(both.on.edge.connections) < 6:
            await trio.testing.wait_all_tasks_blocked(0.01)
        assert both.on.edge.bodies.used == 0
        client.h2.send_data(1, b"x" * 16_384)
        client.h2.send_data(1, b"x" * 10_000)
        await client.flush()
        while both.on.edge.bodies.used < 26_384:
            await trio.testing.wait_all_tasks_blocked(0.01)
        client.h2.reset_stream(1)
        await client.flush()
        while both.on.edge.bodies.used:
            await trio.testing.wait_all_tasks_blocked(0.01)


async def test_a_body_of_another_length_than_announced_is_a_bad_request(authority: Authority) -> None:
    async with over_http2(authority) as both, raw(both, authority) as client:
        head = [(":method", "GET"), (":scheme", "https"), (":authority", "localhost")]
        head += [(":path", "/v1/videos/v/poll"), ("content-length", "5")]
        client.h2.send_headers(1, head, end_stream=True)
        await client.flush()
        headers = dict((await client.until(h2.events.ResponseReceived)).headers)
        assert headers[b":status"] == b"400"
