"""Long-poll: what came after a cursor, as one JSON document."""

from __future__ import annotations

from collections.abc import Sequence


def poll_body(cursor: bytes, gap: bool, events: Sequence[bytes]) -> bytes:
    """The answer's body; `events` are JSON objects."""
    return b'{"cursor":"%b","gap":%b,"events":[%b]}' % (
        cursor,
        b"true" if gap else b"false",
        b",".join(events),
    )
