"""Leases from the dispatchers of this datacenter, over HTTP; after a failure from the next one."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import asynccontextmanager

import httpx
import msgspec
import structlog

from liveserver.auth.nodes import UNSIGNED, Signature
from liveserver.bus.interface import Lease
from liveserver.bus.leases import LeaseAnswer, LeaseRequest, WithdrawRequest
from liveserver.cursor import CursorError
from liveserver.dispatcher_client.addresses import DispatcherAddresses
from liveserver.dispatcher_client.refusals import describe_refusal
from liveserver.errors import DispatcherError, connection_fault

log = structlog.get_logger(__name__)


class LeaseClient:
    """Requests leases from one dispatcher while it answers, then from the next.

    All methods raise `DispatcherError` if no dispatcher answers.
    """

    def __init__(
        self, client: httpx.AsyncClient, dispatchers: DispatcherAddresses, signature: Signature
    ) -> None:
        self._client = client
        self._signature = signature
        self._dispatchers = dispatchers

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        dispatchers: DispatcherAddresses,
        timeout: float,
        trust: ssl.SSLContext,
        signature: Signature = UNSIGNED,
    ) -> AsyncIterator[LeaseClient]:
        """Open a client whose connections end with the block; `timeout` is in seconds, per dispatcher.

        Servers with an https URL are verified by `trust`.
        """
        async with httpx.AsyncClient(timeout=timeout, trust_env=False, verify=trust) as client:
            yield cls(client, dispatchers, signature)

    async def renew_leases(
        self, node: str, videos: Mapping[str, int], lease: float, opening: Collection[str] = ()
    ) -> dict[str, Lease]:
        body = await self._post("/v1/leases", LeaseRequest(node, float(lease), dict(videos), list(opening)))
        try:
            return msgspec.json.decode(body, type=LeaseAnswer).to_leases()
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, CursorError) as error:
            raise DispatcherError(f"a dispatcher's answer is malformed: {error}") from error

    async def withdraw(self, node: str, videos: Collection[str]) -> None:
        await self._post("/v1/leases/withdraw", WithdrawRequest(node, list(videos)))

    async def send_canary(self, video: str, token: str) -> None:
        await self._post(f"/v1/videos/{video}/events", {"type": "canary", "id": token})

    async def _post(self, path: str, message: msgspec.Struct | dict[str, str]) -> bytes:
        content = msgspec.json.encode(message)
        reason = "no dispatcher's address is known"
        for url in self._dispatchers.attempts():
            try:
                answer = await self._client.post(
                    url + path,
                    content=content,
                    headers={"content-type": "application/json", **self._signature.headers()},
                    extensions=self._dispatchers.extensions(url),
                )
                if answer.is_success:
                    return answer.content
                reason = describe_refusal(url, answer)
            except httpx.HTTPError as error:
                reason = f"{url}: {connection_fault(error)}"
            log.warning("dispatcher_request_failed", reason=reason)
        raise DispatcherError(f"no dispatcher answered; the last error: {reason}")
