"""The targets of `make fuzz`, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from tests.fuzz import checks


@dataclass(frozen=True)
class Target:
    """`check` is fed; `words` are what its inputs are likely to be made of; `cost` how dear one input is."""

    check: Callable[[bytes], None]
    words: tuple[bytes, ...] = ()
    cost: float = 1.0


_HTTP = (
    b"GET ", b"POST ", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n", b"Host: x\r\n", b"\r\n\r\n", b"\r\n", b"\n", b"\r",
    b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Connection: close\r\n", b"5\r\nhello\r\n",
    b"0\r\n\r\n", b"Upgrade: h2c\r\n", b"Expect: 100-continue\r\n", b"/echo", b"?a=1&b=2", b"http://h/",
    b": ", b" ", b"\t", b"\x00", b"\x0b", b";x=\"y\"", b"+5", b"-1", b"0x5", b"ffffffffffffffff",
    b"%00", b"%2e%2e/",
)  # fmt: skip
_JSON = (
    b'{"type":"like"}', b'"type":"like"', b'"user":"u"', b'"data":', b'"id":"1"', b'"video":"v"', b"[", b"]",
    b"{", b"}", b",", b'"\\ud800"', b'"\\u0000"', b"1e999", b"9" * 140, b'"a":1,"a":2', b'"\\u0061":1',
    b"\xe2\x80\xa8", b"\xc2\x85", b'"type":"error"', b"-0", b"null", b"\n", b"\r",
    b"\xff", b"\xef\xbb\xbf",
)  # fmt: skip

_CHUNKS = (b"\r\n", b"0\r\n\r\n", b"5\r\nhello\r\n", b";a=b", b"A: b\r\n", b"f" * 15)
_LEASE = (*_JSON, b'"node":"n"', b'"lease":30', b'"videos":{"v":1}', b'"videos":["v"]')
_FRAMES = (*_JSON, b"\x81\x85", b"\x01\x80", b"\x88\x82", b'{"subscribe":{"video":"v"}}')
_INBOX = (
    b"v e 1 dc1 e 1\nlike {}", b"v e 2 dc2 f 1\nlike {}", b"\x00", b'\nretract {"data":{"id":"1"}}',
    b'\nlike {"id":"1","video":"v"}', b"#v dc1 1 1 1", b" ", b"\n",
)  # fmt: skip
_STREAM = (b"data:", b"id: ", b"event: ", b"retry: 1", b"\n", b"\r", b"\r\n", b"\xef\xbb\xbf", b":")
_TOKEN = (
    b"Bearer ", b"Basic ", b"token=", b"; ", b".", b"eyJhbGciOiJIUzI1NiJ9", b"eyJhbGciOiJub25lIn0",
    b'"exp":2e9', b'"videos":["v","concert-*"]', b'"sub":"ada"', b'"scope":"watch"', b'"aud":"a"', b"{", b"}",
    b",", b"=", b"-_",
)  # fmt: skip

TARGETS = {
    "request": Target(checks.request, _HTTP, 2),
    "chunked": Target(checks.chunked, _CHUNKS, 2),
    "connection": Target(checks.connection, _HTTP, 12),
    "publish": Target(checks.publish, _JSON),
    "lease": Target(checks.lease, _LEASE),
    "cursor": Target(checks.cursor, (b"dc1-e-1", b"~", b"-", b"0", b"999999999999999")),
    "websocket": Target(checks.websocket, _FRAMES, 2),
    "batch": Target(checks.batch, (b"v e 1 dc1 e 1", b"\nlike {}", b" ", b"\n", b"0", b"-", b"~")),
    "tally": Target(checks.tally, (b"#v dc1 1 2 3000", b" ", b"0", b"999999999999999")),
    "answers": Target(checks.answers, (b"e 1 1 - dc1-e-1", b"e 1 dc1-e-1", b"~", b"-", b" ", b"1,2")),
    "inbox": Target(checks.inbox, _INBOX, 6),
    "token": Target(checks.token, _TOKEN, 2),
    "stream": Target(checks.stream, _STREAM),
    "page": Target(checks.page, (*_JSON, b'"cursor":"dc1-e-1"', b'"events":[', b'"gap":true')),
}
