"""Who may do what at one node, and how often: what the roles' routes ask before anything else.

Where nothing is configured, nothing is asked and nothing is counted: an open node pays for an `if`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Annotated

import msgspec
import trio

from liveserver.auth.client_addresses import ClientAddresses
from liveserver.auth.credentials import bearer, extract_credentials
from liveserver.auth.grant import ANYBODY, NODE, OPEN, Grant
from liveserver.auth.jwks import Jwks
from liveserver.auth.keys import HS256, SHORTEST_SECRET, Key, read_public_key, read_secrets
from liveserver.auth.nodes import NodeTokens
from liveserver.auth.operators import OperatorKeys
from liveserver.auth.publishers import PublisherKeys
from liveserver.auth.rate_limits import CompositeLimit, CompositeRateLimiter, ConcurrencyLimit, RateLimiter
from liveserver.auth.viewers import ViewersStatistics, ViewerTokens
from liveserver.config import Settings
from liveserver.errors import ConfigError, Unauthorized, Unavailable
from liveserver.instruments import total

Headers = Mapping[bytes, bytes]


class AuthorizerStatistics(msgspec.Struct, frozen=True):
    """Who was let in, and who was not."""

    viewers: ViewersStatistics
    publishers_refused: Annotated[int, total("Publishes without a key that is good here.")]
    nodes_refused: Annotated[
        int,
        total(
            "Nodes' calls without a signature that is good here. More than none: auth.nodes_secret is not "
            "the same everywhere, a clock is wrong, or somebody is trying."
        ),
    ]
    limited: Annotated[
        dict[str, int],
        total("Refused since there were too many of them (limits.*).", label="what"),
    ]


class Authorizer:
    """One node's. `signature` is what the node shows to others."""

    def __init__(self, settings: Settings, node: str = "", clock: Callable[[], float] = time.time) -> None:
        """Reads the files that the settings name. Raises `ConfigError`."""
        auth, limits = settings.auth, settings.limits
        self._auth = auth
        self._node = node
        self._clock = clock
        self._origins = frozenset(settings.edge.allow_origins)
        self._addresses = ClientAddresses(settings.edge.trusted_proxies)
        self._nodes = NodeTokens(auth, node, clock)
        self._publishers = PublisherKeys(auth)
        self._operators = OperatorKeys(auth)
        self._jwks = Jwks(auth.jwks, auth) if auth.jwks is not None else None
        self._viewers = ViewerTokens(auth, self._viewers_keys(), self._jwks, clock)
        self._publishers_refused = self._nodes_refused = self._videos_refused = 0
        self.signature = self._nodes.signature
        self.is_publishing_open = not (self._publishers or self._nodes)

        def rate(what: str, value: float) -> RateLimiter:
            return RateLimiter(what, value, limits.burst, limits.rate_cache_size)

        self.connects = CompositeRateLimiter(
            rate("connections from this address", limits.connects_per_address),
            rate("connections of this user", limits.connects_per_user),
            rate("connections to this video", limits.connects_per_video),
        )
        self.viewers = CompositeLimit(
            ConcurrencyLimit("viewers at this address", limits.viewers_per_address),
            ConcurrencyLimit("connections of this user", limits.viewers_per_user),
            ConcurrencyLimit("viewers of this video here", limits.viewers_per_video),
        )
        self.new_videos = CompositeRateLimiter(
            rate("new videos from this address", limits.new_videos_per_address)
        )
        self._most_videos = limits.videos_per_node
        self.events = CompositeRateLimiter(
            rate("events from this address", limits.events_per_address),
            rate("events of this publisher", limits.events_per_publisher),
            rate("events of this video", limits.events_per_video),
        )
        self.likes = CompositeRateLimiter(
            rate("likes from this address", limits.likes_per_address),
            rate("likes of this user", limits.likes_per_user),
            rate("likes of this video", limits.likes_per_video),
        )
        self.comments = CompositeRateLimiter(
            rate("comments from this address", limits.comments_per_address),
            rate("comments of this user", limits.comments_per_user),
            rate("comments of this video", limits.comments_per_video),
        )

    def _viewers_keys(self) -> list[Key]:
        auth = self._auth
        secrets = read_secrets("auth.secret", auth.secret, auth.secret_file, SHORTEST_SECRET)
        if self._nodes.secrets.intersection(secrets):
            raise ConfigError("auth.nodes_secret", "is the viewers' secret too; give the nodes their own")
        keys = [Key(HS256, secret.encode()) for secret in secrets]
        if auth.public_key_file is not None:
            keys.append(read_public_key("auth.public_key_file", auth.public_key_file))
        return keys

    def reload(self, settings: Settings) -> None:
        """Take other keys, secrets, publishers and limits, from the files as they are now.

        The key set stays (`auth.jwks`). Raises `ConfigError`, and then nothing has changed.
        """
        new = Authorizer(settings, self._node, self._clock)
        viewers = ViewerTokens(settings.auth, new._viewers_keys(), self._jwks, self._clock)
        self.signature.adopt(new.signature)
        new._nodes.signature = self.signature
        self._auth, self._viewers = settings.auth, viewers
        self._nodes, self._publishers, self._operators = new._nodes, new._publishers, new._operators
        self.is_publishing_open = new.is_publishing_open
        for rates, other in (
            (self.connects, new.connects),
            (self.events, new.events),
            (self.likes, new.likes),
            (self.comments, new.comments),
        ):
            rates.adopt(other)
        self.viewers.adopt(new.viewers)

    async def run(self) -> None:
        """Keep the keys up to date until cancelled."""
        if self._jwks is not None:
            await self._jwks.run()

    # Who it is

    async def viewer(self, headers: Headers, token: str | None = None) -> Grant:
        """What the viewer who sends these headers may; `token` is the value of `?token=`.

        Raises `Unauthorized`, `Forbidden`, `Unavailable`.
        """
        if self._viewers.is_open:
            # Where anything is locked, viewers are not let do what their tokens would not allow.
            return OPEN if self.is_publishing_open else ANYBODY
        return await self._viewers.admit(
            extract_credentials(headers, token, self._auth.cookie, self._origins)
        )

    async def liker(self, headers: Headers) -> Grant:
        """What the one who likes or comments may: a viewer, or a site with a key that speaks for its own.

        Raises as `viewer` does.
        """
        if self._publishers and b"authorization" in headers:
            grant = self._publishers.find(bearer(headers))
            if grant is not None:
                return grant
        return await self.viewer(headers)

    def operator(self, headers: Headers) -> None:
        """Raises `Unauthorized` unless the ops pages may be seen by whoever sends these headers."""
        self._operators.check(headers)

    def publisher(self, headers: Headers) -> Grant:
        """What the publisher, or the node, that sends these headers may. Raises `Unauthorized`."""
        if self.is_publishing_open:
            return OPEN
        grant = self._publishers.find(bearer(headers))
        if grant is not None:
            return grant
        if self._nodes and self._nodes.is_one(headers):
            return NODE
        self._publishers_refused += 1
        raise Unauthorized(
            "publishing here needs a key of auth.publishers; send Authorization: Bearer KEY",
            is_invalid=b"authorization" in headers,
        )

    def node(self, headers: Headers) -> None:
        """Raises `Unauthorized` unless a node of the cluster asks, where that is asked for."""
        if self.is_publishing_open:
            return
        try:
            self._nodes.check(headers)
        except Unauthorized:
            self._nodes_refused += 1
            raise

    # Where it comes from, until when, how often

    def address(self, peer: str, headers: Headers) -> str:
        """What to count by of a connection from `peer`."""
        return self._addresses.name(peer, headers.get(b"x-forwarded-for", b""))

    def ends_at(self, grant: Grant) -> float:
        """When a grant is over, in Trio's time."""
        return trio.current_time() + grant.expires - self._clock()

    def check_new_video(self, address: str, present: int) -> None:
        """Admit a video that is not watched at this node, where `present` others are.

        Raises `Unavailable` when the node has as many as it may, and `TooMany`.
        """
        if self._most_videos and present >= self._most_videos:
            self._videos_refused += 1
            raise Unavailable(
                "this node has as many videos as it may (limits.videos_per_node); try another", 5
            )
        self.new_videos.spend(address)

    def statistics(self) -> AuthorizerStatistics:
        return AuthorizerStatistics(
            viewers=self._viewers.statistics(),
            publishers_refused=self._publishers_refused,
            nodes_refused=self._nodes_refused,
            limited={
                "connects": self.connects.refused,
                "viewers": self.viewers.refused,
                "new_videos": self.new_videos.refused + self._videos_refused,
                "events": self.events.refused,
                "likes": self.likes.refused,
                "comments": self.comments.refused,
            },
        )
