"""The sections of a configuration: every setting with its type, its unit and its default.

Every limit of the server stands here with its number.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from liveserver.units import Address, Duration, Secret, Size

Role = Literal["frontend", "dispatcher", "backend"]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z")]
Datacenter = Annotated[str, Meta(pattern=r"^[a-z0-9]{1,16}\Z")]
Count = Annotated[int, Meta(ge=1)]
Videos = Annotated[
    str, Meta(pattern=r"^(\*|[A-Za-z0-9][A-Za-z0-9._-]{0,127}\*?)\Z")
]  # "v1", "concert-*", "*"
Rate = Annotated[float, Meta(ge=0)]  # a second; 0: as many as come
Limit = Annotated[int, Meta(ge=0)]  # at once; 0: as many as come
Scope = Literal["publish", "like", "comment", "moderate"]


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The base of all sections: immutable, and strict about names."""


class NodeSettings(Section, frozen=True):
    """Who this process is."""

    name: Name | None = None  # default: datacenter, roles and a random ending
    datacenter: Datacenter = "dc1"
    roles: list[Role] = msgspec.field(default_factory=lambda: ["frontend", "dispatcher", "backend"])
    workers: Count = 1  # processes sharing listen.public, named NAME-w1, NAME-w2, …
    open_to_all: bool = False  # listen beyond loopback although anybody may publish
    log_format: Literal["console", "json"] = "console"
    drain: Duration = Duration(10.0)  # how long viewers are let go for after SIGTERM
    switch_interval: Duration = Duration(0.0005)  # how long Redis' threads may wait for the interpreter


class ListenSettings(Section, frozen=True):
    """Where this process listens."""

    public: Address = Address("127.0.0.1:8000")
    tls: Address | None = None  # the same over TLS, in HTTP/1.1 and HTTP/2; needs tls.certificate
    ops: Address = Address("127.0.0.1:9000")  # worker 1 has it; each further one the next port
    backlog: Count = 4096  # the kernel caps it at net.core.somaxconn


class EdgeSettings(Section, frozen=True):
    """The HTTP/1.1 server: its limits, and which pages may use it."""

    allow_origins: list[str] = msgspec.field(default_factory=list)  # "*" for all; none: its own pages only
    trust_request_ids: bool = False  # a proxy in front sets x-request-id, and lets nobody else do it
    allow_credentials: bool = False  # those may send this server's cookies along
    trusted_proxies: list[str] = msgspec.field(default_factory=list)  # whose X-Forwarded-For is believed
    max_connections: Count = 19_000
    max_per_address: Annotated[int, Meta(ge=0)] = 0  # of these; 0: any. Not of loopback and trusted_proxies
    accept_rate: Count = 5_000  # new connections a second; the kernel holds the others meanwhile
    max_head: Size = Size(16 * 1024)  # request line and headers
    max_body: Size = Size(4 * 1024**2)
    max_bodies: Size = Size(256 * 1024**2)  # all that are being received, together
    head_timeout: Duration = Duration(10.0)  # from the first byte to the end of the headers
    body_timeout: Duration = Duration(20.0)
    keep_alive: Duration = Duration(75.0)  # between requests
    write_timeout: Duration = Duration(20.0)  # a response that makes no progress
    http2_streams: Count = 100  # requests and viewers at a time on one connection of HTTP/2


class TLSSettings(Section, frozen=True):
    """Certificates: the one this process shows, and those it believes."""

    certificate: str = ""  # a file: the certificate and what leads to its authority, PEM
    key: str = ""  # a file: its private key, PEM, without a passphrase
    minimum_version: Literal["1.2", "1.3"] = "1.2"
    ciphers: str = ""  # of TLS 1.2, as OpenSSL lists them; empty: its own choice
    http2: bool = True  # for clients that offer it
    handshake_timeout: Duration = Duration(10.0)
    reload: Duration = Duration(5.0)  # between two looks whether the files are others
    authorities: str = ""  # a file: who vouches for the dispatchers' certificates; empty: the system's


class BusSettings(Section, frozen=True):
    """What stands between the nodes."""

    kind: Literal["memory", "redis"] = "memory"
    url: str = "redis://127.0.0.1:6401/0"
    timeout: Duration = Duration(2.0)  # to connect, and for each answer
    inbox_batches: Count = 10_000  # waiting to be taken in; beyond it they are mended from the log


class LogSettings(Section, frozen=True):
    """How much of each video is remembered, in the bus and on the frontends watching it."""

    events: Count = 10_000
    age: Duration = Duration(600.0)
    idle: Duration = Duration(86_400.0)  # a quiet video's keys expire after this
    ids: Duration = Duration(300.0)  # how long an event's id is known


class DispatcherSettings(Section, frozen=True):
    """Publishing."""

    max_events: Count = 1_000  # in one request
    max_data: Size = Size(16 * 1024)  # one event's data
    max_depth: Count = 64  # arrays and objects inside each other
    commit_events: Count = 4_000  # in one group commit
    queue_events: Count = 50_000  # accepted for the next commits; beyond it: 503
    commit_timeout: Duration = Duration(10.0)  # retries of a commit included
    max_lease: Duration = Duration(300.0)


class FrontendSettings(Section, frozen=True):
    """Watching."""

    dispatchers: list[str] = msgspec.field(default_factory=list)  # empty: the one in this process
    dispatcher_timeout: Duration = Duration(3.0)
    lease: Duration = Duration(30.0)  # renewed three times within it
    counts_interval: Duration = Duration(1.0)  # between two looks at who watches, and two words about it
    linger: Duration = Duration(10.0)  # a video stays subscribed after its last viewer
    subscribe_timeout: Duration = Duration(10.0)  # a viewer's wait for a new video's dispatcher
    segment: Count = 500  # viewers written to between two checkpoints
    flush_interval: Duration = Duration(0.02)
    heartbeat: Duration = Duration(15.0)
    slow_timeout: Duration = Duration(30.0)  # a viewer that takes nothing for this long is let go
    slow_policy: Literal["skip", "close"] = "skip"  # one out of the log's reach: told `gap`, or let go
    max_write: Size = Size(64 * 1024)  # one write to a viewer
    send_buffer: Size = Size(64 * 1024)  # a viewer's socket in the kernel
    retry_min: Duration = Duration(1.0)
    retry_max: Duration = Duration(4.0)
    max_wait: Duration = Duration(60.0)  # long-poll
    default_wait: Duration = Duration(25.0)
    poll_events: Count = 500
    replay_events: Count = 200
    trace_visits: Count = 10_000  # of a video, remembered for those who ask what became of an event
    socket_videos: Count = 100  # watched on one WebSocket
    socket_message: Size = Size(4 * 1024)  # one message of its client
    socket_messages: Count = 100  # of them a second
    pong_timeout: Duration = Duration(20.0)  # a WebSocket that does not answer a ping is closed


class BackendSettings(Section, frozen=True):
    """Likes and comments: stored, then published."""

    database: Annotated[str, Meta(min_length=1)] = "liveserver.db"  # or postgresql://user:secret@host/name
    directory: Annotated[str, Meta(min_length=1)] = "data"  # where an SQLite file is, from where one stands
    dispatchers: list[str] = msgspec.field(default_factory=list)  # empty: the one in this process
    dispatcher_timeout: Duration = Duration(3.0)
    max_request: Size = Size(16 * 1024)  # one request's body
    max_text: Count = 500  # characters of a comment
    max_reactions: Count = 64  # different ones of a video
    summary_comments: Count = 50
    idempotency_window: Duration = Duration(3600.0)  # how long an Idempotency-Key is known
    commit_wishes: Count = 1_000  # in one transaction
    queue: Count = 10_000  # waiting for the next transactions; beyond it: 503
    batch_events: Count = 500  # handed to a dispatcher at once
    outbox_rows: Count = 10_000  # kept in memory while no dispatcher answers; the others in the database


class PeerSettings(Section, frozen=True):
    """Another datacenter, from which events are relayed."""

    url: Annotated[str, Meta(min_length=1)]  # of its Redis


class RelaySettings(Section, frozen=True):
    """The way from the other datacenters into ours."""

    timeout: Duration = Duration(3.0)  # to connect to a peer, and for each answer of its
    retry_min: Duration = Duration(0.1)  # after a failure at most this; doubled each time …
    retry_max: Duration = Duration(1.0)  # … up to this; always a random part of it
    lease: Duration = Duration(10.0)  # of a dispatcher's share of the work; renewed three times within it
    sweep_interval: Duration = Duration(5.0)  # how often it is asked what moved, and compared
    deep_interval: Duration = Duration(60.0)  # how often all is compared that its log remembers (log.age)
    batch_events: Count = 5_000  # in one round trip
    buffer: Size = Size(32 * 1024**2)  # heard and not carried yet; beyond it they are read from its log
    inbox_batches: Count = 10_000  # waiting to be taken in; likewise


class PublisherSettings(Section, frozen=True):
    """One who may publish, by a key that is shown as `Authorization: Bearer KEY`."""

    key: Secret | None = None
    key_file: str | None = None  # one key a line; all of them are accepted
    videos: list[Videos] = msgspec.field(default_factory=lambda: ["*"])
    scopes: list[Scope] = msgspec.field(default_factory=lambda: ["publish"])


class AuthSettings(Section, frozen=True):
    """Who may. Files are read at the start; of secrets, each line is accepted and the first one signs."""

    viewers: Literal["open", "token"] = "open"  # token: who watches, likes and comments shows a JWT
    secret: Secret | None = None  # HS256
    secret_file: str | None = None
    public_key_file: str | None = None  # PEM; RS256 for an RSA key, ES256 for one on P-256
    jwks: str | None = None  # a file, or an https:// URL
    jwks_refresh: Duration = Duration(600.0)
    jwks_pause: Duration = Duration(30.0)  # between two fetches because of unknown keys
    jwks_timeout: Duration = Duration(5.0)
    audience: str | None = None
    issuer: str | None = None
    leeway: Duration = Duration(10.0)  # clocks differ
    require_expiry: bool = True
    max_token: Size = Size(8 * 1024)
    cookie: str = "liveserver_token"  # its name; empty: none is looked at
    query_lifetime: Duration = Duration(900.0)  # what a ?token= may have left: addresses end up in logs
    remembered_tokens: Count = 50_000  # checked once and not again until they expire
    publishers: dict[Name, PublisherSettings] = msgspec.field(default_factory=dict)
    nodes_secret: Secret | None = None  # signs what nodes ask of dispatchers
    nodes_secret_file: str | None = None
    node_token: Duration = Duration(60.0)  # how long such a signature is good
    ops_key: Secret | None = None  # for the ops pages but /healthz and /readyz
    ops_key_file: str | None = None


class LimitSettings(Section, frozen=True):
    """How often and how many, per second and at once. 0: any."""

    burst: Duration = Duration(10.0)  # what was not used for so long may come at once
    remembered: Count = 100_000  # addresses, users and videos whose rates are known
    connects_per_address: Rate = 0.0
    connects_per_user: Rate = 0.0
    connects_per_video: Rate = 0.0
    viewers_per_address: Limit = 0
    viewers_per_user: Limit = 0
    viewers_per_video: Limit = 0  # on this node
    events_per_address: Rate = 0.0  # published
    events_per_publisher: Rate = 0.0
    events_per_video: Rate = 0.0
    likes_per_address: Rate = 0.0
    likes_per_user: Rate = 0.0
    likes_per_video: Rate = 0.0
    comments_per_address: Rate = 0.0
    comments_per_user: Rate = 0.0
    comments_per_video: Rate = 0.0


class CanarySettings(Section, frozen=True):
    """How a node proves to itself that it delivers."""

    interval: Duration = Duration(5.0)
    timeout: Duration = Duration(3.0)  # for the whole way; beyond it the node is not ready


class OpsSettings(Section, frozen=True):
    """The window to look in: metrics, status, dashboard."""

    top_videos: Count = 20  # those with most viewers are told apart, all others counted together


class Settings(Section, frozen=True):
    """Everything a process is told. Build it with `load`; it is checked then, and immutable."""

    node: NodeSettings = NodeSettings()
    listen: ListenSettings = ListenSettings()
    edge: EdgeSettings = EdgeSettings()
    tls: TLSSettings = TLSSettings()
    bus: BusSettings = BusSettings()
    log: LogSettings = LogSettings()
    dispatcher: DispatcherSettings = DispatcherSettings()
    frontend: FrontendSettings = FrontendSettings()
    backend: BackendSettings = BackendSettings()
    canary: CanarySettings = CanarySettings()
    ops: OpsSettings = OpsSettings()
    peers: dict[Datacenter, PeerSettings] = msgspec.field(default_factory=dict)  # by their names
    relay: RelaySettings = RelaySettings()
    auth: AuthSettings = AuthSettings()
    limits: LimitSettings = LimitSettings()
