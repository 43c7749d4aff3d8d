"""Publishing at the dispatchers of this datacenter, over HTTP; after a failure at the next one."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import msgspec
import trio

from liveserver.auth.nodes import UNSIGNED, Signature
from liveserver.dispatcher_client.addresses import DispatcherAddresses
from liveserver.dispatcher_client.connections import KeepAliveTransport
from liveserver.dispatcher_client.refusals import describe_refusal, problem_detail
from liveserver.errors import BadRequest, DispatcherError, connection_fault
from liveserver.tracing.context import outgoing


class _Accepted(msgspec.Struct):
    stale: int = 0


class PublishClient:
    """Publishes at one dispatcher while it answers, then at the next."""

    def __init__(
        self,
        transport: httpx.AsyncBaseTransport,
        dispatchers: DispatcherAddresses,
        timeout: float,
        signature: Signature,
    ) -> None:
        self._transport = transport
        self._signature = signature
        self._dispatchers = dispatchers
        self._timeout = timeout

    @classmethod
    @asynccontextmanager
    async def open(
        cls,
        dispatchers: DispatcherAddresses,
        timeout: float,
        trust: ssl.SSLContext,
        signature: Signature = UNSIGNED,
    ) -> AsyncIterator[PublishClient]:
        """Open a client whose connections end with the block; `timeout` is in seconds, per dispatcher.

        Servers with an https URL are verified by `trust`.
        """
        async with KeepAliveTransport(trust) as transport:
            yield cls(transport, dispatchers, timeout, signature)

    async def publish(self, body: bytes, *, retractions: bool) -> int:
        """Publish a JSON array of events, as specified by `outbox.PublishTarget`.

        Raises `DispatcherError` if no dispatcher accepts it, `BadRequest` as soon as one refuses it.
        """
        path = "/v1/retractions" if retractions else "/v1/events"
        reason = "no dispatcher's address is known"
        for first in self._dispatchers.attempts():
            url = first + path
            headers = {
                "content-type": "application/json",
                "prefer": "handling=lenient",  # events are not lost if this node's clock is ahead
                **self._signature.headers(),
                **outgoing.get(),
            }
            try:
                with trio.fail_after(self._timeout):
                    request = httpx.Request(
                        "POST",
                        url,
                        headers=headers,
                        content=body,
                        extensions=self._dispatchers.extensions(first),
                    )
                    answer = await self._transport.handle_async_request(request)
                    await answer.aread()
            except trio.TooSlowError:
                reason = f"{url} did not answer within {self._timeout:g} s"
            except httpx.HTTPError as error:
                reason = f"{url}: {connection_fault(error)}"
            else:
                if answer.status_code == 202:
                    return _stale(answer.content)
                if answer.status_code in (400, 413):
                    raise BadRequest(problem_detail(answer) or f"status {answer.status_code}")
                reason = describe_refusal(url, answer)
        raise DispatcherError(f"no dispatcher answered; the last error: {reason}")


def _stale(answer: bytes) -> int:
    """Return how many events were older than the state, as a dispatcher's answer says."""
    if b'"stale"' not in answer:
        return 0
    try:
        return msgspec.json.decode(answer, type=_Accepted).stale
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
