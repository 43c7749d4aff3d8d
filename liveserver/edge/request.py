"""One HTTP/1.1 request: parsed by httptools (llhttp, strict), checked here, without any I/O.

The end of the head is found by its empty line and the parser is given exactly the head. So the
bytes behind it are known to the byte, which is what pipelining and handing a connection over need;
and a head that the parser would end somewhere else is refused, which leaves request smuggling
nothing to work with. Bodies are not the parser's: `chunked.py` takes those apart that have no length.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import parse_qsl, unquote

import httptools

from liveserver.errors import BadRequest, Forbidden, HeadersTooLarge, Problem, WrongType
from liveserver.event import SITE, is_video

LENGTH_DIGITS = 18
KNOWN_HEADS, KNOWN_HEAD_BYTES = 512, 1024  # heads that are kept parsed, and how long one is at most
NOT_PLAIN = -1  # a body's length where it takes more than cutting it off
MOST_HEADERS = 128
MOST_PARAMETERS = 16  # of a query
LAST_EVENT_ID = "last-event-id"  # as `arguments` calls it, however it was spelt
_AUTHORITY = re.compile(rb"[A-Za-z][A-Za-z0-9+.-]*://[^/?#]*")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]*)(?::[0-9]*)?")  # RFC 3986 §3.2.2

# What libraries add to a URL of their own, so that no cache answers it, or to say how they read; it means
# nothing here. `_`: jQuery. `r`, `padding`: Yaffle's EventSource polyfill. `evs_…`: amvtek's. `_dc`: Ext JS.
# `zx`: Closure. The others: what people write by hand.
_MEANINGLESS = frozenset(
    {"_", "r", "padding", "evs_preamble", "evs_buffer_size_limit", "_dc", "zx"}
    | {"t", "ts", "_t", "_ts", "timestamp", "rnd", "rand", "random"}
    | {"cb", "nocache", "no_cache", "bust", "cachebust", "cachebuster", "cache_buster"}
)
# `lastEventId`: Yaffle's polyfill, reconnecting-eventsource. `lastEventID`, `Last-Event-ID`: Mercure's
# clients. `last-event-id`, `last_event_id`: other servers' clients. `evs_last_event_id`: amvtek's.
_LAST_EVENT_ID = frozenset({"lasteventid", "evslasteventid"})


class Request:
    """A request's head and, once read, its body.

    `headers` has lower-case names; a name that came twice has its values joined by `", "`.
    `path` is decoded, `query` is not; `head` is the head as it came. `cors` are header lines that
    belong into the answer. `video` is what the route's `{video}` stood for. `plain_length` is the length
    of the body, 0 without one, and `NOT_PLAIN` if it is chunked, waited for or of an unlikely length.
    """

    __slots__ = (
        "_parser",
        "body",
        "cors",
        "head",
        "headers",
        "keep_alive",
        "method",
        "path",
        "plain_length",
        "query",
        "version",
        "video",
    )

    def __init__(self, head: bytes) -> None:
        """Parse a whole head, empty line included. Raises `BadRequest`."""
        if head.count(b"\n") > MOST_HEADERS + 4:
            raise HeadersTooLarge(f"a request has at most {MOST_HEADERS} headers")
        self.head = head.lstrip(b"\r\n")  # an empty line before the request is no part of it (RFC 9112 §2.2)
        self.headers: dict[bytes, bytes] = {}
        self.path = ""
        self.query = ""
        self.body = b""
        self.cors = b""
        self.video = ""
        self.version = ""
        self.keep_alive = False
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # whoever serves the upgrade reads the head again
        except httptools.HttpParserError as error:
            raise self._fault(error) from None
        finally:
            del self._parser  # it knows this object: without a circle both go at once
        # Both are more than llhttp asks for, and as strict as whoever reads the head next.
        if self.head[:1] != head[:1] and head[: -len(self.head)].replace(b"\r\n", b""):
            raise BadRequest("before a request there is nothing but empty lines, each with CRLF")
        if self.head.partition(b"\r\n")[0].count(b" ") != 2:
            raise BadRequest(
                "a request line is a method, a target and a version, with one space between them"
            )
        if self.version != "1.1":
            if self.version != "1.0":
                raise BadRequest("the request head is malformed; speak HTTP/1.1, or HTTP/1.0")
            self.keep_alive = False  # HTTP/1.0 keep-alive is not supported (as in h11)
        elif b"host" not in self.headers:
            raise BadRequest("HTTP/1.1 needs a Host header")
        if not _is_host(self.headers.get(b"host", b"")):
            raise BadRequest("the Host header is a name or an address, and perhaps a port")
        coding = self.headers.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or self.version == "1.0"):
            raise BadRequest("the only transfer-encoding here is chunked, in HTTP/1.1")
        if b"transfer_encoding" in self.headers or b"content_length" in self.headers:  # as CGI maps them
            raise BadRequest("a header that some take for Transfer-Encoding or Content-Length")
        if self.method == "CONNECT":
            raise BadRequest("this is no proxy")
        digits = self.headers.get(b"content-length", b"0")
        is_plain = coding is None and len(digits) <= LENGTH_DIGITS and b"expect" not in self.headers
        self.plain_length = int(digits) if is_plain else NOT_PLAIN

    def copy(self) -> Request:
        """Return another request with the same head."""
        other = object.__new__(Request)
        other.head = self.head
        other.headers = self.headers
        other.method = self.method
        other.path = self.path
        other.query = self.query
        other.version = self.version
        other.keep_alive = self.keep_alive
        other.plain_length = self.plain_length
        other.body = other.cors = b""
        other.video = ""
        return other

    @property
    def name(self) -> str:
        """What was asked, for the log: nothing in it but printable ASCII."""
        return f"{self.method} {ascii(self.path[:200])[1:-1]}"

    @property
    def content_length(self) -> int:
        """The body's length as announced, in bytes; 0 without one. Raises `BadRequest`."""
        digits = self.headers.get(b"content-length", b"0")  # that they are digits, llhttp has checked
        if len(digits) > LENGTH_DIGITS:
            raise BadRequest(f"Content-Length has at most {LENGTH_DIGITS} digits")
        return int(digits)

    @property
    def has_body(self) -> bool:
        return b"content-length" in self.headers or b"transfer-encoding" in self.headers

    @property
    def is_chunked(self) -> bool:
        return b"transfer-encoding" in self.headers

    @property
    def awaits_continue(self) -> bool:
        return self.version != "1.0" and self.headers.get(b"expect", b"").lower() == b"100-continue"

    def head_to_hand_over(self, request_id: str = "") -> bytes:
        """Return the head as it came, but with a target in origin form, this `x-request-id`, the length of
        the body as it was read, and without offers of protocols that are not taken up there."""
        head = self.head
        if _AUTHORITY.match(target := head.split(b" ", 2)[1]):
            head = head.replace(target, _origin_form(target), 1)
        unwanted = [b"x-request-id:"]
        added = b"\r\n"
        upgrade = self.headers.get(b"upgrade", b"").lower()
        if b"h2c" in upgrade or b"websocket" in upgrade:
            unwanted.append(b"upgrade:")
        if self.is_chunked:
            unwanted += (b"transfer-encoding:", b"trailer:")
            added += b"content-length: %d\r\n" % len(self.body)
        if self.has_body:
            unwanted.append(b"expect:")
        if request_id:
            added += b"x-request-id: %b\r\n" % request_id.encode()
        lines = head.split(b"\r\n")
        head = b"\r\n".join([line for line in lines if not line.lower().startswith(tuple(unwanted))])
        return head.replace(b"\r\n", added, 1)

    def arguments(self, known: Collection[str]) -> dict[str, str]:
        """Return the query's parameters, without those that mean nothing (`_`).

        Where `LAST_EVENT_ID` is known, its other spellings are, too, and an empty one is none.
        Raises `BadRequest` on one that is unknown or given twice.
        """
        if not self.query:
            return {}
        try:
            if "%" in self.query or "+" in self.query:
                pairs = parse_qsl(self.query, keep_blank_values=True, strict_parsing=True)
            else:
                plain = (pair.split("=", 1) for pair in self.query.split("&"))
                pairs = [(name, value) for name, value in plain]
        except ValueError:
            raise BadRequest("the query is malformed; write it as ?name=value&name=value") from None
        if len(pairs) > MOST_PARAMETERS:
            raise BadRequest(f"a query has at most {MOST_PARAMETERS} parameters")
        found: dict[str, str] = {}
        for name, value in pairs:
            if name in known and name != LAST_EVENT_ID:
                if name in found:
                    raise BadRequest("a query parameter is given twice")
                found[name] = value
            elif name in _MEANINGLESS:
                continue
            elif LAST_EVENT_ID in known and re.sub("[-_]", "", name).lower() in _LAST_EVENT_ID:
                if value:  # the newest: a library adds it behind what its URL had
                    found[LAST_EVENT_ID] = value
            else:
                raise BadRequest(
                    f"unknown query parameter {name[:40]!r}; known here: {', '.join(sorted(known))}"
                )
        return found

    def checked_video(self) -> str:
        """The video in the path. Raises `BadRequest`."""
        return checked_video(self.video)

    def require_type(self, *accepted: str) -> str:
        """The body's media type without its parameters. Raises `WrongType` unless it is accepted."""
        value = self.headers.get(b"content-type", b"")
        if value == b"application/json" and "application/json" in accepted:
            return "application/json"
        kind = value.partition(b";")[0].strip().lower().decode("latin-1")
        if kind not in accepted:
            raise WrongType(f"send the body as {' or '.join(accepted)}, with that content-type")
        return kind

    # httptools calls these, in the order of the bytes.

    def on_url(self, url: bytes) -> None:
        if url[0] != 0x2F:  # a slash
            if not _AUTHORITY.match(url) and not (url == b"*" and self._parser.get_method() == b"OPTIONS"):
                raise BadRequest("a request's target begins with a slash, or with http://")
            url = _origin_form(url)
        if b"#" in url:
            raise BadRequest("a request's target has no fragment; what follows # stays with the client")
        path, _, query = url.partition(b"?")
        self.query = query.decode("latin-1")
        text = path.decode("latin-1")
        self.path = unquote(text) if "%" in text else text

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name in self.headers:
            if name == b"host":
                raise BadRequest("the Host header is given twice")
            value = self.headers[name] + b", " + value
        self.headers[name] = value.rstrip(b" \t")

    def on_headers_complete(self) -> None:
        self.method: str = self._parser.get_method().decode("ascii")
        self.version = self._parser.get_http_version()
        self.keep_alive = self._parser.should_keep_alive()

    def on_body(self, data: bytes) -> None:
        raise BadRequest("the request head ends before its empty line")

    def on_message_begin(self) -> None:
        if self.headers:
            raise BadRequest("the request head ends before its empty line")

    @staticmethod
    def _fault(error: Exception) -> Problem:
        """The parser's complaint, or what one of the callbacks above raised."""
        cause = error.__context__
        if isinstance(cause, Problem):
            return cause
        return BadRequest(f"the request is malformed: {error}")


class KnownHeads:
    """The heads that came more than once, parsed: a publisher's, a node's and a poller's repeat.

    `headers` of the requests are shared, so they must not be changed. A head that comes once takes a number.
    """

    __slots__ = ("_parsed", "_seen")

    def __init__(self) -> None:
        self._parsed: dict[bytes, Request] = {}
        self._seen: set[int] = set()

    def request(self, head: bytes) -> Request:
        """Return `Request(head)`. Raises `BadRequest`, `HeadersTooLarge`."""
        known = self._parsed.get(head)
        if known is not None:
            return known.copy()
        request = Request(head)
        if len(head) <= KNOWN_HEAD_BYTES:
            name = hash(head)
            if name in self._seen:
                if len(self._parsed) >= KNOWN_HEADS:
                    self._parsed.clear()
                self._parsed[head] = request.copy()
            elif len(self._seen) >= 8 * KNOWN_HEADS:
                self._seen.clear()
            self._seen.add(name)
        return request


@lru_cache(1_000)
def _is_host(host: bytes) -> bool:
    return _HOST.fullmatch(host) is not None


def checked_video(video: str) -> str:
    """The video's name. Raises `BadRequest` when it is none, `Forbidden` when it is the server's own."""
    if not is_video(video):
        raise BadRequest(
            "a video is named with 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"
        )
    if video == SITE:
        raise Forbidden(f"{SITE} is the server's own log; choose another name")
    return video


def _origin_form(target: bytes) -> bytes:
    """The path and query of a target in absolute form (RFC 9112 §3.2.2); other forms as they are."""
    match = _AUTHORITY.match(target)
    if match is None:
        return target
    rest = target[match.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest
