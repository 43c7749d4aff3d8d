"""What is fed with bytes, and what must hold whatever they are.

A check takes any bytes, and returns. It raises when something is wrong: an exception other than a refusal,
or an answer that is not true. Refusals (`Problem`, `MalformedBatch`, …) are what the parsers are for.
"""

from __future__ import annotations

import json
import zlib
from contextlib import suppress
from random import Random

import h11
import jwt
import msgspec
from wsproto.connection import Connection, ConnectionType
from wsproto.events import CloseConnection, TextMessage

from liveserver.auth import credentials, tokens
from liveserver.auth.keys import Key
from liveserver.bus.leases import LeaseRequest, WithdrawRequest
from liveserver.bus.redis import replies
from liveserver.client.errors import ProtocolError
from liveserver.client.items import from_page, from_stream
from liveserver.client.sse import SSEError, SSEParser
from liveserver.config import DispatcherSettings
from liveserver.cursor import MAX_BYTES, Cursor, CursorError
from liveserver.dispatcher.parse import Parser
from liveserver.edge.chunked import ChunkedBody
from liveserver.edge.request import Request
from liveserver.edge.response import HEAD_END
from liveserver.errors import BadRequest, HeadersTooLarge, Problem, TooLarge, Unauthorized
from liveserver.event import RESERVED_TYPES, TYPE, Batch, MalformedBatch
from liveserver.transport.websocket import parse_message
from liveserver.viewer_count import MalformedViewerCount, ViewerCount
from tests.fuzz import harness

LIMIT = 10_000  # bytes of a chunked body


def cut(data: bytes) -> list[bytes]:
    """The same bytes in pieces; where they are cut depends on them alone."""
    chance = Random(zlib.crc32(data))
    cuts = sorted(chance.randrange(len(data) + 1) for _ in range(chance.randrange(1, 6)))
    pieces = [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    return [piece for piece in pieces if piece]


# Requests


def request(data: bytes) -> None:
    """A head is what h11, which has the next word when it is handed over, takes it for."""
    head = data.partition(HEAD_END)[0] + HEAD_END
    try:
        asked = Request(head)
        length = asked.content_length
    except (BadRequest, HeadersTooLarge):
        return
    assert asked.version in ("1.0", "1.1")
    assert head.count(b"\n") == head.count(b"\r\n") == head.count(b"\r"), "a line that CRLF did not end"
    for known in ((), ("cursor", "replay", "wait", "limit")):
        with suppress(BadRequest):
            arguments = asked.arguments(known)
            assert set(arguments) <= set(known)
    with suppress(Problem):
        asked.require_type("application/json")
    theirs = as_h11_reads(asked.head_to_hand_over("its-name"))
    if theirs is None:
        return  # it is refused there
    assert theirs.method.decode() == asked.method
    target = theirs.target
    assert target.partition(b"?")[2].decode() == asked.query
    wanted = {name: value.strip() for name, value in asked.headers.items() if name != b"upgrade"}
    wanted[b"x-request-id"] = b"its-name"
    if asked.has_body:  # which was read, and asked for, here
        wanted.pop(b"expect", None)
    if asked.is_chunked:
        del wanted[b"transfer-encoding"]
        wanted.pop(b"trailer", None)
        wanted[b"content-length"] = b"0"
    found: dict[bytes, bytes] = {}
    for name, value in theirs.headers:
        if name != b"upgrade":
            found[name] = found[name] + b", " + value if name in found else value
    # h11 makes one of a length that is given twice alike; here it is refused.
    assert {n: v.strip().lower() for n, v in found.items()} == {n: v.lower() for n, v in wanted.items()}
    assert all(name != b"transfer-encoding" for name, _ in theirs.headers)
    assert length == int(found.get(b"content-length", b"0"))


def as_h11_reads(head: bytes) -> h11.Request | None:
    """The request; None when it refuses."""
    reader = h11.Connection(h11.SERVER, max_incomplete_event_size=64 * 1024)
    reader.receive_data(head)
    try:
        event = reader.next_event()
    except h11.RemoteProtocolError:
        return None
    assert isinstance(event, h11.Request), f"h11 does not see the end of the head: {event}"
    return event


def chunked(data: bytes) -> None:
    """However a body is cut up, the same comes out, in bounded memory; and h11 reads it so too."""
    whole, pieces = _fed([data]), _fed(cut(data))
    assert whole == pieces, (whole, pieces)
    body = whole[0]
    if isinstance(body, bytes):
        assert len(body) <= LIMIT
        reader = h11.Connection(h11.SERVER)
        reader.receive_data(b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n" + data)
        theirs = b""
        with suppress(h11.RemoteProtocolError):  # it is stricter with extensions and trailers
            while not isinstance(event := reader.next_event(), h11.EndOfMessage):
                assert event is not h11.NEED_DATA
                if isinstance(event, h11.Data):
                    theirs += bytes(event.data)
            assert (theirs, bytes(reader.trailing_data[0])) == whole


def _fed(pieces: list[bytes]) -> tuple[bytes | str | None, bytes]:
    body = ChunkedBody(LIMIT)
    found: bytes | None = None
    for index, piece in enumerate(pieces):
        try:
            found = body.feed(piece)
        except (BadRequest, TooLarge) as problem:
            return problem.title, b""
        assert len(body.rest) <= 300 or found is not None, "more is kept than a line"
        if found is not None:
            return found, body.rest + b"".join(pieces[index + 1 :])
    return None, body.rest


def connection(data: bytes) -> None:
    """Whatever comes is answered the same way, however it is cut up; nothing of it is a defect."""
    whole, pieces = harness.served([data]), harness.served(cut(data))
    assert whole == pieces, (whole, pieces)


# What is published, and what clients say


def publish(data: bytes) -> None:
    """What is accepted is JSON on one line that every hop carries and every viewer can read."""
    for kind, video in (("application/json", "v"), ("application/x-ndjson", None)):
        try:
            video_batches = _parser.video_batches(data, kind, video)
        except (BadRequest, TooLarge):
            continue
        for video_batch in video_batches:
            batch = Batch(video_batch.video, "e", 1, "dc1", "e", 1, video_batch.lines)
            assert Batch.decode(batch.encode()) == batch
            batch.check()
            for line in video_batch.lines:
                name, _, event = line.partition(b" ")
                assert TYPE.fullmatch(name.decode())
                assert name.decode() not in RESERVED_TYPES
                assert len(line.decode().splitlines()) == 1, "a reader takes something for a line's end"
                assert json.loads(event, object_pairs_hook=_members)["type"] == name.decode()
                assert isinstance(msgspec.json.decode(event), dict)  # with all its numbers


_parser = Parser(DispatcherSettings(), clock=lambda: 1e9)


def _members(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    assert len(members) == len(pairs), "a name comes twice"
    return members


def lease(data: bytes) -> None:
    for kind in (LeaseRequest, WithdrawRequest):
        with suppress(msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            msgspec.json.decode(data, type=kind)


def cursor(data: bytes) -> None:
    text = data.decode("latin-1")
    try:
        parsed = Cursor.parse(text)
    except CursorError:
        return
    assert str(parsed) == text == str(Cursor.parse_trusted(text))
    assert len(text.encode()) <= MAX_BYTES
    for origin, (epoch, number) in parsed:
        before, after = parsed.around(origin, epoch)
        assert f"{before}{number}{after}" == text
        assert parsed.covers(origin, epoch, number)
        assert parsed.merged(parsed) == parsed


def websocket(data: bytes) -> None:
    """Frames are the same messages however they are cut up; a message is one or a bad one."""
    assert (whole := _heard([data])) == _heard(cut(data)), whole
    with suppress(BadRequest):
        parse_message(data)


def _heard(pieces: list[bytes]) -> list[str]:
    protocol, texts, text = Connection(ConnectionType.SERVER), [], ""
    for piece in pieces:
        try:
            protocol.receive_data(piece)
            for event in protocol.events():
                if isinstance(event, TextMessage):
                    text += event.data
                    if event.message_finished:
                        texts.append(text)
                        text = ""
                        with suppress(BadRequest):
                            parse_message(texts[-1])
                elif isinstance(event, CloseConnection):
                    return texts
        except Exception as error:
            raise AssertionError("wsproto fails otherwise than by an event") from error
    return texts


# What comes from Redis


def batch(data: bytes) -> None:
    try:
        found = Batch.decode(data)
    except MalformedBatch:
        return
    assert Batch.decode(found.encode()) == found  # without words of a newer version
    assert len(str(Cursor().advanced(found.origin, found.origin_epoch, found.number))) <= MAX_BYTES


def tally(data: bytes) -> None:
    try:
        found = ViewerCount.decode(data)
    except MalformedViewerCount:
        return
    assert ViewerCount.decode(found.encode()) == found
    msgspec.json.encode(found)


def answers(data: bytes) -> None:
    """What scripts answer, taken apart: all that may come of it is what `Link.call` takes for nonsense."""
    for take in (replies.append_result, replies.replica_position, replies.head):
        with suppress(ValueError):
            take(data)
    with suppress(ValueError, LookupError):
        replies.lease("v", data, [])
    entries = [(line[:20], {line[:1]: line[1:], b"o": line[2:], b"l": line}) for line in data.split(b"\n")]
    with suppress(ValueError, LookupError):
        for found in replies.batches("v", "e", entries):
            assert isinstance(found.encode(), bytes)


def inbox(data: bytes) -> None:
    """Anything at an inbox: nothing is fatal, nothing grows, and what gets through can be shown."""
    harness.listen(data)


# What servers say to our client


def stream(data: bytes) -> None:
    whole, pieces = _parsed([data]), _parsed(cut(data))
    assert whole == pieces, (whole, pieces)
    for kind, text, last in whole[0]:
        with suppress(ProtocolError):
            from_stream(kind, text, last)


def _parsed(pieces: list[bytes]) -> tuple[list[tuple[str, str, str]], object]:
    parser, events = SSEParser(LIMIT), []
    try:
        for piece in pieces:
            events += [tuple(event) for event in parser.feed(piece)]
    except SSEError:
        return [], "too large"
    return events, parser.retry  # type: ignore[return-value]  # tuples of three


def page(data: bytes) -> None:
    with suppress(ProtocolError):
        from_page(data)


# Who may


def token(data: bytes) -> None:
    """Any text is a token that counts or none; what is signed has claims or is none."""
    text = data.decode("latin-1")
    for shown in (text, _jws.encode(data, _SECRET, algorithm="HS256")):
        with suppress(Unauthorized):
            tokens.header_of(shown)
        with suppress(Unauthorized):
            claims = tokens.verify(shown, [Key("HS256", _SECRET.encode())])
            tokens.check(claims, tokens.Rules(), 1e9)
            grant = tokens.grant_of(claims, 0.0)
            assert grant.expires > 1e9
    headers = {b"authorization": data, b"cookie": data, b"origin": data, b"host": b"x"}
    with suppress(Unauthorized):
        credentials.bearer(headers)
    credentials.basic(headers)
    for query in (None, text):
        with suppress(Unauthorized):
            credentials.extract_credentials({b"cookie": data, b"host": b"x"}, query, "token")


_SECRET = "a-secret-of-at-least-32-characters"
_jws = jwt.PyJWS()
