"""The sections `auth` and `limits`: every setting with its type, its unit and its default."""

from __future__ import annotations

from typing import Literal

import msgspec

from liveserver.config.values import Count, Limit, Name, Rate, Scope, Section, Videos
from liveserver.units import Duration, Secret, Size


class PublisherSettings(Section, frozen=True):
    """A publisher, identified by a key (`Authorization: Bearer KEY`)."""

    key: Secret | None = None  # the key itself; preferably use `key_file`
    key_file: str | None = None  # one key per line; each is accepted
    # names, prefixes (`concert-*`) or `*`
    videos: list[Videos] = msgspec.field(default_factory=lambda: ["*"])
    # what the key allows; `like` and `comment` are for any user
    scopes: list[Scope] = msgspec.field(default_factory=lambda: ["publish"])


class AuthSettings(Section, frozen=True):
    """Authentication. Secret files are read at the start; each line is accepted, the first one signs."""

    viewers: Literal["open", "token"] = "open"  # `token`: watching, liking and commenting need a JWT
    secret: Secret | None = None  # HS256; preferably use `secret_file`
    secret_file: str | None = None  # one secret per line
    public_key_file: str | None = None  # PEM; RS256 for an RSA key, ES256 for P-256, EdDSA for Ed25519
    jwks: str | None = None  # a key set: a file, or an `https://` URL
    jwks_refresh: Duration = Duration(600.0)  # how often the key set is fetched again
    jwks_cooldown: Duration = Duration(30.0)  # least time between two fetches caused by unknown key ids
    jwks_timeout: Duration = Duration(5.0)  # for one fetch
    audience: str | None = None  # tokens must have this `aud`
    issuer: str | None = None  # tokens must have this `iss`
    leeway: Duration = Duration(10.0)  # tolerated difference between clocks
    require_expiry: bool = True  # tokens without `exp` are refused
    max_token: Size = Size(8 * 1024)  # a longer token is refused unread
    cookie: str = "liveserver_token"  # the name of the cookie a token may come in; empty: none
    query_lifetime: Duration = Duration(
        900.0
    )  # longest remaining lifetime of a `?token=`, since URLs are logged
    token_cache_size: Count = 50_000  # verified tokens kept in memory until they expire
    publishers: dict[Name, PublisherSettings] = msgspec.field(default_factory=dict)  # one table per publisher
    revocation_ttl: Duration = Duration(
        86_400.0
    )  # longest duration of a revocation: at least the lifetime of tokens
    revocation_interval: Duration = Duration(0.25)  # how often each node reads new revocations
    nodes_secret: Secret | None = None  # signs requests between nodes; preferably use `nodes_secret_file`
    nodes_secret_file: str | None = None  # one secret per line; the same on all nodes
    node_token_ttl: Duration = Duration(60.0)  # lifetime of a signature between nodes
    # for the ops pages except `/healthz` and `/readyz`; preferably use `ops_key_file`
    ops_key: Secret | None = None
    ops_key_file: str | None = None  # one key per line


class LimitSettings(Section, frozen=True):
    """Rates per second and numbers at once, for each node. 0: unlimited."""

    burst: Duration = Duration(10.0)  # unused rate accumulates for this long
    rate_cache_size: Count = 100_000  # addresses, users and videos whose rates are kept
    connects_per_address: Rate = 0.0  # new viewers per address
    connects_per_user: Rate = 0.0  # new viewers per user
    connects_per_video: Rate = 0.0  # new viewers per video
    viewers_per_address: Limit = 0  # viewers at once per address
    viewers_per_user: Limit = 0  # viewers at once per user
    viewers_per_video: Limit = 0  # viewers at once per video
    videos_per_node: Limit = 100_000  # videos watched at once at one node; beyond it new ones are refused
    new_videos_per_address: Rate = 0.0  # videos per address that had no viewer at this node
    events_per_address: Rate = 0.0  # events published per address
    events_per_publisher: Rate = 0.0  # events published per publisher's key
    events_per_video: Rate = 0.0  # events published per video
    likes_per_address: Rate = 0.0  # likes per address
    likes_per_user: Rate = 0.0  # likes per user
    likes_per_video: Rate = 0.0  # likes per video
    comments_per_address: Rate = 0.0  # comments per address
    comments_per_user: Rate = 0.0  # comments per user
    comments_per_video: Rate = 0.0  # comments per video
