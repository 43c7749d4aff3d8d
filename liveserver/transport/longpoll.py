"""Long-poll: what came after a cursor, as one JSON document."""

from __future__ import annotations

from collections.abc import Sequence


def poll_body(cursor: bytes, gap: bool, events: Sequence[bytes], state: bytes = b"") -> bytes:
    """Return the answer's body; `events` are JSON objects, `state` those of the state, joined by commas."""
    return b'{"cursor":"%b","gap":%b%b,"events":[%b]}' % (
        cursor,
        b"true" if gap else b"false",
        b',"state":[%b]' % state if state else b"",
        b",".join(events),
    )
