"""Batches of events: encoding and decoding are inverse; other bytes are refused."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.event import Batch, Event, MalformedBatch, Publication

_CHARACTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
names = st.text(_CHARACTERS, min_size=1, max_size=12)
videos = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,127}\Z")
numbers = st.integers(1, 10**14)
json = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
lines = st.builds(lambda data: b"like " + msgspec.json.encode(data), json)
batches = st.builds(
    Batch, videos, names, numbers, names, names, numbers, st.lists(lines, min_size=1, max_size=8)
)


@given(batches)
def test_a_written_batch_is_read_back(batch: Batch) -> None:
    assert Batch.decode(batch.encode()) == batch
    assert batch.last - batch.first + 1 == len(batch.lines)


@given(
    st.binary(max_size=80) | st.builds(bytes.join, st.just(b" "), st.lists(st.binary(max_size=5), max_size=8))
)
def test_nothing_else_is_read(wire: bytes) -> None:
    try:
        batch = Batch.decode(wire)
    except MalformedBatch:
        return
    assert Batch.decode(batch.encode()) == batch


@given(batches, st.integers(0, 40))
def test_a_truncated_head_is_malformed(batch: Batch, length: int) -> None:
    head = batch.encode().split(b"\n")[0]
    with pytest.raises(MalformedBatch):
        Batch.decode(head[:length])
    with pytest.raises(MalformedBatch):
        Batch.decode(head[: min(length, len(head) - 15)] + b"\nlike {}")


@pytest.mark.parametrize(
    "wire",
    [
        b"", b"\n", b"v e 1 dc1 e 1", b"v e 1 dc1 e 1\n", b"v e 1 dc1 e 1\nlike", b"v e 1 dc1 e 1\nlike {}\n",
        b"v e 0 dc1 e 1\nlike {}", b"v e 1 dc1 e 0\nlike {}", b"v e -1 dc1 e 1\nlike {}",
        b"v e 1 DC1 e 1\nlike {}",
        b"v e 1 dc1 e\nlike {}", b"v e 1 dc1 e 1  1\nlike {}", b"v e one dc1 e 1\nlike {}",
        b"v  1 dc1 e 1 \nlike {}",
        b"-v e 1 dc1 e 1\nlike {}", b" e 1 dc1 e 1\nlike {}", b"\xff e 1 dc1 e 1\nlike {}",
        b"v e 1  e 1\nlike {}",
        # What int() and split() would have taken, and a cursor could not have held:
        b"v e +1 dc1 e 1\nlike {}", b"v e 1_0 dc1 e 1\nlike {}", b"v e 01 dc1 e 1\nlike {}",
        b"v e 1000000000000000 dc1 e 1\nlike {}", b"v e 1 dc1 e 1000000000000000\nlike {}",
        b"v e-1 1 dc1 e 1\nlike {}", b"v e 1 dc1 e~x 1\nlike {}", b"v e 1 dc1 eeeeeeeeeeeee 1\nlike {}",
    ],
)  # fmt: skip
def test_malformed(wire: bytes) -> None:
    with pytest.raises(MalformedBatch):
        Batch.decode(wire)


@pytest.mark.parametrize(
    "line",
    [
        b"like {", b"like {}{}", b"like ", b" {}", b"like {}\r", b'like "\xff"', b"Like {}", b"like  {} x",
        b"l" * 33 + b" {}", b"like nul", b"like {'a':1}", b'like "\t"', b"like " + b"[" * 100_000,
    ],
)  # fmt: skip
def test_a_line_that_would_break_a_stream_or_a_page(line: bytes) -> None:
    with pytest.raises(MalformedBatch):
        Batch("v", "e", 1, "dc1", "e", 1, [b"like {}", line]).check()


@given(batches)
def test_publishable_batches_are_valid(batch: Batch) -> None:
    batch.check()


def test_the_wire() -> None:
    batch = Batch("v1", "k3f9a", 7, "dc2", "p0x1b", 3, [b'like {"id":"1"}', b"comment {}"])
    assert batch.encode() == b'v1 k3f9a 7 dc2 p0x1b 3\nlike {"id":"1"}\ncomment {}'
    assert batch.last == 8


def test_an_event_leaves_out_what_it_has_not() -> None:
    assert (
        msgspec.json.encode(Event("1", "v", "like", at=5)) == b'{"id":"1","video":"v","type":"like","at":5}'
    )
    whole = Event("1", "v", "like", "u", 5, data=msgspec.Raw(b'{"reaction":"heart"}'))
    assert msgspec.json.encode(whole) == (
        b'{"id":"1","video":"v","type":"like","user":"u","at":5,"data":{"reaction":"heart"}}'
    )
    # Null is a value, not an absence.
    assert msgspec.json.encode(Event("1", "v", "like", data=msgspec.Raw(b"null"))).endswith(b'"data":null}')


def test_a_publication_keeps_its_data_unparsed() -> None:
    parsed = msgspec.json.decode(b'{"type":"like","data":{"a": [1,\t2]}}', type=Publication)
    assert bytes(parsed.data) == b'{"a": [1,\t2]}'
    assert msgspec.json.decode(b'{"type":"like"}', type=Publication).data == msgspec.Raw()
    with pytest.raises(msgspec.ValidationError, match="unknown"):
        msgspec.json.decode(b'{"type":"like","unknown":1}', type=Publication)
