"""Publishes events, each once: requests without an answer are repeated with the same ids."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

import httpx
import msgspec

from .errors import MALFORMED_JSON, ProtocolError
from .requests import GIVE_UP_AFTER, OnFailure, open_client, request

PER_REQUEST = 1000  # events; the server's own limit


class PublishReceipt(msgspec.Struct, frozen=True):
    """The result: the events are in the log, and `cursor` is after the last one. `attempts`: requests sent.

    `stale`: keyed events that were older than the video's state, and were not published.
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
    on_failure: OnFailure | None = None,
) -> PublishReceipt:
    """Publish to `video` at one of the dispatchers `urls`, and return when all events are logged.

    An event is `{"type": …, "user": …, "data": …, "id": …}`; only `type` is required. With a `key`, and
    perhaps a `version`, it is part of the video's state. More than 1,000 are sent as several requests, in
    order. Pass a `client` to keep its connections from one call to the next.
    `on_failure` is called after each failed attempt with the reason and the seconds until the next.
    `key` is the publisher's, where the dispatchers require one.

    Error handling: raises `Refused` when a dispatcher does not accept the events, `Unreachable` when none
    has answered for `give_up_after` seconds (a server knows an id for five minutes, `history.dedup_window`);
    of several requests, earlier ones may have been accepted. To send the same events again without doubling
    them, give them ids of your own.
    """
    identified = [event if event.get("id") else {**event, "id": uuid.uuid4().hex} for event in events]
    if not identified:
        raise ValueError("at least one event")
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    total = PublishReceipt(0, 0, "", 0)
    async with open_client(client) as own:
        for start in range(0, len(identified), PER_REQUEST):
            answer = await request(
                own,
                "POST",
                urls,
                f"/v1/videos/{quote(video, safe='')}/events",
                body=msgspec.json.encode(identified[start : start + PER_REQUEST]),
                headers=headers,
                give_up_after=give_up_after,
                on_failure=on_failure,
            )
            try:
                receipt = msgspec.json.decode(answer.content, type=PublishReceipt)
            except MALFORMED_JSON as error:
                raise ProtocolError(f"{answer.url}: an answer that is not a dispatcher's: {error}") from error
            total = PublishReceipt(
                total.accepted + receipt.accepted,
                total.duplicates + receipt.duplicates,
                receipt.cursor,
                total.attempts + answer.attempts,
                total.stale + receipt.stale,
            )
    return total
