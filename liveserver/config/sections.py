"""The sections of a configuration: every setting with its type, its unit and its default.

Every limit of the server is defined here, in storage_sections.py, auth_sections.py or hook_sections.py.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from liveserver.config.auth_sections import AuthSettings, LimitSettings
from liveserver.config.hook_sections import HookSettings
from liveserver.config.storage_sections import BackendSettings, LikeSettings, RecorderSettings, ReviewSettings
from liveserver.config.values import Count, Datacenter, EventType, Limit, Name, RoleName, Section
from liveserver.units import Address, Duration, Size


class NodeSettings(Section, frozen=True):
    """This process: its name, its roles, its workers."""

    name: Name | None = None  # unique per Redis; default: made from datacenter, roles and a random suffix
    datacenter: Datacenter = "dc1"  # the same for all nodes of one Redis
    # what this process does
    roles: list[RoleName] = msgspec.field(default_factory=lambda: ["frontend", "dispatcher", "backend"])
    # processes sharing `listen.public`, named NAME-w1, NAME-w2, …; more than 1 needs `bus.kind = "redis"`
    workers: Count = 1
    allow_unauthenticated: bool = False  # listen beyond loopback although authentication is off
    log_format: Literal["console", "json"] = "console"  # `json`: one object per line
    log_level: Literal["debug", "info", "warning", "error"] = "info"  # less severe events are not logged
    log_queue: Count = 10_000  # log lines waiting to be written; beyond it they are dropped and counted
    # after SIGTERM, only readiness is red for this long, for load balancers; then the drain begins
    lame_duck: Duration = Duration(0.0)
    drain_timeout: Duration = Duration(10.0)  # after SIGTERM, viewers are disconnected evenly over this time
    # how often the names in `dns+http://` URLs of dispatchers are looked up
    resolve_interval: Duration = Duration(5.0)
    switch_interval: Duration = Duration(0.0005)  # how long Redis' threads may wait for the interpreter
    # have glibc return the memory of large requests to the system, instead of keeping it for later ones
    tune_malloc: bool = True


class ListenSettings(Section, frozen=True):
    """The addresses this process listens on."""

    public: Address = Address("127.0.0.1:8000")  # plain HTTP: viewers, publishers, other nodes
    tls: Address | None = None  # the same over TLS, as HTTP/1.1 and HTTP/2; needs `tls.certificate`
    # health, metrics, status, dashboard; worker N listens N - 1 ports above
    ops: Address = Address("127.0.0.1:9000")
    backlog: Count = 4096  # connections not accepted yet; the kernel caps it at net.core.somaxconn


class EdgeSettings(Section, frozen=True):
    """The HTTP server: its limits, and the web pages that may use it."""

    # origins of other sites whose pages may use this server; `"*"`: all
    allow_origins: list[str] = msgspec.field(default_factory=list)
    # a line of the log for each request, without its query; `refused`: for those answered 400 or more
    access_log: Literal["off", "refused", "all"] = "off"
    trust_request_ids: bool = False  # accept `x-request-id` from a proxy in front, which must set it itself
    allow_credentials: bool = False  # pages of these origins may send cookies; not with `"*"`
    # addresses or networks whose `X-Forwarded-For` is used
    trusted_proxies: list[str] = msgspec.field(default_factory=list)
    max_connections: Count = 19_000  # open connections and HTTP/2 exchanges; less than `ulimit -n`
    # connections of one address, 0: unlimited; loopback and `trusted_proxies` are exempt
    max_per_address: Limit = 0
    accept_rate: Count = 10_000  # new connections per second; further ones wait in the kernel
    max_header_size: Size = Size(16 * 1024)  # request line and headers
    max_body: Size = Size(4 * 1024**2)  # one request body
    max_body_memory: Size = Size(256 * 1024**2)  # all request bodies being received, together
    header_timeout: Duration = Duration(10.0)  # from the first byte to the end of the headers
    body_timeout: Duration = Duration(20.0)  # from the end of the headers to the end of the body
    keep_alive: Duration = Duration(75.0)  # between two requests of one connection
    write_timeout: Duration = Duration(20.0)  # a response that makes no progress for this long is aborted
    # the least bytes per second at which a client must read a response that exceeds the socket's buffer
    min_write_rate: Size = Size(1024)
    # host names, besides this machine's, that a node listening on loopback accepts: a proxy's,
    # `*.example.org`, `"*"`
    allow_hosts: list[str] = msgspec.field(default_factory=list)
    http2_streams: Count = 100  # concurrent streams of one HTTP/2 connection


class TLSSettings(Section, frozen=True):
    """Certificates: the one this process presents, and the authorities it trusts."""

    certificate: str = ""  # a PEM file: the certificate, then its intermediates; reloaded when it changes
    key: str = ""  # a PEM file: the private key, without a passphrase
    minimum_version: Literal["1.2", "1.3"] = "1.2"  # the oldest TLS version accepted
    ciphers: str = ""  # for TLS 1.2, in OpenSSL's syntax; empty: OpenSSL's default
    http2: bool = True  # offer HTTP/2 (ALPN)
    handshake_timeout: Duration = Duration(10.0)  # a handshake that takes longer is aborted
    reload: Duration = Duration(5.0)  # how often the files are checked for changes
    # a PEM file of the authorities that dispatchers and webhooks with https URLs are verified against; empty:
    # the system's
    ca_file: str = ""


class BusSettings(Section, frozen=True):
    """The connection between the nodes: memory or Redis."""

    kind: Literal["memory", "redis"] = "memory"  # `memory` only within one process
    # `redis://`, `rediss://`, `redis+sentinel://` or `redis+cluster://`
    url: str = "redis://127.0.0.1:6401/0"
    timeout: Duration = Duration(2.0)  # to connect, and for each reply
    # in a Redis Cluster from Redis 7: messages to nodes by sharded pub/sub, not to all servers of the cluster
    sharded: bool = True
    # batches received and not yet processed; beyond it they are dropped and read from the log
    inbox_batches: Count = 10_000


class HistorySettings(Section, frozen=True):
    """How much of each video's log is retained, in the bus and on the frontends with viewers of it."""

    max_events: Count = 10_000  # events per video, besides those of `ephemeral_types`
    max_age: Duration = Duration(600.0)  # older events are removed
    # types with a bound of their own (`ephemeral_events`), so that a storm of them removes no other events
    ephemeral_types: list[EventType] = msgspec.field(default_factory=lambda: ["like", "likes"])
    ephemeral_events: Count = 10_000  # events of these types per video; `max_events` counts the others
    # bytes of a video's events that the memory bus holds, of either kind: fewer than `max_events` or
    # `ephemeral_events` of large ones. Redis is bounded by the numbers of events.
    memory_size: Size = Size(16 * 1024**2)
    idle_ttl: Duration = Duration(86_400.0)  # a video's keys in Redis expire after this long without an event
    dedup_window: Duration = Duration(300.0)  # how long an event's id is remembered; a repeat is a duplicate
    # events of a video that a frontend holds for viewers behind live, regardless of `max_events`
    delayed_events: Count = 100_000
    state_keys: Count = 20_000  # keys in a video's state; beyond it: 413
    state_size: Size = Size(4 * 1024**2)  # a video's state, keys and events; beyond it: 413


class DispatcherSettings(Section, frozen=True):
    """Publishing."""

    max_events: Count = 1_000  # events in one request
    max_data: Size = Size(16 * 1024)  # one event's `data`
    max_depth: Count = 64  # nesting of arrays and objects in `data`
    max_ahead: Duration = Duration(5.0)  # how far an event's own `at` may be ahead of this node's clock
    commit_events: Count = 4_000  # events in one group commit
    queue_events: Count = 50_000  # events waiting for the next commits; beyond it: 503
    commit_timeout: Duration = Duration(10.0)  # for one commit, retries included
    # a request waits this long for frontends that hold its video back (`frontend.hold_back`); then: 429
    max_hold: Duration = Duration(2.0)
    max_lease: Duration = Duration(300.0)  # the longest lease granted to a frontend


class FrontendSettings(Section, frozen=True):
    """Watching."""

    # base URLs, tried in turn; `dns+http://NAME:PORT`: all addresses of that name; empty: the dispatcher in
    # this process
    dispatchers: list[str] = msgspec.field(default_factory=list)
    dispatcher_timeout: Duration = Duration(3.0)  # for one request; then the next dispatcher is tried
    lease: Duration = Duration(30.0)  # of a row in the subscription table; renewed three times within it
    # how often viewer counts are reported, and sent to viewers, at most
    counts_interval: Duration = Duration(1.0)
    linger: Duration = Duration(10.0)  # a video stays subscribed this long after its last viewer
    subscribe_timeout: Duration = Duration(10.0)  # how long a new video's first viewer waits for a dispatcher
    segment_size: Count = 500  # viewers written to between two checkpoints
    # longest pause between two writes to the same viewers; grows with the node's load
    flush_interval: Duration = Duration(0.02)
    # a stream without data for this long is sent a heartbeat, a WebSocket a ping
    heartbeat: Duration = Duration(15.0)
    # a viewer that accepts no bytes for this long is disconnected (`slow`)
    slow_timeout: Duration = Duration(30.0)
    # a viewer that fell behind the log: `skip` sends `gap`, `close` disconnects it
    slow_policy: Literal["skip", "close"] = "skip"
    max_write: Size = Size(64 * 1024)  # one write to a viewer
    # a video's publishers are held back for so long, again and again, while viewers that read without a
    # pause are a quarter of its log behind; 0: never
    hold_back: Duration = Duration(0.02)
    # `gzip`: for clients that accept it, event streams and long-polls are compressed by gzip, WebSocket
    # messages by permessage-deflate; each write once for all viewers
    compression: Literal["off", "gzip"] = "off"
    compression_min_size: Size = Size(128)  # smaller writes are sent as they are
    send_buffer: Size = Size(64 * 1024)  # the kernel's send buffer of a viewer's socket
    # of the reconnection time sent to viewers, chosen at random per viewer
    retry_min: Duration = Duration(1.0)
    retry_max: Duration = Duration(4.0)  # of the same; at least `retry_min`
    max_wait: Duration = Duration(60.0)  # upper bound of a long-poll's `wait`
    default_wait: Duration = Duration(25.0)  # a long-poll's `wait` unless given
    poll_events: Count = 500  # default and upper bound of a long-poll's `limit`
    # events in a long-poll's answer; the next poll continues after the last one
    poll_bytes: Size = Size(1024 * 1024)
    replay_events: Count = 200  # upper bound of `replay`
    max_delay: Duration = Duration(120.0)  # upper bound of `behind`; at most `history.max_age`
    # different delays of one video's viewers, in whole seconds; beyond it the nearest existing one is used
    max_delays: Count = 60
    filter_types: Count = 16  # types in one `types`
    max_filters: Count = 32  # different `types` and `rate` of one video's viewers; beyond it 429, or `bye`
    max_sample_rate: Count = 100  # upper bound of `rate`, comments a second
    trace_flushes: Count = 10_000  # writes per video remembered for `…/events/{id}/trace`
    websocket_max_videos: Count = 100  # subscriptions on one WebSocket
    websocket_max_message_size: Size = Size(4 * 1024)  # one message of a WebSocket client
    websocket_message_rate: Count = 100  # messages of a WebSocket client per second
    pong_timeout: Duration = Duration(20.0)  # a WebSocket whose ping is not answered within this is closed


class PeerSettings(Section, frozen=True):
    """Another datacenter, whose events are relayed into this one."""

    url: Annotated[str, Meta(min_length=1)]  # of its Redis, as `bus.url`


class RelaySettings(Section, frozen=True):
    """Relaying events from the other datacenters."""

    timeout: Duration = Duration(3.0)  # to connect to a peer, and for each of its replies
    retry_min: Duration = Duration(0.1)  # first backoff after a failure; doubled each time, with full jitter
    retry_max: Duration = Duration(1.0)  # longest backoff
    # of a dispatcher's membership in the group that relays from a peer; renewed three times within it
    lease: Duration = Duration(10.0)
    sweep_interval: Duration = Duration(5.0)  # how often a peer is asked which videos have new events
    full_sweep_interval: Duration = Duration(60.0)  # how often everything in a peer's log is compared
    batch_events: Count = 5_000  # events in one round trip
    # events received and not yet relayed; beyond it they are dropped and read from the peer's log
    buffer: Size = Size(32 * 1024**2)
    inbox_batches: Count = 10_000  # batches received and not yet processed; likewise


class CanarySettings(Section, frozen=True):
    """The event each node sends to itself, through dispatcher and bus, to prove that it delivers."""

    interval: Duration = Duration(5.0)  # between two canary events
    timeout: Duration = Duration(3.0)  # for the round trip; beyond it the node is not ready


class OpsSettings(Section, frozen=True):
    """Metrics, status and dashboard."""

    max_connections: Count = 64  # open connections to the ops port; beyond it the kernel's backlog holds them
    timeout: Duration = Duration(20.0)  # for one request and its response; then the connection is closed

    # `host:port` at which the other nodes reach `listen.ops`; default: that address, or this machine's name
    advertise: Address | None = None
    max_nodes: Count = 64  # that the dashboard asks for its view of the cluster
    node_timeout: Duration = Duration(2.0)  # for each of their answers

    # number of videos, those with most viewers, with metrics of their own; the rest count as `(other)`
    top_videos: Count = 20


class TracingSettings(Section, frozen=True):
    """OpenTelemetry traces, from the request of a like, comment or publisher to the writes to viewers."""

    # OTLP/HTTP URL of a collector, such as `http://127.0.0.1:4318/v1/traces`; empty: no traces. Needs
    # liveserver[otel]
    endpoint: Annotated[
        str,
        Meta(
            pattern=r"^(https?://[^\s/@]+(/\S*)?)?\Z",
            description='an http(s) URL without a password like "http://127.0.0.1:4318/v1/traces"',
        ),
    ] = ""
    # share of the requests without a `traceparent` that are traced; sampled parents are always followed
    sample: Annotated[float, Meta(ge=0, le=1)] = 0.0
    max_rate: Count = 50  # traces a second, at most, whatever requests ask for
    queue: Count = 2_048  # spans waiting to be exported; beyond it they are dropped, and counted
    timeout: Duration = Duration(10.0)  # for exporting one batch, with retries
    service: Annotated[str, Meta(min_length=1, max_length=128)] = "liveserver"  # `service.name` of the spans


class Settings(Section, frozen=True):
    """All settings of a process: built and checked by `load`, then immutable."""

    node: NodeSettings = NodeSettings()
    listen: ListenSettings = ListenSettings()
    edge: EdgeSettings = EdgeSettings()
    tls: TLSSettings = TLSSettings()
    bus: BusSettings = BusSettings()
    history: HistorySettings = HistorySettings()
    dispatcher: DispatcherSettings = DispatcherSettings()
    frontend: FrontendSettings = FrontendSettings()
    backend: BackendSettings = BackendSettings()
    likes: LikeSettings = LikeSettings()
    recorder: RecorderSettings = RecorderSettings()
    hooks: HookSettings = HookSettings()
    review: ReviewSettings = ReviewSettings()
    canary: CanarySettings = CanarySettings()
    ops: OpsSettings = OpsSettings()
    tracing: TracingSettings = TracingSettings()
    peers: dict[Datacenter, PeerSettings] = msgspec.field(default_factory=dict)  # by their names
    relay: RelaySettings = RelaySettings()
    auth: AuthSettings = AuthSettings()
    limits: LimitSettings = LimitSettings()
