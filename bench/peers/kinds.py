"""The peers: how each is started and requested, and whether it is installed."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import partial
from urllib.parse import quote, urlencode

from bench import polls, sockets, viewers
from bench.harness import VIDEO
from bench.likes import STAMP, RequestTemplate
from bench.peers import programs
from bench.peers.install import COMMANDS
from bench.peers.programs import KEY, packages, program
from bench.server import Server
from bench.stage import PATH, POLL, Manner

TOKEN, PER_MS = b'"type":"like","user":"t', 1000
READY = b"event: ready\n"
BATCH = 100  # events of one request, where there is a way to send several

# The event as viewers get it. The others are given it whole; liveserver adds `id`, `video` and `at` itself.
EVENT = {
    "id": "01JD0000000000000000000000",
    "video": VIDEO,
    "type": "like",
    "user": f"t{STAMP.decode()}",
    "at": 1763862000123,
    "data": {"reaction": "heart"},
}
LIKE = {name: EVENT[name] for name in ("type", "user", "data")}


@dataclass(frozen=True)
class Peer:
    """A server to compare.

    `demand` is the load that saturates it, in deliveries/s: more than it can deliver, and at
    most `max_likes` a second. `poll` is None where it has no long-poll of its own, and `batch`
    where a request carries one event only.
    """

    name: str
    start: Callable[[int], AbstractContextManager[Server]]
    version: Callable[[], str]  # empty: not installed
    install: str
    stream: Manner
    demand: float
    poll: Manner | None = None
    poll_demand: float = 0.0
    batch: RequestTemplate | None = None
    max_likes: float = 600.0
    one_event_per_write: bool = True

    def rate(self, demand: float, count: int) -> float:
        """Return the likes/s that saturate it with `count` viewers."""
        return min(demand / count, self.max_likes)


def _body(event: object) -> bytes:
    return json.dumps(event, separators=(",", ":")).encode()


def _told(ready: bytes) -> tuple[str, bytes, int, bytes]:
    return ("understand", TOKEN, PER_MS, ready)


OWN = RequestTemplate((PATH,), _body(LIKE))
OWN_BATCH = RequestTemplate((PATH,), _body([LIKE] * BATCH), BATCH)
OWN_STREAM = Manner(viewers.run, PATH, (_told(READY),), OWN)
THEIRS = RequestTemplate(("/publish",), _body(EVENT))
LINES = RequestTemplate(("/publish",), b"\n".join([_body(EVENT)] * BATCH), BATCH)
THEIR_STREAM = Manner(viewers.run, "/events", (_told(READY),), THEIRS)
LIVESERVER = partial(packages, "trio", "httptools", "msgspec")

CENTRIFUGO_PUBLISH = {"channel": VIDEO, "data": EVENT}
CENTRIFUGO_KEY = (f"X-API-Key: {KEY}",)
CENTRIFUGO = RequestTemplate(("/api/publish",), _body(CENTRIFUGO_PUBLISH), headers=CENTRIFUGO_KEY)
CENTRIFUGO_BATCH = RequestTemplate(
    ("/api/batch",),
    _body({"commands": [{"publish": CENTRIFUGO_PUBLISH}] * BATCH}),
    BATCH,
    headers=CENTRIFUGO_KEY,
)
CENTRIFUGO_SUBSCRIBE = quote(_body({"subs": {VIDEO: {}}}))

MERCURE = RequestTemplate(
    ("/.well-known/mercure",),
    urlencode({"topic": VIDEO, "data": _body(EVENT).decode()}).encode(),
    headers=(f"Authorization: Bearer {programs.mercure_token()}",),
    content_type="application/x-www-form-urlencoded",
)


def _pushpin(count: int) -> RequestTemplate:
    content = f"id: 1\nevent: like\ndata: {_body(EVENT).decode()}\n\n"
    item = {
        "channel": "test",
        "formats": {"http-stream": {"content": content}},
    }  # its built-in origin's channel
    return RequestTemplate(("/publish/",), _body({"items": [item] * count}), count)


PEERS = (
    Peer(
        "liveserver",
        programs.liveserver,
        LIVESERVER,
        "",
        OWN_STREAM,
        6_000_000.0,
        Manner(polls.run, POLL, (_told(READY),), OWN),
        1_000_000.0,
        batch=OWN_BATCH,
        one_event_per_write=False,
    ),
    Peer(
        "liveserver, one event a write",
        lambda core: programs.liveserver(core, "frontend.flush_interval=0s", "frontend.max_write=1B"),
        LIVESERVER,
        "",
        OWN_STREAM,
        350_000.0,
    ),
    Peer(
        "nginx + nchan",
        partial(program, programs.nchan, "/ready"),
        programs.nchan_version,
        COMMANDS["nchan"],
        Manner(viewers.run, "/events", (_told(b"\r\n\r\n"),), THEIRS),
        350_000.0,
        Manner(polls.run, "/poll", (_told(b""), ("speak_nchan",)), THEIRS),
        100_000.0,
    ),
    Peer(
        "Centrifugo, uni_sse",
        partial(program, programs.centrifugo, "/health"),
        programs.centrifugo_version,
        COMMANDS["centrifugo"],
        Manner(
            viewers.run,
            f"/connection/uni_sse?cf_connect={CENTRIFUGO_SUBSCRIBE}",
            (_told(b'{"connect":'),),
            CENTRIFUGO,
        ),
        1_000_000.0,
        batch=CENTRIFUGO_BATCH,
        one_event_per_write=False,
    ),
    Peer(
        "Centrifugo, WebSocket",
        partial(program, programs.centrifugo, "/health"),
        programs.centrifugo_version,
        COMMANDS["centrifugo"],
        Manner(
            sockets.run,
            "/connection/websocket",
            (_told(b'"subscribe":{'), ("speak_centrifugo", VIDEO)),
            CENTRIFUGO,
        ),
        1_000_000.0,
        one_event_per_write=False,
    ),
    Peer(
        "Mercure",
        partial(program, programs.mercure, "/ready"),
        programs.mercure_version,
        COMMANDS["mercure"],
        Manner(viewers.run, f"/.well-known/mercure?topic={VIDEO}", (_told(b"\r\n\r\n"),), MERCURE),
        200_000.0,
    ),
    Peer(
        "Pushpin",
        partial(program, programs.pushpin, "/stream", publishes_elsewhere=True),
        programs.pushpin_version,
        COMMANDS["pushpin"],
        Manner(viewers.run, "/stream", (_told(b"[stream opened]\n"),), _pushpin(1)),
        200_000.0,
        batch=_pushpin(BATCH),
    ),
    Peer(
        "Go, net/http",
        partial(program, programs.nethttp, "/ready"),
        programs.nethttp_version,
        COMMANDS["nethttp"],
        THEIR_STREAM,
        6_000_000.0,
        batch=LINES,
        one_event_per_write=False,
    ),
    Peer(
        "Rust, axum",
        partial(program, programs.axum, "/ready"),
        programs.axum_version,
        COMMANDS["axum"],
        THEIR_STREAM,
        6_000_000.0,
        batch=LINES,
        one_event_per_write=False,
    ),
    Peer(
        "Node",
        partial(program, programs.node, "/ready"),
        programs.node_version,
        "apt-get install nodejs",
        THEIR_STREAM,
        350_000.0,
        batch=LINES,
    ),
    Peer(
        "uvicorn + sse-starlette",
        partial(program, programs.starlette, "/ready"),
        partial(packages, "uvicorn", "uvloop", "sse-starlette"),
        "pip install --group bench",
        THEIR_STREAM,
        60_000.0,
    ),
    Peer(
        "Quart-Trio on Hypercorn",
        partial(program, programs.quart, "/ready"),
        partial(packages, "quart-trio", "hypercorn"),
        "pip install --group bench",
        THEIR_STREAM,
        20_000.0,
    ),
)
