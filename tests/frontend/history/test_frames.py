"""A filtered form sends what the unfiltered one does, but for other types: at any position, in any chunks."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from liveserver.client.sse import SSEParser
from liveserver.cursor import Cursor, Mark
from liveserver.event import Batch
from liveserver.frontend.delivery.poll_pages import PollPages
from liveserver.frontend.history.frames import FrameLog
from liveserver.frontend.history.log import ChannelLog
from liveserver.state import head as keyed_head
from liveserver.transport.compression import GZIP_HEADER, Deflater
from liveserver.transport.filter import Filter
from liveserver.transport.ndjson import NDJSON
from liveserver.transport.sse import SSE, SSE_INTERNAL, EventStream

KINDS = {"l": "like", "c": "comment", "w": "wave", "g": "gap", "k": "likes", "b": "ban"}
sizes = st.integers(1, 400)
Seen = list[tuple[str, str, str]]  # id, type, data

logs = st.lists(st.sampled_from(list(KINDS)), max_size=60)
filters = st.frozensets(st.sampled_from([b"like", b"comment", b"wave", b"other"]), min_size=1)


def filled(kinds: list[str], capacity: int) -> ChannelLog:
    """Return a log with an event of each kind; `g` is a range that was lost."""
    log = ChannelLog("v", capacity, 600.0, Cursor.parse("dc1-aaa-0"), ("like",), max(1, capacity // 2))
    number = 1
    for kind in kinds:
        if kind == "g":
            log.append_gap("dc1", Mark("aaa", number + 4), 0.0)
            number += 5
            continue
        name = KINDS[kind]
        head = name.encode()
        if kind in "kb":  # keyed; a ban is for moderators only
            head = keyed_head(name, f"{name}/u", None, number, is_cleared=False, is_internal=kind == "b")
        line = b'%b {"id":"e%d","type":"%b"}' % (head, number, name.encode())
        log.append(Batch("v", "aaa", number, "dc1", "aaa", number, [line], None), 0, 0.0)
        number += 1
        log.trim(0.0, needed=log.tip)
    return log


def sent(frames: FrameLog, position: int, tip: int, limit: int) -> tuple[bytes, int]:
    """Return all that a viewer at `position` is sent, in chunks of about `limit` bytes."""
    received = b""
    while position < tip:
        chunk, after = frames.write(position, limit)
        assert after > position, "it comes to its end"
        received, position = received + chunk, after
    return received, position


def events(stream: bytes) -> Seen:
    """Return the events of a chunked event stream."""
    body = b""
    while stream:
        size, _, stream = stream.partition(b"\r\n")
        body, stream = body + stream[: int(size, 16)], stream[int(size, 16) + 2 :]
    return [(event.id, event.type, event.data) for event in SSEParser().feed(body)]


def decompressed(stream: bytes) -> bytes:
    """Return the body of a chunked gzip stream, whose header was sent before."""
    decoder = zlib.decompressobj(16 + zlib.MAX_WBITS)
    body = decoder.decompress(GZIP_HEADER)
    while stream:
        size, _, stream = stream.partition(b"\r\n")
        chunk, stream = stream[: int(size, 16)], stream[int(size, 16) + 2 :]
        body += decoder.decompress(chunk)
    return body


def messages(stream: bytes) -> Seen:
    """Return the events of chunked JSON lines."""
    found: Seen = []
    for line in stream.split(b"\n"):
        if line.startswith(b"{"):
            message = msgspec.json.decode(line)
            found.append((message["cursor"], message["event"], msgspec.json.encode(message["data"]).decode()))
    return found


@given(logs, filters, st.integers(4, 40), st.integers(0, 60), st.integers(1, 400), st.integers(1, 400))
def test_a_filter_leaves_out_the_other_types_and_nothing_else(
    kinds: list[str], types: frozenset[bytes], capacity: int, start: int, limit: int, other_limit: int
) -> None:
    log = filled(kinds, capacity)
    start = min(start, log.tip)
    for form, parse in ((SSE, events), (NDJSON, messages)):
        everything, end = sent(log.frames(form), start, log.tip, limit)
        filtered, filtered_end = sent(log.frames(form.filtered(Filter(types))), start, log.tip, other_limit)
        assert filtered_end == end == max(start, log.tip)
        wanted = {kind.decode() for kind in types}
        seen = parse(filtered)
        states = [msgspec.json.decode(data)["events"] for _, kind, data in seen if kind == "state"]
        assert {event["type"] for state in states for event in state} <= wanted
        seen = [event for event in seen if event[1] != "state"]
        assert seen == [event for event in parse(everything) if event[1] in wanted | {"gap"}]


@given(
    logs,
    st.none() | filters,
    st.integers(4, 40),
    st.lists(st.integers(0, 60), max_size=4),
    st.integers(1, 400),
)
def test_a_compressed_form_has_the_same_bytes_from_any_position(
    kinds: list[str], types: frozenset[bytes] | None, capacity: int, starts: list[int], limit: int
) -> None:
    deflater = Deflater(min_size=100)
    chosen = Filter(types) if types else None
    for plain in (EventStream(chunked=True), EventStream(chunked=True, is_internal=True)):
        log, form = filled(kinds, capacity), plain.gzipped(deflater).filtered(chosen)
        for start in [min(start, log.tip) for start in starts]:
            stream, end = sent(log.frames(form), start, log.tip, limit)
            other, other_end = sent(log.frames(plain.filtered(chosen)), start, log.tip, limit)
            body = other.split(b"\r\n")[1::2]
            assert (decompressed(stream), end) == (b"".join(body), other_end)


@given(
    logs, st.integers(1, 4), st.integers(4, 40), st.integers(0, 60), st.integers(1, 400), st.integers(1, 9)
)
def test_a_sample_and_what_it_leaves_out_are_everything(
    kinds: list[str], rate: int, capacity: int, start: int, limit: int, events_limit: int
) -> None:
    log, chosen = filled(kinds, capacity), Filter(rate=rate)
    start = min(start, log.tip)
    everything = messages(sent(log.frames(NDJSON), start, log.tip, limit)[0])
    sampled = messages(sent(log.frames(NDJSON.filtered(chosen)), start, log.tip, limit)[0])
    omitted = [msgspec.json.decode(data)["omitted"] for _, kind, data in sampled if kind == "omitted"]
    shown = [each for each in sampled if each[1] != "omitted"]
    assert [each for each in shown if each[1] != "comment"] == [
        each for each in everything if each[1] != "comment"
    ]
    assert len(shown) + sum(omitted) == len(everything)
    assert set(shown) <= set(everything)
    pages, position, found, left_out = PollPages(log, 1 << 20), start, 0, 0
    while (answer := pages.answer(position, None, events_limit, chosen=chosen)) is not None:
        body = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
        found += sum(event["type"] == "comment" for event in body["events"])
        left_out += body.get("omitted", 0)
        position = log.locate(Cursor.parse(body["cursor"])).position
    rest = log.ranks.count_omitted(chosen, position, log.tip)  # not reported yet
    assert (found, left_out + rest) == (sum(each[1] == "comment" for each in shown), sum(omitted))


def polled(
    log: ChannelLog, start: int, chosen: Filter | None, limit: int, *, internal: bool = False
) -> tuple[list[str], int]:
    """Poll from a position to the tip; return the ids of the events, and how many answers had a gap."""
    pages, position, ids, gaps = PollPages(log, 1 << 20), start, list[str](), 0
    while (answer := pages.answer(position, None, limit, chosen=chosen, internal=internal)) is not None:
        body = msgspec.json.decode(answer.partition(b"\r\n\r\n")[2])
        ids += [event["id"] for event in body["events"]]
        gaps += body["gap"]
        after = log.locate(Cursor.parse(body["cursor"])).position
        assert after > position
        position = after
    return ids, gaps


@given(logs, filters, st.integers(4, 40), st.integers(0, 60), st.integers(1, 9))
def test_a_filtered_poll_has_the_same_events_and_reports_each_gap(
    kinds: list[str], types: frozenset[bytes], capacity: int, start: int, limit: int
) -> None:
    log = filled(kinds, capacity)
    start = min(start, log.tip)
    everything, _ = polled(log, start, None, limit)
    filtered, gaps = polled(log, start, Filter(types), limit)
    by_id = {
        msgspec.json.decode(item.data)["id"]: item.event
        for _, item in log.walk(start, log.tip)
        if item.event != b"gap" and item.event != b"skip"
    }
    assert filtered == [name for name in everything if by_id[name] in types]
    has_gap = start < log.kept_from or any(item.event == b"gap" for _, item in log.walk(start, log.tip))
    assert (gaps > 0) == has_gap


def ids(stream: Seen) -> list[str]:
    """Return the ids of the published events among what was sent."""
    return [msgspec.json.decode(data)["id"] for _, kind, data in stream if kind not in ("gap", "state")]


@given(logs, st.integers(4, 40), st.integers(0, 60), st.integers(1, 400), st.integers(1, 9))
def test_each_form_has_the_same_events_and_moderators_the_internal_ones_besides(
    kinds: list[str], capacity: int, start: int, size: int, limit: int
) -> None:
    log = filled(kinds, capacity)
    start = min(start, log.tip)
    internal = {f"e{number}" for number, kind in numbered(kinds) if kind == "b"}
    everything = ids(events(sent(log.frames(SSE_INTERNAL), start, log.tip, size)[0]))
    spectators = [name for name in everything if name not in internal]
    assert everything == sorted(everything, key=lambda name: int(name[1:])), "in order, none twice"
    assert len(set(everything)) == len(everything)
    held = [f"e{item.number}" for _, item in log.walk(start, log.tip) if item.event not in (b"gap", b"skip")]
    assert everything == held
    assert ids(events(sent(log.frames(SSE), start, log.tip, size)[0])) == spectators
    assert ids(messages(sent(log.frames(NDJSON), start, log.tip, size)[0])) == spectators
    assert polled(log, start, None, limit)[0] == spectators
    assert polled(log, start, None, limit, internal=True)[0] == everything


def numbered(kinds: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the kinds of the events, with their numbers; a lost range has five."""
    number = 1
    for kind in kinds:
        if kind == "g":
            number += 5
        else:
            yield number, kind
            number += 1


def test_a_gap_among_older_events_hides_none_behind_it() -> None:
    log = filled(["c", "g", "c", "c", *"l" * 20], capacity=6)
    assert log.base > 4, "the first four items are among the older ones"
    stream, _ = sent(FrameLog(log, SSE), log.kept_from, log.tip, 10_000)
    kept = [(kind, data.partition('"id":"')[2][:2]) for _, kind, data in events(stream) if kind != "like"]
    assert kept == [("comment", "e1"), ("gap", ""), ("comment", "e7"), ("comment", "e8")]
