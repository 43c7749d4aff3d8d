"""Asks a site's own service to decide on a comment: show it, hold it for a moderator, or reject it.

Rules:

1. Requests are signed as Standard Webhooks are (https://www.standardwebhooks.com): `webhook-id`,
   `webhook-timestamp`, `webhook-signature: v1,BASE64` of HMAC-SHA256 over `id.timestamp.body`.
2. The answer is a 200 with `{"decision":"show"|"hold"|"reject"}`. For any other answer, and for none within
   `review.timeout`, the decision is `review.unanswered`. Requests are not repeated.
3. At most `review.concurrency` requests are in progress; further comments count as unanswered.
"""

from __future__ import annotations

import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import structlog
import trio

from liveserver.auth.keys import MIN_SECRET, read_secrets
from liveserver.config import ReviewSettings
from liveserver.errors import ConfigError, connection_fault
from liveserver.instruments import total
from liveserver.malformed import explain_decode_error
from liveserver.moderation.rules import Waiting
from liveserver.webhook_signature import decode_secret, signed_headers

if TYPE_CHECKING:
    import httpx

MAX_ANSWER = 16 * 1024  # bytes
LOG_PAUSE = 10.0  # seconds between two lines of the log about a service that does not answer

Decision = Literal["show", "hold", "reject"]

log = structlog.get_logger(__name__)


class ReviewStatistics(msgspec.Struct, frozen=True):
    """Counts since the start."""

    decided: Annotated[dict[str, int], total("What the review hook decided.", label="decision")]
    unanswered: Annotated[int, total("Comments about which the review hook gave no answer in time.")]


class _Answer(msgspec.Struct):
    decision: Decision


_answer = msgspec.json.Decoder(_Answer).decode


class ReviewHook:
    """Asks the service at `review.url`. Get one from `open_review_hook`."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        settings: ReviewSettings,
        secret: bytes,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._client = client
        self._settings = settings
        self._secret = secret
        self._clock = clock
        self._asking = 0
        self._logged_at = -math.inf
        self._decided = {"show": 0, "hold": 0, "reject": 0}
        self._unanswered = 0

    def prepare(self, settings: ReviewSettings) -> Callable[[], None]:
        """Return the function that puts `secret` and `unanswered` of these settings in force.

        Raises `ConfigError`.
        """
        secret = read_hook_secret(settings)
        changed = msgspec.structs.replace(
            self._settings,
            secret=settings.secret,
            secret_file=settings.secret_file,
            unanswered=settings.unanswered,
        )

        def change() -> None:
            self._settings, self._secret = changed, secret

        return change

    async def decide(self, video: str, comment: Waiting) -> Decision:
        """Return the decision on a comment. Raises nothing."""
        import httpx

        if self._asking >= self._settings.concurrency:
            return self._give_up("too many comments at once (review.concurrency)")
        self._asking += 1
        try:
            with trio.fail_after(self._settings.timeout):
                decision = await self._ask(video, comment)
        except (trio.TooSlowError, httpx.TimeoutException):
            return self._give_up(f"no answer within {self._settings.timeout:g} s")
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            return self._give_up(connection_fault(error))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
            return self._give_up(f"malformed decision: {explain_decode_error(error)}")
        finally:
            self._asking -= 1
        self._decided[decision] += 1
        return decision

    async def _ask(self, video: str, comment: Waiting) -> Decision:
        body = msgspec.json.encode({"video": video, **msgspec.to_builtins(comment)})
        headers = signed_headers([self._secret], comment.id, int(self._clock()), body)
        url = self._settings.url
        async with self._client.stream("POST", url, content=body, headers=headers) as answer:
            received, size = b"", 0
            async for part in answer.aiter_bytes():  # to its end, or to the time limit
                size += len(part)
                received = received + part if size <= MAX_ANSWER else b""
        if answer.status_code != 200:
            raise ValueError(f"status {answer.status_code}")
        if size > MAX_ANSWER:
            raise ValueError(f"more than {MAX_ANSWER} bytes")
        return _answer(received).decision

    def _give_up(self, why: str) -> Decision:
        self._unanswered += 1
        now = trio.current_time()
        if now - self._logged_at > LOG_PAUSE:
            self._logged_at = now
            log.warning("review_unanswered", reason=why, becomes=self._settings.unanswered)
        return self._settings.unanswered

    def statistics(self) -> ReviewStatistics:
        return ReviewStatistics(dict(self._decided), self._unanswered)


def read_hook_secret(settings: ReviewSettings) -> bytes:
    """Return the secret that signs the hook's requests. Raises `ConfigError`."""
    secrets = read_secrets("review.secret", settings.secret, settings.secret_file, MIN_SECRET)
    if not secrets:
        raise ConfigError("review.secret", "is missing; the hook's requests are signed with it")
    return decode_secret(secrets[0]) or secrets[0].encode()


@asynccontextmanager
async def open_review_hook(settings: ReviewSettings) -> AsyncIterator[ReviewHook | None]:
    """Return the hook, with connections that end with the block; None without `review.url`.

    Raises `ConfigError`.
    """
    if not settings.url:
        yield None
        return
    import httpx

    secret = read_hook_secret(settings)
    limits = httpx.Limits(max_connections=settings.concurrency)
    async with httpx.AsyncClient(
        timeout=settings.timeout, trust_env=False, limits=limits, follow_redirects=False
    ) as client:
        yield ReviewHook(client, settings, secret)
