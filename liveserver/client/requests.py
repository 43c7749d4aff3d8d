"""Repeats a request until it is answered, with the same ids or key, so that it takes effect once."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
import httpx
import msgspec

from .errors import TemporaryError, Unreachable, expect_success, failure, full_jitter

# Seconds.
ANSWER_TIMEOUT = 15.0  # longer than a dispatcher tries a commit
RETRY = 0.1
RETRY_MOST = 5.0
GIVE_UP_AFTER = 60.0

OnFailure = Callable[[str, float], object]


class Answer(msgspec.Struct, frozen=True):
    """A successful answer, and the number of requests sent."""

    url: str
    content: bytes
    attempts: int


@asynccontextmanager
async def open_client(client: httpx.AsyncClient | None) -> AsyncIterator[httpx.AsyncClient]:
    """Yield the given client, or one that is closed at the end of the block."""
    if client is not None:
        yield client
        return
    own = httpx.AsyncClient()
    try:
        yield own
    finally:
        with anyio.move_on_after(1, shield=True):
            await own.aclose()


async def request(
    client: httpx.AsyncClient,
    method: str,
    urls: str | Sequence[str],
    path: str,
    *,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    give_up_after: float = GIVE_UP_AFTER,
    on_failure: OnFailure | None = None,
) -> Answer:
    """Send a request to the servers `urls` in turn until one has answered it.

    `on_failure` is called after each failed attempt with the reason and the seconds until the next.
    Raises `Refused` when the answer is final, `Unreachable` after `give_up_after` seconds without one.
    """
    bases = [urls] if isinstance(urls, str) else list(urls)
    if not bases:
        raise ValueError("at least one URL")
    give_up_at = anyio.current_time() + give_up_after
    attempts = 0
    while True:
        url = f"{bases[attempts % len(bases)].rstrip('/')}{path}"
        attempts += 1
        try:
            return Answer(url, await _attempt(client, method, url, body, headers), attempts)
        except TemporaryError as error:
            wait = full_jitter(attempts, RETRY, RETRY_MOST) + (error.retry_after or 0)
            if anyio.current_time() + wait >= give_up_at:
                raise Unreachable(f"{url}: {error.reason}; gave up after {attempts} attempts") from error
            if on_failure is not None:
                on_failure(error.reason, wait)
            await anyio.sleep(wait)


async def _attempt(
    client: httpx.AsyncClient, method: str, url: str, body: bytes | None, headers: Mapping[str, str] | None
) -> bytes:
    sent = dict(headers or {})
    if body is not None:
        sent["content-type"] = "application/json"
    try:
        with anyio.fail_after(ANSWER_TIMEOUT):
            response = await client.request(method, url, content=body, headers=sent, timeout=None)
    except TimeoutError:
        raise TemporaryError(f"no answer within {ANSWER_TIMEOUT:g} s") from None
    except httpx.TransportError as error:
        raise failure(error) from error
    await expect_success(response)
    return response.content
