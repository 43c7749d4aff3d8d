"""Long-poll answers: the events after a cursor, as one JSON document."""

from __future__ import annotations

from collections.abc import Sequence

from liveserver.transport.form import EPHEMERAL


def poll_body(
    cursor: bytes,
    gap: bool,
    events: Sequence[bytes],
    state: bytes = b"",
    *,
    skipped: bool = False,
    omitted: int = 0,
) -> bytes:
    """Return the answer's body; `events` are JSON objects, `state` those of the state, joined by commas.

    `omitted`: comments that the client's rate leaves out.
    """
    return b'{"cursor":"%b","gap":%b%b%b%b,"events":[%b]}' % (
        cursor,
        b"true" if gap else b"false",
        b',"skipped":"%b"' % EPHEMERAL.encode() if skipped else b"",
        b',"omitted":%d' % omitted if omitted else b"",
        b',"state":[%b]' % state if state else b"",
        b",".join(events),
    )
