"""The common parts of all wire forms: the envelope, and the reasons for `bye`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.edge.chunked import ChunkedBody
from liveserver.transport.form import HttpForm, Reason
from liveserver.transport.ndjson import NDJSON, NDJSON_HTTP10
from liveserver.transport.sse import SSE, SSE_HTTP10


@pytest.mark.parametrize("form", [SSE, NDJSON])
def test_in_http_1_1_a_write_is_a_chunk(form: HttpForm) -> None:
    assert form.envelope(b"x" * 26) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert form.envelope(b":\n") == b"2\r\n:\n\r\n"
    assert form.end == b"0\r\n\r\n"


@pytest.mark.parametrize("form", [SSE_HTTP10, NDJSON_HTTP10])
def test_in_http_1_0_the_end_of_the_connection_is_the_end(form: HttpForm) -> None:
    assert form.envelope(b"abc") == b"abc"
    assert form.end == b""


@given(st.lists(st.binary(min_size=1)))
def test_chunks_are_what_a_parser_of_chunks_reads(payloads: list[bytes]) -> None:
    wire = b"".join(map(SSE.envelope, payloads)) + SSE.end
    assert ChunkedBody(10**6).feed(wire) == b"".join(payloads)


def test_reasons_have_words_of_their_own_and_say_whether_to_come_back() -> None:
    words = [reason.word for reason in Reason]
    assert len(set(words)) == len(words)
    assert set(words) >= {"drain", "slow", "expired", "overload"}
    for reason in (Reason.DRAIN, Reason.SLOW, Reason.OVERLOAD, Reason.UNAVAILABLE):
        assert reason.reconnect
