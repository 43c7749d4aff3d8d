"""Which media type a client prefers."""

from __future__ import annotations

import pytest

from liveserver.edge.accept import preferred

SSE, LINES = b"text/event-stream", b"application/x-ndjson"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (b"", SSE),
        (b"*/*", SSE),
        (b"text/event-stream", SSE),
        (b"application/x-ndjson", LINES),
        (b"Application/X-NDJSON", LINES),
        (b"application/x-ndjson;q=0", SSE),
        (b"application/x-ndjson; q=0.000, */*", SSE),
        (b"application/x-ndjson;q=0,text/event-stream;q=0", SSE),
        (b"text/event-stream;q=0, */*", LINES),
        (b"text/event-stream, application/x-ndjson;q=0.5", SSE),
        (b"text/event-stream;q=0.5, application/x-ndjson", LINES),
        (b"text/event-stream;q=0.5 , application/x-ndjson ; q=0.6", LINES),
        (b"application/*, text/event-stream;q=0.9", LINES),
        (b"*/*;q=0.1, application/x-ndjson;charset=utf-8", LINES),
        (b"text/*;q=0.2, application/x-ndjson;q=0.1", SSE),
        (b"application/x-ndjson;q=2", SSE),
        (b"application/x-ndjson;q=", SSE),
        (b"text/x-application/x-ndjson", SSE),
        (b"application/json", SSE),
        (b",, ,", SSE),
    ],
)
def test_the_highest_quality_of_the_most_specific_range_wins(accept: bytes, expected: bytes) -> None:
    assert preferred(accept, (SSE, LINES)) == expected
