"""Publishes an event from the dashboard, at a dispatcher, with the publisher's own key.

The dispatcher authorizes the request as it does any other. The operator's key gives no right to publish.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from liveserver.errors import BadRequest, Conflict, Problem, Unavailable

if TYPE_CHECKING:
    import httpx

TIMEOUT = 5.0  # seconds


class EventPublisher:
    """Publishes at the first of `dispatchers`, base URLs, that answers."""

    def __init__(
        self, dispatchers: Sequence[str], ca_file: str = "", transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        self._dispatchers = dispatchers
        self._ca_file = ca_file
        self._transport = transport

    async def publish(self, video: str, body: bytes, key: str | None) -> dict[str, Any]:
        """Publish one event, as JSON. Returns the dispatcher's answer, with the event's `id`.

        Raises the dispatcher's own refusal, a `Problem`, or `BadRequest`, `Conflict`, `Unavailable`.
        """
        import httpx

        from liveserver.config.certificates import client_context

        try:
            event = msgspec.json.decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            event = None
        if not isinstance(event, dict):
            raise BadRequest('the body is one event, such as {"type":"like"}')
        if not self._dispatchers:
            raise Conflict("this node knows no dispatcher; publish from the ops port of another one")
        if key is not None and not key.isascii():  # it may be a header's value, but of no key
            raise BadRequest("a publisher's key is printable ASCII")
        event.setdefault("id", f"test-{secrets.token_hex(8)}")
        headers = {"authorization": f"Bearer {key}"} if key else {}
        async with httpx.AsyncClient(
            transport=self._transport, verify=client_context(self._ca_file), timeout=TIMEOUT, trust_env=False
        ) as client:
            for url in self._dispatchers:
                try:
                    with trio.fail_after(TIMEOUT):
                        answer = await client.post(
                            f"{url.rstrip('/')}/v1/videos/{video}/events", json=event, headers=headers
                        )
                except (trio.TooSlowError, httpx.HTTPError, httpx.InvalidURL, UnicodeEncodeError):
                    continue
                if answer.status_code != 202:
                    raise _refusal(answer)
                return {"id": event["id"], **answer.json()}
        raise Unavailable("no dispatcher answers; try again", 1)


def _refusal(answer: httpx.Response) -> Problem:
    """Return the dispatcher's problem as our own."""
    try:
        document = answer.json()
        detail, title = str(document["detail"]), str(document["title"])
    except (ValueError, KeyError, TypeError):
        detail, title = f"the dispatcher answers {answer.status_code}", "Bad Gateway"
    problem = Problem(detail)
    problem.status, problem.title = answer.status_code, title
    if "retry-after" in answer.headers:
        problem.headers = (("retry-after", answer.headers["retry-after"]),)
    return problem
