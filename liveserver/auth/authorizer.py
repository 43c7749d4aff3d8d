"""Authentication, authorization and rate limits of one node, as the roles' routes use them.

What is not configured costs an `if`: no credentials are read, and nothing is counted.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Annotated

import msgspec
import trio

from liveserver.auth import tokens
from liveserver.auth.client_addresses import ClientAddresses
from liveserver.auth.credentials import bearer, extract_credentials
from liveserver.auth.grant import ANONYMOUS, MODERATE, NODE, OPEN, Grant
from liveserver.auth.keys import HS256, MIN_SECRET, Key, read_public_key, read_secrets
from liveserver.auth.nodes import NodeTokens
from liveserver.auth.operators import OperatorKeys
from liveserver.auth.publishers import PublisherKeys
from liveserver.auth.rate_limits import CompositeLimit, CompositeRateLimiter, ConcurrencyLimit, RateLimiter
from liveserver.auth.revocations import Revocations
from liveserver.auth.viewers import ViewersStatistics, ViewerTokens
from liveserver.config import Settings
from liveserver.errors import ConfigError, Unauthorized, Unavailable
from liveserver.event import SITE
from liveserver.instruments import total

if TYPE_CHECKING:
    from liveserver.auth.jwks import Jwks

Headers = Mapping[bytes, bytes]

# Rate limits: what is limited, with each limiter's description and setting (limits.*), in the order in which
# `acquire` receives the names.
RATE_LIMITS = {
    "connects": (
        ("connections from this address", "connects_per_address"),
        ("connections of this user", "connects_per_user"),
        ("connections to this video", "connects_per_video"),
    ),
    "new_videos": (("new videos from this address", "new_videos_per_address"),),
    "events": (
        ("events from this address", "events_per_address"),
        ("events of this publisher", "events_per_publisher"),
        ("events of this video", "events_per_video"),
    ),
    "likes": (
        ("likes from this address", "likes_per_address"),
        ("likes of this user", "likes_per_user"),
        ("likes of this video", "likes_per_video"),
    ),
    "comments": (
        ("comments from this address", "comments_per_address"),
        ("comments of this user", "comments_per_user"),
        ("comments of this video", "comments_per_video"),
    ),
}
# Limits of viewers that are connected at once, alike.
VIEWER_LIMITS = (
    ("viewers at this address", "viewers_per_address"),
    ("connections of this user", "viewers_per_user"),
    ("viewers of this video here", "viewers_per_video"),
)


class AuthorizerStatistics(msgspec.Struct, frozen=True):
    """Counts since the start."""

    viewers: ViewersStatistics
    publishers_refused: Annotated[int, total("Publish requests refused for lack of a valid key.")]
    nodes_refused: Annotated[
        int,
        total(
            "Requests of nodes refused for lack of a valid signature. If not zero: auth.nodes_secret differs "
            "between nodes, a clock is wrong, or the request was not a node's."
        ),
    ]
    limited: Annotated[
        dict[str, int],
        total("Requests refused by a limit (limits.*).", label="what"),
    ]


class Authorizer:
    """The keys and limits of one node. `signature` signs the node's own requests to others."""

    def __init__(self, settings: Settings, node: str = "", clock: Callable[[], float] = time.time) -> None:
        """Read the files that the settings name. Raises `ConfigError`."""
        auth, limits = settings.auth, settings.limits
        self._auth = auth
        self._node = node
        self._clock = clock
        self._origins = frozenset(settings.edge.allow_origins)
        self._addresses = ClientAddresses(settings.edge.trusted_proxies)
        self._nodes = NodeTokens(auth, node, clock)
        self._publishers = PublisherKeys(auth)
        self._operators = OperatorKeys(auth)
        self._jwks: Jwks | None = None
        if auth.jwks is not None:
            from liveserver.auth.jwks import Jwks  # with an HTTP client

            self._jwks = Jwks(auth.jwks, auth)
        self.revocations = Revocations(clock)
        # Waits until the revoked tokens are known; returns False if they are not known in time.
        self.wait_revocations: Callable[[], Awaitable[bool]] | None = None
        self._viewers = ViewerTokens(auth, self._viewers_keys(), self._jwks, clock, self.revocations)
        self._publishers_refused = self._nodes_refused = self._videos_refused = 0
        if not self._viewers.is_open or self._nodes:
            tokens.load()
        self.signature = self._nodes.signature
        self.is_publishing_open = not (self._publishers or self._nodes)

        self._rates = {
            name: CompositeRateLimiter(
                *(
                    RateLimiter(what, getattr(limits, setting), limits.burst, limits.rate_cache_size)
                    for what, setting in limiters
                )
            )
            for name, limiters in RATE_LIMITS.items()
        }
        self.connects = self._rates["connects"]
        self.new_videos = self._rates["new_videos"]
        self.events = self._rates["events"]
        self.likes = self._rates["likes"]
        self.comments = self._rates["comments"]
        self.viewers = CompositeLimit(
            *(ConcurrencyLimit(what, getattr(limits, setting)) for what, setting in VIEWER_LIMITS)
        )
        self._most_videos = limits.videos_per_node

    def _viewers_keys(self) -> list[Key]:
        auth = self._auth
        secrets = read_secrets("auth.secret", auth.secret, auth.secret_file, MIN_SECRET)
        if self._nodes.secrets.intersection(secrets):
            raise ConfigError("auth.nodes_secret", "is the viewers' secret too; give the nodes their own")
        keys = [Key(HS256, secret.encode()) for secret in secrets]
        if auth.public_key_file is not None:
            keys.append(read_public_key("auth.public_key_file", auth.public_key_file))
        return keys

    def reload(self, settings: Settings) -> None:
        """Replace keys, secrets, publishers and limits by those of `settings`, reading their files again.

        The key set stays (`auth.jwks`). Raises `ConfigError`, and then changes nothing.
        """
        new = Authorizer(settings, self._node, self._clock)
        viewers = ViewerTokens(settings.auth, new._viewers_keys(), self._jwks, self._clock, self.revocations)
        self.signature.adopt(new.signature)
        new._nodes.signature = self.signature
        self._auth, self._viewers = settings.auth, viewers
        self._nodes, self._publishers, self._operators = new._nodes, new._publishers, new._operators
        self.is_publishing_open = new.is_publishing_open
        for name, rates in self._rates.items():
            rates.adopt(new._rates[name])
        self._most_videos = new._most_videos
        self.viewers.adopt(new.viewers)

    async def run(self) -> None:
        """Keep the keys up to date until cancelled."""
        if self._jwks is not None:
            await self._jwks.run()

    # Authentication

    async def viewer(self, headers: Headers, token: str | None = None) -> Grant:
        """Return the grant of a viewer's request; `token` is the value of `?token=`.

        Raises `Unauthorized`, `Forbidden`, `Unavailable`.
        """
        if self._viewers.is_open:
            # If publishing needs a key, viewers without a token are limited to what a token would allow.
            return OPEN if self.is_publishing_open else ANONYMOUS
        if self.wait_revocations is not None:
            if not await self.wait_revocations():
                raise Unavailable("the revoked tokens are not known here yet; try again", 1)
            self.wait_revocations = None
        return await self._viewers.authenticate(
            extract_credentials(headers, token, self._auth.cookie, self._origins)
        )

    async def liker(self, headers: Headers, token: str | None = None) -> Grant:
        """Return the grant of a like's or comment's request: a viewer's, or that of a publisher's key.

        `token` is the value of `?token=`.

        Raises `Unauthorized`, `Forbidden`, `Unavailable`.
        """
        if self._publishers and b"authorization" in headers:
            grant = self._publishers.find(bearer(headers))
            if grant is not None:
                return grant
        return await self.viewer(headers, token)

    def check_operator(self, headers: Headers) -> None:
        """Raise `Unauthorized` unless the request may see the ops pages."""
        self._operators.check(headers)

    def administrator(self, headers: Headers) -> str:
        """Return the name of the site's server, or of the operator, whose request has these headers.

        Its key has the scope `moderate` for all videos, or is `auth.ops_key`.

        Raises `Unauthorized`, `Forbidden`.
        """
        if self._operators.has_key(headers):
            return "operator"
        if self.is_publishing_open and not self._viewers.is_open:
            # Such a backend may be reachable from outside: its viewers need tokens, and this needs a key.
            raise Unauthorized("this needs auth.ops_key, or the key of a publisher", is_invalid=False)
        grant = self.publisher(headers)
        grant.require(MODERATE, SITE)
        return grant.name

    def publisher(self, headers: Headers) -> Grant:
        """Return the grant of a publisher's or node's request. Raises `Unauthorized`."""
        if self.is_publishing_open:
            return OPEN
        grant = self._publishers.find(bearer(headers))
        if grant is not None:
            return grant
        if self._nodes and self._nodes.is_node(headers):
            return NODE
        self._publishers_refused += 1
        raise Unauthorized(
            "publishing here needs a key of auth.publishers; send Authorization: Bearer KEY",
            is_invalid=b"authorization" in headers,
        )

    def check_node(self, headers: Headers) -> None:
        """Raise `Unauthorized` unless the request is a node's, or publishing is open."""
        if self.is_publishing_open:
            return
        try:
            self._nodes.check(headers)
        except Unauthorized:
            self._nodes_refused += 1
            raise

    # Addresses, expiry, limits

    def address(self, peer: str, headers: Headers) -> str:
        """Return the client address by which a request over a connection from `peer` is limited."""
        return self._addresses.name(peer, headers.get(b"x-forwarded-for", b""))

    def ends_at(self, grant: Grant) -> float:
        """Return when a grant expires, in Trio's time."""
        return trio.current_time() + grant.expires - self._clock()

    def check_new_video(self, address: str, present: int) -> None:
        """Check the limits before a video is opened at this node, which has `present` others.

        Raises `Unavailable` if the node has too many, `TooMany` if the address opens too many.
        """
        if self._most_videos and present >= self._most_videos:
            self._videos_refused += 1
            raise Unavailable(
                "this node has reached its number of videos (limits.videos_per_node); try another", 5
            )
        self.new_videos.acquire(address)

    def statistics(self) -> AuthorizerStatistics:
        return AuthorizerStatistics(
            viewers=self._viewers.statistics(),
            publishers_refused=self._publishers_refused,
            nodes_refused=self._nodes_refused,
            limited={
                **{name: rates.refused for name, rates in self._rates.items()},
                "new_videos": self.new_videos.refused + self._videos_refused,
                "viewers": self.viewers.refused,
            },
        )
