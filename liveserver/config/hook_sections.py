"""The section `hooks`: every setting with its type, its unit and its default."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from liveserver.config.values import Count, HookKind, Name, Section, Videos
from liveserver.units import Duration, Secret


class HookEndpointSettings(Section, frozen=True):
    """A service to which what happens with videos is delivered."""

    # `http(s)://`: a webhook; `redis://`, `rediss://`: a Redis stream; `nats://`, `tls://`: NATS JetStream
    url: Annotated[str, Meta(min_length=1)]
    # of a webhook: `whsec_` and base64 of 24 to 64 bytes; preferably use `secret_file`
    secret: Secret | None = None
    secret_file: str | None = None  # one secret per line; each signs, so that the receiver may renew its own
    # what is delivered: `video.occupied`, `comment.*`, `event.score`, `*` …
    events: Annotated[list[HookKind], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: ["video.*", "comment.*", "moderation.*"]
    )
    # of these videos: names, prefixes (`concert-*`) or `*`
    videos: Annotated[list[Videos], Meta(min_length=1)] = msgspec.field(default_factory=lambda: ["*"])
    # of Redis: the key of the stream; of NATS: how subjects begin
    stream: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}\Z",
            description="1 to 64 of A-Z a-z 0-9 . _ : -, beginning with a letter or digit",
        ),
    ] = "liveserver"
    stream_length: Count = 1_000_000  # of Redis: about so many messages are kept in the stream


class HookSettings(Section, frozen=True):
    """Delivering what happens with videos to other services: webhooks, Redis streams, NATS."""

    endpoints: dict[Name, HookEndpointSettings] = msgspec.field(default_factory=dict)  # one table each
    interval: Duration = Duration(0.5)  # how often logs and viewers are looked at
    # of the node that delivers; another one takes over when it ends
    lease: Duration = Duration(15.0)
    # `own`: only what began in this datacenter; for hooks that run in each datacenter
    origins: Literal["all", "own"] = "all"
    vacated_after: Duration = Duration(5.0)  # a video without viewers for this long is vacated
    occupied_videos: Count = 100_000  # occupied at once; further ones are counted, and not delivered
    timeout: Duration = Duration(10.0)  # for one attempt
    retry_min: Duration = Duration(1.0)  # first backoff after a failure; doubled each time, with full jitter
    retry_max: Duration = Duration(300.0)  # longest backoff
    give_up_after: Duration = Duration(86_400.0)  # an older message is given up
    queue_messages: Count = 100_000  # waiting for one endpoint; what exceeds it is given up
    concurrency: Count = 8  # videos whose messages are delivered to one endpoint at once
