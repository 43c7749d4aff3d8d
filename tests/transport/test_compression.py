from __future__ import annotations

import gzip
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liveserver.transport.compression import (
    FLUSH_END,
    GZIP_HEADER,
    MAX_SIZE,
    STORED,
    Compressor,
    Deflater,
    gzip_document,
)

MIN_SIZE = 64
DEFLATERS = (Deflater(MIN_SIZE), Deflater(MIN_SIZE, 12))
TEXTS = st.lists(
    st.sampled_from([b'{"id":"01J', b'","type":"like"}', b"heart", b"\n", b"x" * 90]), min_size=1
)
CHUNKS = st.one_of(TEXTS.map(b"".join), st.binary(min_size=1, max_size=300))


@settings(deadline=None)
@given(st.lists(CHUNKS, min_size=1, max_size=12), st.integers(0, 11), st.sampled_from(DEFLATERS))
def test_shared_chunks_continue_a_stream_at_any_point(
    chunks: list[bytes], joins: int, deflater: Deflater
) -> None:
    shared = [deflater.chunk(chunk) for chunk in chunks]
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    assert decoder.decompress(GZIP_HEADER) == b""
    own = STORED.chunk(b"ready")  # of this viewer alone
    assert decoder.decompress(own) == b"ready"
    for chunk, sent in zip(chunks[joins:], shared[joins:], strict=True):
        assert decoder.decompress(sent) == chunk  # all of it at once: nothing waits for the next chunk


def test_a_chunk_is_the_same_bytes_whatever_came_before() -> None:
    chunk = b'{"id":"01J","type":"like","data":{"reaction":"heart"}}\n' * 9
    fresh = Deflater(MIN_SIZE).chunk(chunk)
    used = Deflater(MIN_SIZE)
    assert [used.chunk(chunk[::-1]), used.chunk(chunk)][1] == used.chunk(chunk) == fresh
    assert len(fresh) < len(chunk) / 4
    assert fresh.endswith(FLUSH_END)


@pytest.mark.parametrize(
    ("compressor", "size"),
    [
        (DEFLATERS[0], MIN_SIZE - 1),
        (DEFLATERS[0], MAX_SIZE + 1),  # several blocks
        (STORED, 1),
        (STORED, 65_535),
        (STORED, 65_536),
    ],
)
def test_small_and_huge_chunks_are_stored(compressor: Compressor, size: int) -> None:
    chunk = b"a" * size
    stored = compressor.chunk(chunk)
    assert chunk[:60_000] in stored
    assert size < len(stored) <= size + 5 * (2 + size // 65_535)
    assert zlib.decompressobj(16 + zlib.MAX_WBITS).decompress(GZIP_HEADER + stored) == chunk


def test_a_document_is_complete() -> None:
    assert gzip.decompress(gzip_document(b"abc" * 100)) == b"abc" * 100
