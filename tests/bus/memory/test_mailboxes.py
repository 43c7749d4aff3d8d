"""Inboxes and feeds of one process: what is put comes to all that listen, and what is dropped is counted."""

from __future__ import annotations

from liveserver.bus.interface import ignore
from liveserver.bus.memory.mailboxes import Mailboxes
from liveserver.event import Batch
from liveserver.viewer_count import ViewerCount

BATCH = Batch("v", "aaa", 1, "dc1", "aaa", 1, [b"like {}"])


async def test_a_batch_comes_to_all_that_listen_for_the_node() -> None:
    mailboxes = Mailboxes(10)
    assert not mailboxes.put("n", BATCH)
    async with mailboxes.inbox("n", ignore) as one, mailboxes.inbox("n", ignore) as other:
        assert mailboxes.put("n", BATCH)
        assert not mailboxes.put("m", BATCH)
        assert await anext(one) == await anext(other) == [BATCH]
    assert not mailboxes.put("n", BATCH)


async def test_counts_come_to_nodes_and_to_feeds_if_wanted() -> None:
    mailboxes, at_node, at_feed = Mailboxes(10), list[ViewerCount](), list[ViewerCount]()
    async with mailboxes.inbox("n", at_node.append) as inbox, mailboxes.feed(at_feed.append) as feed:
        mailboxes.put_count(["n", "gone"], ViewerCount("v", "dc1", 1, 1), into_feeds=False)
        mailboxes.put_count([], ViewerCount("v", "dc1", 2, 2), into_feeds=True)
        mailboxes.put("n", BATCH)
        mailboxes.put_into_feeds(BATCH)
        assert await anext(inbox) == await anext(feed) == [BATCH]
    assert [count.total for count in at_node] == [1]
    assert [count.total for count in at_feed] == [2]


async def test_dropped_batches_of_closed_mailboxes_are_still_counted() -> None:
    mailboxes = Mailboxes(1)
    async with mailboxes.feed(ignore), mailboxes.inbox("n", ignore):
        for _ in range(3):
            mailboxes.put_into_feeds(BATCH)
        assert mailboxes.dropped == 2
        mailboxes.put("n", BATCH)
        mailboxes.put("n", BATCH)
    assert mailboxes.dropped == 3
