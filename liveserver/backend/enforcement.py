"""What users may do at the moment: bans, closed comments and likes, slow mode, review.

Rules:

1. The rules are those of the video's log (`moderation/rules.py`), read every `follow_interval`; while the log
   cannot be read, the last known ones hold.
2. Slow mode is per video and user across the backends of a datacenter: the bus holds the user's turn. Without
   a user it is per address. This backend also remembers the comments it has admitted, for while the bus is
   unavailable.
3. A request that is repeated with its Idempotency-Key passes: it is answered as before, and stored once.
"""

from __future__ import annotations

import hashlib
import math
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Annotated, Protocol

import msgspec
import trio

from liveserver.auth.grant import Grant
from liveserver.backend.follow import Follower
from liveserver.errors import BusError, Forbidden, TooMany
from liveserver.instruments import total
from liveserver.moderation.rules import SITE, Waiting, banned

MAX_TURNS = 10_000  # users whose last comment in slow mode is known here


class Turns(Protocol):
    """The part of a bus that slow mode needs."""

    async def acquire(self, video: str, name: str, token: str, seconds: float) -> float: ...


class EnforcementStatistics(msgspec.Struct, frozen=True):
    """Counts since the start."""

    refused: Annotated[dict[str, int], total("Likes and comments refused by moderation.", label="reason")]
    alone: Annotated[
        int,
        total("Comments in slow mode while the bus could not be asked: checked at this backend only."),
    ]


class Enforcer:
    """Checks likes and comments. All checks raise `Forbidden`, `TooMany` and `Unavailable`."""

    def __init__(
        self, follower: Follower, turns: Turns | None, clock: Callable[[], float] = time.time
    ) -> None:
        self._follower = follower
        self._turns = turns
        self._clock = clock
        self._last: OrderedDict[tuple[str, str], tuple[float, str]] = OrderedDict()  # its end, token
        self._refused = {"banned": 0, "closed": 0, "slow": 0}
        self._alone = 0

    async def check_like(self, video: str, user: str | None, grant: Grant) -> None:
        """Raise unless the user may like the video at the moment."""
        rules = (await self._follower.follow(video)).rules
        await self._check_ban(video, user)
        if rules.settings.likes == "closed" and not grant.is_exempt(video):
            self._refused["closed"] += 1
            raise Forbidden("likes are closed; wait until a moderator opens them", "closed")

    async def check_comment(
        self, video: str, user: str | None, grant: Grant, address: str, key: str | None
    ) -> bool:
        """Raise unless the user may comment at the moment; return whether the comment is to be reviewed.

        In slow mode this takes the user's turn. `key` is the request's Idempotency-Key.
        """
        rules = (await self._follower.follow(video)).rules
        await self._check_ban(video, user)
        if grant.is_exempt(video):
            return False
        settings = rules.settings
        if settings.comments == "closed":
            self._refused["closed"] += 1
            raise Forbidden("comments are closed; wait until a moderator opens them", "closed")
        if settings.comments == "slow":
            await self._take_turn(
                video, f"u{user}" if user is not None else f"a{address}", key, settings.slow
            )
        return settings.review

    async def check_decided(self, video: str, comment: Waiting) -> None:
        """Raise if the comment may not be shown any more: its user was banned or cleared, or comments were
        closed, while the decision on it was awaited.
        """
        rules = (await self._follower.follow(video)).rules
        await self._check_ban(video, comment.user)
        if rules.settings.comments == "closed":
            self._refused["closed"] += 1
            raise Forbidden("comments are closed; wait until a moderator opens them", "closed")
        if rules.is_cleared(comment.user, comment.at):
            raise Forbidden("a moderator has removed your comments", "rejected")

    async def _check_ban(self, video: str, user: str | None) -> None:
        """Raise `Forbidden` for a user who is banned from the video, or from all."""
        site = (await self._follower.follow(SITE)).rules
        rules = (await self._follower.follow(video)).rules
        if not (rules.bans or site.bans):
            return
        now = int(self._clock() * 1000)
        ban = site.ban(user, now) or rules.ban(user, now)
        if ban is not None:
            self._refused["banned"] += 1
            raise banned(ban, now)

    async def _take_turn(self, video: str, who: str, key: str | None, seconds: int) -> None:
        """Raise `TooMany` unless it is the user's turn."""
        token = hashlib.blake2s(key.encode()).hexdigest() if key else secrets.token_hex(8)
        name = "slow:" + hashlib.blake2s(who.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        now = trio.current_time()
        end, holder = self._last.get((video, name), (now, ""))
        left = 0.0 if end <= now or holder == token else min(end - now, seconds)
        if not left and self._turns is not None:
            try:
                left = await self._turns.acquire(video, name, token, seconds)
            except BusError:
                self._alone += 1
        if left:
            self._refused["slow"] += 1
            after = math.ceil(left)
            raise TooMany(f"slow mode: one comment in {seconds} s; wait {after} s", after, "slow")
        if holder != token or end <= now:
            self._last[video, name] = now + seconds, token
            self._last.move_to_end((video, name))
            if len(self._last) > MAX_TURNS:
                self._last.popitem(last=False)

    def statistics(self) -> EnforcementStatistics:
        return EnforcementStatistics(dict(self._refused), self._alone)
