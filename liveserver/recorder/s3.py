"""Recordings in a bucket of an S3-compatible store.

There are no locks. Rules:

1. The index is written by a conditional write (`If-Match`, `If-None-Match`): of several processes that change
   a recording at once, one succeeds, and the others get a `Conflict`.
2. Segments that the former index names and the new one does not are deleted when the new one is written. What
   no index has named, as a process died between the two, is deleted once it is older than `LEFTOVER` by the
   store's own clock: until then another process may be about to name it. A change that takes longer than
   `LONGEST` is given up.
3. A segment is written each time, although it may be there: so it is not old when it is named.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from botocore.session import get_session

from liveserver.config import RecorderSettings
from liveserver.errors import ConfigError
from liveserver.lru import LRU
from liveserver.recorder.store import Conflict

LEFTOVER = timedelta(hours=1)
LONGEST = 900.0  # seconds
LIST_INTERVAL = 600.0  # seconds between two listings of a folder
FOLDERS = 10_000  # whose last listing is remembered, those listed last
ATTEMPTS = 4  # of the library at one request
CONNECTIONS = 20
MISSING = frozenset({"NoSuchKey", "404"})
CHANGED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})


class _Change(threading.local):
    """When the change began that a thread makes."""

    def __init__(self) -> None:
        self.began = time.monotonic()


class BucketStore:
    """Objects in a bucket. `secret_key` is that of `settings.s3_access_key`.

    Without a key, the library looks for one itself: in the environment, its files, the machine's role.
    `attempts`: at each request. Raises `ConfigError`.
    """

    def __init__(self, settings: RecorderSettings, secret_key: str | None, attempts: int = ATTEMPTS) -> None:
        self._bucket, self._prefix = settings.s3_bucket, settings.s3_prefix
        try:
            self._client: Any = get_session().create_client(
                "s3",
                endpoint_url=settings.s3_endpoint,
                region_name=settings.s3_region,
                aws_access_key_id=settings.s3_access_key if secret_key else None,
                aws_secret_access_key=secret_key,
                config=Config(
                    connect_timeout=settings.s3_timeout,
                    read_timeout=settings.s3_timeout,
                    max_pool_connections=CONNECTIONS,
                    retries={"total_max_attempts": attempts, "mode": "standard"},
                    # Checksums that not all stores know; the transport has its own, and so have segments.
                    request_checksum_calculation="when_required",
                    response_checksum_validation="when_required",
                    s3={"addressing_style": "path" if settings.s3_endpoint else "auto"},
                ),
            )
        except (BotoCoreError, ValueError) as error:
            raise ConfigError("recorder.s3_bucket", f"cannot be used: {error}") from None
        self._listed: LRU[str, float] = LRU(FOLDERS)
        self._change = _Change()

    def read(self, name: str) -> bytes | None:
        found = self._get(name)
        return None if found is None else found[0]

    def _get(self, name: str) -> tuple[bytes, str] | None:
        """Return an object and its ETag."""
        with _as_os_errors():
            try:
                answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + name)
                return answer["Body"].read(), answer["ETag"]
            except ClientError as error:
                if _code(error) in MISSING:
                    return None
                raise

    def write_once(self, name: str, content: bytes) -> None:
        with _as_os_errors():
            self._client.put_object(Bucket=self._bucket, Key=self._prefix + name, Body=content)

    def replace(self, name: str, content: bytes, former: bytes | None) -> None:
        if time.monotonic() - self._change.began > LONGEST:
            raise OSError(f"{name} is not written: the change took over {LONGEST:g} s")
        now = self._get(name)
        if (None if now is None else now[0]) != former:
            raise Conflict(f"{name} was changed by another process")
        condition = {"IfNoneMatch": "*"} if now is None else {"IfMatch": now[1]}
        with _as_os_errors():
            try:
                self._client.put_object(
                    Bucket=self._bucket, Key=self._prefix + name, Body=content, **condition
                )
            except ClientError as error:
                # An attempt whose answer was lost may have succeeded.
                if _code(error) not in CHANGED or self.read(name) != content:
                    raise

    def delete(self, name: str) -> None:
        with _as_os_errors():
            self._client.delete_object(Bucket=self._bucket, Key=self._prefix + name)

    def leftovers(self, folder: str) -> list[str]:
        """Return the files older than `LEFTOVER`; none if the folder was listed a short time ago."""
        now = time.monotonic()
        listed_at = self._listed.peek(folder)
        if listed_at is not None and now - listed_at < LIST_INTERVAL:
            return []
        self._listed.put(folder, now)
        prefix, found = f"{self._prefix}{folder}/", []
        for page in self._pages(Prefix=prefix):
            limit = _time_of(page) - LEFTOVER
            found += [
                each["Key"].removeprefix(prefix)
                for each in page.get("Contents", ())
                if each["LastModified"] < limit
            ]
        return sorted(found)

    def folders(self) -> list[str]:
        return sorted(
            each["Prefix"].removeprefix(self._prefix).rstrip("/")
            for page in self._pages(Prefix=self._prefix, Delimiter="/")
            for each in page.get("CommonPrefixes", ())
        )

    def _pages(self, **request: str) -> Iterator[Any]:
        with _as_os_errors():
            paginator = self._client.get_paginator("list_objects_v2")
            yield from paginator.paginate(Bucket=self._bucket, **request)

    def check(self) -> None:
        """Write, read and delete an object; then write it again under conditions that do not hold."""
        name = f".check-{secrets.token_hex(6)}"
        self._change.began = time.monotonic()
        self.replace(name, b"1", None)
        try:
            if self.read(name) != b"1":
                raise OSError("the object store does not return what was written")
            for condition in ({"IfNoneMatch": "*"}, {"IfMatch": '"0"'}):
                try:
                    with _as_os_errors():
                        self._client.put_object(
                            Bucket=self._bucket, Key=self._prefix + name, Body=b"2", **condition
                        )
                except Conflict:
                    continue
                raise OSError("the object store ignores conditional writes, which two recorders rely on")
            self.folders()
        finally:
            self.delete(name)

    @contextmanager
    def locked(self, folder: str) -> Iterator[None]:
        """Note when the change began."""
        self._change.began = time.monotonic()
        yield


def _time_of(page: Any) -> datetime:
    """Return the store's clock; the oldest time if the answer has none."""
    try:
        return parsedate_to_datetime(page["ResponseMetadata"]["HTTPHeaders"]["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime(1970, 1, 2, tzinfo=UTC)


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def _as_os_errors() -> Iterator[None]:
    """Raise the library's errors as `OSError`."""
    try:
        yield
    except ClientError as error:
        kind = Conflict if _code(error) in CHANGED else OSError
        raise kind(f"the object store: {error}") from None
    except BotoCoreError as error:
        raise OSError(f"the object store: {error}") from None
