"""Blocking calls for programs without an event loop (Django, Flask, Celery)."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from types import TracebackType
from typing import Any

import httpx
from anyio.from_thread import BlockingPortal, start_blocking_portal

from . import liking, publishing
from .requests import GIVE_UP_AFTER
from .tokens import Token


class Publisher:
    """A client of one cluster, usable from any thread. Open one per process, after forking, and keep it.

    `dispatchers` are for `publish`; `backends` for `like`, `comment`, `retract` and `summary`. It has a
    thread of its own with an event loop and a connection pool; `close`, or leaving a `with` block, ends it.

    Error handling: all methods raise `Refused`, `Unreachable` and `ProtocolError` like their asynchronous
    forms, after at most `give_up_after` seconds.
    """

    def __init__(
        self,
        dispatchers: str | Sequence[str],
        *,
        backends: str | Sequence[str] = (),
        key: str | None = None,
        give_up_after: float = GIVE_UP_AFTER,
    ) -> None:
        self._dispatchers = dispatchers
        self._backends = backends or dispatchers
        self._key = key
        self._give_up_after = give_up_after
        stack = ExitStack()
        portal = stack.enter_context(start_blocking_portal())
        client = portal.call(_open_client)
        stack.callback(lambda: portal.call(client.aclose))
        self._portal: BlockingPortal = portal
        self._client = client
        # Also at the end of the program, before threads end; so nothing in the stack refers to self.
        self._close = weakref.finalize(self, stack.close)

    def publish(self, video: str, events: Iterable[Mapping[str, Any]]) -> publishing.PublishReceipt:
        """Publish events, as `liveserver_client.publish`."""
        return self._portal.call(
            partial(
                publishing.publish,
                self._dispatchers,
                video,
                list(events),
                key=self._key,
                client=self._client,
                give_up_after=self._give_up_after,
            )
        )

    def like(
        self, video: str, *, user: str | None = None, reaction: str = "heart", token: Token | None = None
    ) -> liking.Liked:
        """Like a video, as `liveserver_client.like`."""
        return self._portal.call(
            partial(
                liking.like,
                self._backends,
                video,
                user=user,
                reaction=reaction,
                token=token,
                client=self._client,
                give_up_after=self._give_up_after,
            )
        )

    def comment(
        self, video: str, text: str, *, user: str | None = None, token: Token | None = None
    ) -> liking.Commented:
        """Comment on a video, as `liveserver_client.comment`."""
        return self._portal.call(
            partial(
                liking.comment,
                self._backends,
                video,
                text,
                user=user,
                token=token,
                client=self._client,
                give_up_after=self._give_up_after,
            )
        )

    def retract(self, video: str, comment_id: str, *, token: Token | None = None) -> None:
        """Retract a comment, as `liveserver_client.retract`."""
        self._portal.call(
            partial(
                liking.retract,
                self._backends,
                video,
                comment_id,
                token=token,
                client=self._client,
                give_up_after=self._give_up_after,
            )
        )

    def summary(self, video: str, *, token: Token | None = None) -> liking.Summary:
        """Return a video's totals, as `liveserver_client.summary`."""
        return self._portal.call(
            partial(
                liking.summary,
                self._backends,
                video,
                token=token,
                client=self._client,
                give_up_after=self._give_up_after,
            )
        )

    def close(self) -> None:
        """Close the connections and end the thread. Idempotent."""
        self._close()

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


async def _open_client() -> httpx.AsyncClient:
    return httpx.AsyncClient()
