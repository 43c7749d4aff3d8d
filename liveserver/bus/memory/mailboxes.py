"""The open inboxes and feeds of this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import chain

from liveserver.bus.mailbox import Mailbox
from liveserver.event import Batch
from liveserver.viewer_count import ViewerCount


class Mailboxes:
    """The open mailboxes, of up to `size` batches each."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._inboxes: dict[str, list[Mailbox]] = {}
        self._feeds: list[Mailbox] = []
        self._dropped = 0  # by mailboxes that are closed

    @asynccontextmanager
    async def inbox(
        self, node: str, on_viewer_count: Callable[[ViewerCount], None]
    ) -> AsyncIterator[Mailbox]:
        """Listen to what is put for this node."""
        listeners = self._inboxes.setdefault(node, [])
        try:
            async with self._listening(listeners, on_viewer_count) as mailbox:
                yield mailbox
        finally:
            if not listeners:
                self._inboxes.pop(node, None)

    @asynccontextmanager
    async def feed(self, on_viewer_count: Callable[[ViewerCount], None]) -> AsyncIterator[Mailbox]:
        """Listen to what is put into the feeds."""
        async with self._listening(self._feeds, on_viewer_count) as mailbox:
            yield mailbox

    def put(self, node: str, batch: Batch) -> bool:
        """Put a batch into the inboxes of a node; return False if there are none."""
        listeners = self._inboxes.get(node)
        if listeners is None:
            return False
        for mailbox in listeners:
            mailbox.put((batch,))
        return True

    def put_into_feeds(self, batch: Batch) -> None:
        for mailbox in self._feeds:
            mailbox.put((batch,))

    def put_count(self, nodes: Iterable[str], count: ViewerCount, *, into_feeds: bool) -> None:
        """Put a viewer count into the inboxes of nodes."""
        receivers = [self._feeds] if into_feeds else []
        receivers += [self._inboxes.get(node, []) for node in nodes]
        for mailbox in chain(*receivers):
            mailbox.put_counts((count,))

    @property
    def dropped(self) -> int:
        """How many batches were dropped as a mailbox was full."""
        listening = chain(self._feeds, *self._inboxes.values())
        return self._dropped + sum(mailbox.statistics().dropped for mailbox in listening)

    @asynccontextmanager
    async def _listening(
        self, listeners: list[Mailbox], on_viewer_count: Callable[[ViewerCount], None]
    ) -> AsyncIterator[Mailbox]:
        mailbox = Mailbox(self._size, on_viewer_count=on_viewer_count)
        listeners.append(mailbox)
        try:
            yield mailbox
        finally:
            listeners.remove(mailbox)
            mailbox.close()
            self._dropped += mailbox.statistics().dropped
