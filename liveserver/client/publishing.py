"""Events out, each once: what is not answered is sent again with the same ids, and the server knows them."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import msgspec
import trio

from liveserver.client.errors import ProtocolError, TemporaryError, Unreachable, expect_success, full_jitter

PER_REQUEST = 1000  # events; the server's own limit

# Seconds.
ANSWER_TIMEOUT = 15.0  # longer than a dispatcher tries a commit
RETRY = 0.1
RETRY_MOST = 5.0

# A server knows an id for 5 minutes (history.dedup_window). Well within it, a repeat is never a double.
GIVE_UP_AFTER = 60.0


class PublishReceipt(msgspec.Struct, frozen=True):
    """The events are in the log; `cursor` stands after the last of them. `attempts`: requests it took.

    `stale`: events with a key that were older than the video's state, and were not sent.
    """

    accepted: int
    duplicates: int
    cursor: str
    attempts: int = 1
    stale: int = 0


async def publish(
    urls: str | Sequence[str],
    video: str,
    events: Iterable[Mapping[str, Any]],
    *,
    key: str | None = None,
    client: httpx.AsyncClient | None = None,
    give_up_after: float = GIVE_UP_AFTER,
    on_failure: Callable[[str, float], object] | None = None,
) -> PublishReceipt:
    """Publish to `video` at one of the dispatchers `urls`, and return when all events are logged.

    An event is `{"type": …, "user": …, "data": …, "id": …}`, only `type` is required; with a `key`, and
    perhaps a `version`, it is part of the video's state. More than 1,000 go out as several requests, in
    order. For many calls hand in a `client`, and its connections are kept.
    `on_failure` learns of every failed attempt: the reason, and the seconds until the next. `key` is the
    publisher's, where the dispatchers ask for one.

    Error handling: raises `Refused` when the events are not what a dispatcher takes, `Unreachable`
    when none has answered for `give_up_after` seconds; of several requests, earlier ones may have been
    accepted. To send the same again without doubling, give the events ids of your own.
    """
    urls = [urls] if isinstance(urls, str) else list(urls)
    identified = [event if event.get("id") else {**event, "id": uuid.uuid4().hex} for event in events]
    if not identified:
        raise ValueError("at least one event")
    own = client or httpx.AsyncClient()
    try:
        total = PublishReceipt(0, 0, "", 0)
        for start in range(0, len(identified), PER_REQUEST):
            body = msgspec.json.encode(identified[start : start + PER_REQUEST])
            receipt = await _post(own, urls, video, body, key, give_up_after, on_failure)
            total = PublishReceipt(
                total.accepted + receipt.accepted,
                total.duplicates + receipt.duplicates,
                receipt.cursor,
                total.attempts + receipt.attempts,
                total.stale + receipt.stale,
            )
        return total
    finally:
        if client is None:
            with trio.move_on_after(1, shield=True):
                await own.aclose()


async def _post(
    client: httpx.AsyncClient,
    urls: Sequence[str],
    video: str,
    body: bytes,
    key: str | None,
    give_up_after: float,
    on_failure: Callable[[str, float], object] | None,
) -> PublishReceipt:
    give_up_at = trio.current_time() + give_up_after
    attempts = 0
    while True:
        url = f"{urls[attempts % len(urls)].rstrip('/')}/v1/videos/{quote(video, safe='')}/events"
        attempts += 1
        try:
            receipt = await _attempt(client, url, body, key)
        except TemporaryError as error:
            wait = full_jitter(attempts, RETRY, RETRY_MOST) + (error.retry_after or 0)
            if trio.current_time() + wait >= give_up_at:
                raise Unreachable(f"{url}: {error.reason}; gave up after {attempts} attempts") from error
            if on_failure is not None:
                on_failure(error.reason, wait)
            await trio.sleep(wait)
        else:
            return msgspec.structs.replace(receipt, attempts=attempts)


async def _attempt(client: httpx.AsyncClient, url: str, body: bytes, key: str | None) -> PublishReceipt:
    headers = {"content-type": "application/json"}
    if key is not None:
        headers["authorization"] = f"Bearer {key}"
    try:
        with trio.fail_after(ANSWER_TIMEOUT):
            response = await client.post(
                url,
                content=body,
                headers=headers,
                timeout=None,  # above
            )
    except trio.TooSlowError:
        raise TemporaryError(f"no answer within {ANSWER_TIMEOUT:g} s") from None
    except httpx.TransportError as error:
        raise TemporaryError(str(error) or type(error).__name__) from error
    await expect_success(response)
    try:
        return msgspec.json.decode(response.content, type=PublishReceipt)
    except msgspec.DecodeError as error:
        raise ProtocolError(f"{url}: an answer that is not a dispatcher's: {error}") from error
