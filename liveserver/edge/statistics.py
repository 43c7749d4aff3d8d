"""What the server of a process has counted."""

from __future__ import annotations

from typing import Annotated

import msgspec

from liveserver.instruments import gauge, total


class EdgeStatistics(msgspec.Struct, frozen=True):
    """Counts since the start, and the connections at the moment."""

    connections: Annotated[int, gauge("Open connections: viewers, publishers, and idle ones.")]
    capacity: Annotated[
        int,
        gauge("Connections that are accepted: edge.max_connections, or fewer if descriptors are limited."),
    ]
    accepted: Annotated[int, total("Connections accepted.")]
    turned_away: Annotated[
        int, total("Connections closed at once by edge.max_per_address: an attack, or clients behind a NAT.")
    ]
    reaped: Annotated[int, total("Idle connections closed for new ones at edge.max_connections.")]
    paused: Annotated[
        int,
        total("Times accepting was paused for lack of room. Add nodes, or raise edge.max_connections."),
    ]
    requests: Annotated[int, total("Requests answered by the hot routes.")]
    refused: Annotated[
        dict[str, int],
        total(
            "Requests refused, by status. Many 503: this node or a service it needs is full or unavailable; "
            "many 4xx: a client is faulty.",
            label="status",
        ),
    ]
    handed_over: Annotated[int, total("Connections handed over to Quart on Hypercorn.")]
    expired: Annotated[int, total("Connections closed as a request did not arrive in time.")]
    failures: Annotated[
        int, total("Requests and connections ended by a defect of the server. Each is in the log.")
    ]
