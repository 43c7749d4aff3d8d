"""However an event stream is cut up, the same events come out of it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liveserver.client.sse import SSEError, SSEEvent, SSEParser


def parse(*chunks: bytes) -> list[SSEEvent]:
    parser = SSEParser()
    return [event for chunk in chunks for event in parser.feed(chunk)]


def drip(parser: SSEParser, stream: bytes) -> list[SSEEvent]:
    """Byte by byte."""
    return [event for byte in stream for event in parser.feed(bytes([byte]))]


# The examples of WHATWG HTML §9.2.6, and the sentences around them.


def test_a_block_is_an_event_and_two_data_lines_are_joined() -> None:
    assert parse(b"data: YHOO\ndata: +2\ndata: 10\n\n") == [SSEEvent("message", "YHOO\n+2\n10", "")]


def test_comments_are_ignored_and_an_empty_id_resets_the_last_one() -> None:
    stream = b": test stream\n\ndata: first event\nid: 1\n\ndata:second event\nid\n\ndata:  third event\n\n"
    assert parse(stream) == [
        SSEEvent("message", "first event", "1"),
        SSEEvent("message", "second event", ""),
        SSEEvent("message", " third event", ""),
    ]


def test_empty_data_is_an_event_and_no_data_is_none() -> None:
    assert parse(b"data\n\ndata\ndata\n\ndata:") == [
        SSEEvent("message", "", ""),
        SSEEvent("message", "\n", ""),
    ]
    assert parse(b"event: like\nid: 7\n\n") == []


def test_one_space_after_the_colon_is_not_part_of_the_value() -> None:
    assert parse(b"data:test\n\ndata: test\n\n") == [SSEEvent("message", "test", "")] * 2


def test_the_type_is_of_one_event_and_the_id_of_all_that_follow() -> None:
    assert parse(b"event: like\nid: a\ndata: 1\n\ndata: 2\n\n") == [
        SSEEvent("like", "1", "a"),
        SSEEvent("message", "2", "a"),
    ]


def test_an_id_with_a_null_is_ignored() -> None:
    assert parse(b"id: a\ndata: 1\n\nid: b\0\ndata: 2\n\n")[1].id == "a"


def test_an_id_without_data_counts_once_its_block_has_ended() -> None:
    parser = SSEParser()
    parser.feed(b"id: a\n")
    assert parser.last_id == ""
    parser.feed(b"\n")
    assert parser.last_id == "a"


def test_retry_is_digits_or_nothing() -> None:
    parser = SSEParser()
    for line in (
        b"retry: 2731\n",
        b"retry: soon\n",
        b"retry: -1\n",
        "retry: ²\n".encode(),
        b"retry: " + b"9" * 9999 + b"\n",
    ):
        parser.feed(line)
    assert parser.retry == 2731


def test_unknown_fields_are_ignored() -> None:
    assert parse(b"Data: no\ndata : no\nfoo\ndata: yes\n\n") == [SSEEvent("message", "yes", "")]


def test_a_leading_byte_order_mark_is_not_part_of_the_stream() -> None:
    assert parse(b"\xef\xbb", b"\xbfdata: 1\n\n") == [SSEEvent("message", "1", "")]
    assert parse(b"\n\xef\xbb\xbfdata: 1\n\n") == []


def test_an_unfinished_event_is_not_returned() -> None:
    assert parse(b"data: 1\n\ndata: 2\n") == [SSEEvent("message", "1", "")]


def test_a_carriage_return_ends_a_line_at_once() -> None:
    parser = SSEParser()
    assert parser.feed(b"data: 1\r\r") == [SSEEvent("message", "1", "")]
    assert parser.feed(b"\ndata: 2\r\n\r") == [SSEEvent("message", "2", "")]
    assert parser.feed(b"\n\n") == []


def test_invalid_utf_8_is_replaced() -> None:
    assert parse(b"data: \xff\n\n") == [SSEEvent("message", "\N{REPLACEMENT CHARACTER}", "")]


def test_the_heartbeat_is_nothing() -> None:
    assert parse(b":\n", b":\n", b"data: 1\n", b":\n", b"\n") == [SSEEvent("message", "1", "")]


@pytest.mark.parametrize("stream", [b"data: " + b"x" * 100, b"data: x\n" * 100, b":" + b"x" * 100])
def test_an_event_without_end_is_an_error(stream: bytes) -> None:
    with pytest.raises(SSEError, match="more than 50 bytes"):
        drip(SSEParser(limit=50), stream)


def test_a_long_quiet_stream_is_none() -> None:
    parser = SSEParser(limit=50)
    for _ in range(1000):
        assert parser.feed(b":\n: comment\nretry: 1\nid: a\n\n") == []


TEXT = st.text(st.characters(exclude_characters="\r\n\0", exclude_categories=["Cs"]), max_size=12)
LINE = st.one_of(
    st.just(""),
    st.builds("data:{}".format, TEXT),
    st.builds("data: {}".format, TEXT),
    st.builds("id: {}".format, TEXT),
    st.builds("event: {}".format, TEXT),
    st.builds("retry: {}".format, st.integers(0, 99999)),
    st.builds(":{}".format, TEXT),
    TEXT,
)
STREAM = st.lists(st.tuples(LINE, st.sampled_from(["\n", "\r", "\r\n"])), max_size=20).map(
    lambda lines: "".join(line + end for line, end in lines).encode()
)


@given(stream=st.one_of(STREAM, st.binary(max_size=60)), cuts=st.lists(st.integers(0, 200), max_size=12))
def test_however_it_is_cut_up_the_same_comes_out(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    whole, cut_up = SSEParser(), SSEParser()
    events = [event for a, b in itertools.pairwise(edges) for event in cut_up.feed(stream[a:b])]
    assert events == whole.feed(stream)
    assert (cut_up.retry, cut_up.last_id) == (whole.retry, whole.last_id)


@given(STREAM)
def test_the_parser_agrees_with_the_specification(stream: bytes) -> None:
    assert SSEParser().feed(stream) == literally(stream)


@given(st.lists(st.tuples(TEXT.filter(bool), TEXT, TEXT)))
def test_written_events_are_read_back(events: list[tuple[str, str, str]]) -> None:
    stream = "".join(f"id: {id_}\nevent: {kind}\ndata: {data}\n\n" for kind, data, id_ in events)
    assert parse(stream.encode()) == [SSEEvent(*event) for event in events]


def literally(stream: bytes) -> list[SSEEvent]:
    """The algorithm of the specification in its own words, all bytes at once, as slow as it likes."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]
    events: list[SSEEvent] = []
    data, kind, id_ = "", "", ""
    for line in lines:
        if line == "":
            if data:
                events.append(SSEEvent(kind or "message", data.removesuffix("\n"), id_))
            data, kind = "", ""
        elif not line.startswith(":"):
            field, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if field == "event":
                kind = value
            elif field == "data":
                data += value + "\n"
            elif field == "id" and "\0" not in value:
                id_ = value
    return events
