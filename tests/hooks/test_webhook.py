"""Signed requests, and what each answer means."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest
import trio
from standardwebhooks import Webhook as Receiver
from trio.testing import MockClock

from liveserver.config import HookEndpointSettings, Secret
from liveserver.errors import ConfigError
from liveserver.hooks.sink import Delivery, EndpointGone, SinkError
from liveserver.hooks.webhook import Webhook, open_webhook, read_keys
from liveserver.webhook_signature import decode_secret

OLD, NEW = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
URL = "https://receiver.example/hooks"
DELIVERY = Delivery("msg_1", "comment.created", "v", b'{"type":"comment.created","data":{}}')


def webhook(answer: Callable[[httpx.Request], httpx.Response], *secrets: str) -> Webhook:
    client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    keys = [key for secret in secrets or (OLD,) if (key := decode_secret(secret)) is not None]
    return Webhook(client, URL, keys)


async def test_receivers_verify_with_either_secret_while_it_is_renewed() -> None:
    received: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        received.append(request)
        return httpx.Response(204)

    await webhook(answer, NEW, OLD).deliver(DELIVERY)
    (request,) = received
    assert (request.method, str(request.url)) == ("POST", URL)
    assert request.headers["webhook-id"] == "msg_1"
    assert request.headers["content-type"] == "application/json"
    for secret in (OLD, NEW):
        verified = Receiver(secret).verify(request.content, dict(request.headers))
        assert verified == {"type": "comment.created", "data": {}}


class _Body(httpx.AsyncByteStream):
    """A body that begins; `then` gives what follows."""

    def __init__(self, then: Callable[[], Awaitable[bytes]]) -> None:
        self._then = then

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        await trio.lowlevel.checkpoint()
        return await self._then()


async def _endless() -> bytes:
    return bytes(10_000)


async def _silent() -> bytes:
    await trio.sleep_forever()


async def _broken() -> bytes:
    raise httpx.ReadError("reset")


@pytest.mark.parametrize("body", [_endless, _silent, _broken])
async def test_what_was_accepted_is_not_sent_again_for_the_body_of_its_answer(
    body: Callable[[], Awaitable[bytes]], autojump_clock: MockClock
) -> None:
    with trio.fail_after(5):
        await webhook(lambda _: httpx.Response(200, stream=_Body(body))).deliver(DELIVERY)


@pytest.mark.parametrize(
    ("status", "is_refused"),
    [
        (301, True),
        (400, True),
        (401, True),
        (404, True),
        (413, True),
        (429, False),
        (500, False),
        (503, False),
    ],
)
async def test_other_answers_are_failures(status: int, is_refused: bool) -> None:
    headers = {"location": "http://169.254.169.254/", "retry-after": "7"}
    asked = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url)
        return httpx.Response(status, headers=headers)

    with pytest.raises(SinkError, match=f"status {status}") as caught:
        await webhook(answer).deliver(DELIVERY)
    assert not isinstance(caught.value, EndpointGone)
    assert (caught.value.is_refused, caught.value.retry_after) == (is_refused, 7.0)
    assert list(map(str, asked)) == [URL], "redirects are not followed"


@pytest.mark.parametrize("text", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "1e9", "٣", "9999999"])
async def test_only_seconds_of_retry_after_count(text: str) -> None:
    answers = webhook(lambda _: httpx.Response(503, headers={b"retry-after": text.encode()}))
    with pytest.raises(SinkError) as caught:
        await answers.deliver(DELIVERY)
    assert caught.value.retry_after == 0


async def test_410_says_that_the_endpoint_is_gone() -> None:
    with pytest.raises(EndpointGone):
        await webhook(lambda _: httpx.Response(410)).deliver(DELIVERY)


async def test_the_body_of_an_answer_is_read_and_dropped() -> None:
    parts = 0

    class Long(httpx.AsyncByteStream):
        async def __aiter__(self) -> AsyncIterator[bytes]:
            nonlocal parts
            for _ in range(100):
                parts += 1
                yield b"x" * 1024

    headers = {"content-encoding": "gzip"}  # it is not decompressed
    await webhook(lambda _: httpx.Response(200, stream=Long(), headers=headers)).deliver(DELIVERY)
    assert parts == 100


async def test_a_broken_connection_is_a_failure_of_the_endpoint() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    with pytest.raises(SinkError, match="refused") as caught:
        await webhook(answer).deliver(DELIVERY)
    assert not caught.value.is_refused


def test_secrets_come_from_the_setting_and_its_file(tmp_path: Path) -> None:
    file = tmp_path / "hooks.secret"
    file.write_text(f"{OLD}\n{NEW}\n")
    both = HookEndpointSettings(url=URL, secret_file=str(file))
    assert read_keys("hooks.endpoints.site", both) == [decode_secret(OLD), decode_secret(NEW)]


@pytest.mark.parametrize("text", ["whsec_", "secret-of-a-site-that-is-long-enough", "whsec_dG9vIHNob3J0"])
async def test_a_malformed_secret_is_an_error_that_does_not_quote_it(text: str) -> None:
    endpoint = HookEndpointSettings(url=URL, secret=Secret(text))
    with pytest.raises(ConfigError, match=r"hooks\.endpoints\.site\.secret: is not whsec_") as caught:
        async with open_webhook("hooks.endpoints.site", endpoint, 1.0, 1, ""):
            pass
    assert text.removeprefix("whsec_") not in str(caught.value) or text == "whsec_"
