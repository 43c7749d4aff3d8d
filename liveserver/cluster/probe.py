"""Asks nodes whether they are ready."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import httpx
import trio

from liveserver.config import Address

EVERY = 0.1  # seconds between two requests
TIMEOUT = 2.0
COMPLAIN_AFTER = (
    15.0  # seconds; a node that is not ready by then is named, with its reason, and again so much later
)


async def not_ready_reason(ops: Address) -> str | None:
    """Return why a node is not ready, according to itself; None if it is ready."""
    async with _client() as client:
        return await _ask(client, ops)


async def wait_ready(ops: Address, complain: Callable[[str], None]) -> None:
    """Wait until the node at `ops` is ready; call `complain` periodically with the reason if it is not."""
    complain_at = trio.current_time() + COMPLAIN_AFTER
    async with _client() as client:
        while (answer := await _ask(client, ops)) is not None:
            if trio.current_time() >= complain_at:
                complain(f"http://{ops}/readyz says: {answer}")
                complain_at = trio.current_time() + COMPLAIN_AFTER
            await trio.sleep(EVERY)


def _client() -> httpx.AsyncClient:
    # Nodes are asked by plain HTTP. httpx would read all public authorities, 30 ms of a core for each client.
    return httpx.AsyncClient(timeout=TIMEOUT, trust_env=False, verify=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))


async def _ask(client: httpx.AsyncClient, ops: Address) -> str | None:
    try:
        response = await client.get(f"http://{ops}/readyz")
    except httpx.HTTPError as error:
        return str(error) or type(error).__name__
    if response.status_code == httpx.codes.OK:
        return None
    return f"{response.status_code} {response.text[:500].strip()}"
