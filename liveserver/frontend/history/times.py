"""The times in events, read without parsing them."""

from __future__ import annotations

import re

# The first are the event's own: `data` comes after them. Where it was accepted long after it was done, the
# former counts.
_TIMES = re.compile(rb',"at":(\d+)(?:,"accepted":(\d+))?')


def accepted_at(data: bytes) -> int | None:
    """Return when a dispatcher accepted the event, in milliseconds since the epoch by its clock."""
    found = _TIMES.search(data)
    return int(found[2] or found[1]) if found is not None else None
