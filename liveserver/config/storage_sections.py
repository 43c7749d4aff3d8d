"""The sections of the configuration about what is stored: likes and comments, and recordings."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from liveserver.config.values import Count, Reaction, Section
from liveserver.units import Duration, Secret, Size


class BackendSettings(Section, frozen=True):
    """Likes and comments: stored, then published."""

    # an SQLite file's name, or `postgresql://user:secret@host/name`
    database: Annotated[str, Meta(min_length=1)] = "liveserver.db"
    # where an SQLite file is, relative to the working directory
    directory: Annotated[str, Meta(min_length=1)] = "data"
    # base URLs, tried in turn; `dns+http://NAME:PORT`: all addresses of that name; empty: the dispatcher in
    # this process
    dispatchers: list[str] = msgspec.field(default_factory=list)
    dispatcher_timeout: Duration = Duration(3.0)  # for one request; then the next dispatcher is tried
    max_request: Size = Size(16 * 1024)  # one request body
    max_text: Count = 500  # characters of a comment
    # the permitted reactions; others are refused. The page shows these five
    reactions: Annotated[list[Reaction], Meta(min_length=1)] = msgspec.field(
        default_factory=lambda: ["heart", "fire", "star", "laugh", "wow"]
    )
    summary_comments: Count = 50  # comments in a summary
    # how long an `Idempotency-Key` is remembered while backends are running
    idempotency_window: Duration = Duration(3600.0)
    # how long a failing database is retried before likes and comments are answered 503
    write_timeout: Duration = Duration(5.0)
    # use PostgreSQL's prepared statements; not possible behind a pooler in transaction mode
    prepared_statements: bool = False
    commit_requests: Count = 1_000  # likes and comments in one transaction
    queue: Count = 10_000  # likes and comments waiting for the next transactions; beyond it: 503
    batch_events: Count = 500  # events in one request to a dispatcher
    # outbox rows in memory while no dispatcher answers; further ones stay in the database
    outbox_rows: Count = 10_000
    follow_interval: Duration = Duration(0.5)  # how often the logs of the videos served are read
    follow_linger: Duration = Duration(600.0)  # how long a video is followed after the last request for it
    followed_videos: Count = 10_000  # beyond it, the least recently requested videos are not followed
    # how often the database is searched for events that no backend has published
    outbox_sweep: Duration = Duration(5.0)


class LikeSettings(Section, frozen=True):
    """How a backend publishes the stored likes: one by one, or summed."""

    tick: Duration = Duration(0.5)  # a video's totals are published at most this often
    # likes per second of one video that are published as single events, besides the totals; above this rate
    # only totals are published. 0: never; inf: always
    each_up_to: Annotated[float, Meta(ge=0)] = 20.0


class ReviewSettings(Section, frozen=True):
    """Comments of videos whose setting `review` is on: decided by moderators, or by a service of the site."""

    # an http(s) URL that decides on each comment; empty: every comment waits for a moderator
    url: Annotated[
        str,
        Meta(pattern=r"^(https?://\S+)?\Z", description='an http(s) URL like "https://example.org/review"'),
    ] = ""
    secret: Secret | None = None  # signs the requests to the URL; preferably use `secret_file`
    secret_file: str | None = None  # one secret per line, the first one signs
    timeout: Duration = Duration(2.0)  # for the URL's answer
    # the decision on a comment if the URL does not answer in time
    unanswered: Literal["show", "hold", "reject"] = "hold"
    concurrency: Count = 100  # concurrent requests to the URL; further comments are `unanswered`
    waiting_comments: Count = 1_000  # comments of a video waiting for a moderator; beyond it: 429


class RecorderSettings(Section, frozen=True):
    """Recording the events of videos, for replay."""

    # directory of the recordings, relative to the working directory; a datacenter's recorders may share it
    directory: Annotated[str, Meta(min_length=1)] = "data/recordings"
    # record into this bucket of an S3-compatible store instead; needs liveserver[s3]
    s3_bucket: Annotated[
        str,
        Meta(
            pattern=r"^([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])?\Z",
            description="a bucket's name: 3 to 63 of a-z 0-9 . -, with a letter or digit at both ends",
        ),
    ] = ""
    # what the objects' names begin with, such as "recordings/"
    s3_prefix: Annotated[
        str,
        Meta(
            pattern=r"^([A-Za-z0-9._-]{1,100}/){0,8}\Z",
            description='up to 8 folders of A-Z a-z 0-9 . _ -, each with a slash behind: "recordings/"',
        ),
    ] = ""
    s3_endpoint: str | None = None  # URL; default: AWS
    # of the bucket
    s3_region: (
        Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}\Z", description='a region like "eu-central-1"')] | None
    ) = None
    # id of the access key; default: what botocore finds in environment, files or the machine's role
    s3_access_key: Annotated[str, Meta(min_length=1)] | None = None
    s3_secret_key: Secret | None = None  # of the access key; preferably use `s3_secret_key_file`
    s3_secret_key_file: str | None = None  # the secret key on its first line
    s3_timeout: Duration = Duration(10.0)  # for connecting, and for each read of an answer
    segment: Duration = Duration(10.0)  # duration of one file of a recording
    interval: Duration = Duration(5.0)  # how often the logs are read; at most a tenth of `history.max_age`
