"""One HTTP/1.1 request: parsed by httptools (llhttp, strict) and checked here. No I/O.

The end of the head is found by its empty line, and the parser receives exactly the head. So the bytes after
it are known exactly, which pipelining and handing a connection over require; and a head that the parser would
end elsewhere is refused, which prevents request smuggling. Bodies are not parsed by httptools: `chunked.py`
parses those without a length.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import unquote, unquote_to_bytes

import httptools

from liveserver.edge.query import parse_arguments
from liveserver.errors import BadRequest, Forbidden, HeadersTooLarge, Problem, WrongType
from liveserver.event import SITE, is_video

LENGTH_DIGITS = 18
MAX_KEY = 255  # characters of an Idempotency-Key
NOT_PLAIN = -1  # `plain_length` of a body that is not simply a number of bytes
MAX_HEADERS = 128
_BAD_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_AUTHORITY = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://[^/?#]*")
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~%!$&'()*+;=-]*)(?::[0-9]*)?")  # RFC 3986 §3.2.2


class Request:
    """A request's head and, once read, its body.

    `headers` has lower-case names; the values of a repeated name are joined by `", "`. `path` is decoded,
    `query` is not; `head` is the head as received. `cors` are header lines for the response. `video` is the
    value of the route's `{video}`. `plain_length` is the length of the body, 0 without one, and `NOT_PLAIN`
    if it is chunked, expects `100 Continue` or has an implausible length.
    """

    __slots__ = (
        "_authority",
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
        """Parse a complete head, including the empty line. Raises `BadRequest`."""
        if head.count(b"\n") > MAX_HEADERS + 4:
            raise HeadersTooLarge(f"a request has at most {MAX_HEADERS} headers")
        self.head = head.lstrip(b"\r\n")  # empty lines before the request are not part of it (RFC 9112 §2.2)
        self.headers: dict[bytes, bytes] = {}
        self.path = ""
        self.query = ""
        self.body = b""
        self.cors = b""
        self.video = ""
        self.version = ""
        self.keep_alive = False
        self._authority = b""  # of a target in absolute form
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass  # the head is parsed again where the upgrade is served
        except httptools.HttpParserError as error:
            raise self._to_problem(error) from None
        finally:
            del self._parser  # breaks a reference cycle, so that both are freed at once
        # Both are stricter than llhttp, and as strict as any parser that reads the head next.
        if self.head[:1] != head[:1] and head[: -len(self.head)].replace(b"\r\n", b""):
            raise BadRequest("only empty lines, each with CRLF, may precede a request")
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
        if self._authority:
            self.headers[b"host"] = self._authority
        if not _is_host(self.headers.get(b"host", b"")):
            raise BadRequest("the Host header is a name or an address, and perhaps a port")
        coding = self.headers.get(b"transfer-encoding")
        if coding is not None and (coding.lower() != b"chunked" or self.version == "1.0"):
            raise BadRequest("the only transfer-encoding here is chunked, in HTTP/1.1")
        if b"transfer_encoding" in self.headers or b"content_length" in self.headers:  # as CGI maps them
            raise BadRequest("a header that some take for Transfer-Encoding or Content-Length")
        if self.method == "CONNECT":
            raise BadRequest("this server is not a proxy")
        digits = self.headers.get(b"content-length", b"0")
        is_plain = coding is None and len(digits) <= LENGTH_DIGITS and b"expect" not in self.headers
        self.plain_length = int(digits) if is_plain else NOT_PLAIN

    def copy(self) -> Request:
        """Return another request with the same head."""
        other = object.__new__(Request)
        other.head = self.head
        other.headers = self.headers
        other._authority = self._authority
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
        """The method and path for the log, in printable ASCII only."""
        return f"{self.method} {ascii(self.path[:200])[1:-1]}"

    @property
    def content_length(self) -> int:
        """The body's length as announced, in bytes; 0 without one. Raises `BadRequest`."""
        digits = self.headers.get(b"content-length", b"0")  # llhttp has checked that they are digits
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
        """Return the head for Hypercorn.

        It has a target in origin form, the `x-request-id`, the length of the body that was read, and no
        offers of protocols that are not supported there.
        """
        head = self.head
        if _AUTHORITY.match(target := head.split(b" ", 2)[1]):
            head = head.replace(target, _origin_form(target), 1)
        unwanted = [b"x-request-id:"]
        added = b"\r\n"
        if self._authority:
            unwanted.append(b"host:")
            added += b"Host: %b\r\n" % self._authority
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
        """Return the query's parameters, as `parse_arguments` does. Raises `BadRequest`."""
        return parse_arguments(self.query, known) if self.query else {}

    def checked_video(self) -> str:
        """Return the video in the path. Raises `BadRequest`, `Forbidden`."""
        return checked_video(self.video)

    def require_type(self, *accepted: str) -> str:
        """Return the body's media type without its parameters. Raises `WrongType` unless it is accepted."""
        if b"content-encoding" in self.headers:
            check_encoding(self.headers[b"content-encoding"])
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
            if url != b"*":  # what names the host here counts, and Host is ignored (RFC 9112 §3.2.2)
                self._authority = url.partition(b"://")[2].partition(b"/")[0].partition(b"?")[0]
                if not self._authority:
                    raise BadRequest("a request's target names no host behind http://")
            url = _origin_form(url)
        if b"#" in url:
            raise BadRequest("a request's target has no fragment; what follows # stays with the client")
        if b"%" in url:
            check_escapes(url)
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
    def _to_problem(error: Exception) -> Problem:
        """Convert an error of the parser, or one raised by the callbacks above."""
        cause = error.__context__
        if isinstance(cause, Problem):
            return cause
        return BadRequest(f"the request is malformed: {error}")


@lru_cache(1_000)
def _is_host(host: bytes) -> bool:
    return _HOST.fullmatch(host) is not None


def check_escapes(target: bytes) -> None:
    """Raise `BadRequest` for an escape or an encoding that one parser reads otherwise than another: of two
    names that are both read as U+FFFD, an act on one would be on the other.
    """
    try:
        unquote_to_bytes(target).decode()
    except UnicodeDecodeError:
        raise BadRequest("a request's target is UTF-8, with percent-encoding") from None
    if _BAD_ESCAPE.search(target):
        raise BadRequest("a request's target has a % without two hexadecimal digits; write %25 for %")


def check_encoding(value: bytes) -> None:
    """Raise `WrongType` for a Content-Encoding: bodies are not decompressed (RFC 9110 §15.5.16)."""
    if value.strip().lower() not in (b"", b"identity"):
        problem = WrongType("send the body without a content-encoding")
        problem.headers = (("accept-encoding", "identity"),)
        raise problem


def checked_video(video: str) -> str:
    """Return a video's name. Raises `BadRequest` if it is invalid, `Forbidden` if it is the server's own."""
    if not is_video(video):
        raise BadRequest(
            "a video is named with 1 to 128 of A-Z a-z 0-9 . _ -, beginning with a letter or digit"
        )
    if video == SITE:
        raise Forbidden(f"{SITE} is the server's own log; choose another name")
    return video


def checked_key(header: str | None) -> str | None:
    """Return an `Idempotency-Key`, None without one. Raises `BadRequest`."""
    if header is not None and not (0 < len(header) <= MAX_KEY and header.isprintable()):
        raise BadRequest(f"an Idempotency-Key has 1 to {MAX_KEY} printable characters")
    return header


def _origin_form(target: bytes) -> bytes:
    """Return the path and query of a target in absolute form (RFC 9112 §3.2.2); other forms unchanged."""
    match = _AUTHORITY.match(target)
    if match is None:
        return target
    rest = target[match.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest
