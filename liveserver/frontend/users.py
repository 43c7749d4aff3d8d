"""Lists the users watching a video at this node, by a scan of their tokens on request."""

from __future__ import annotations

from collections.abc import Iterable

from liveserver.auth.grant import Grant
from liveserver.frontend.channels.channel import Channel


def watching_users(channel: Channel) -> tuple[dict[str, str | None], int, int]:
    """Return a channel's users with their roles, the number of viewers, and of viewers without a user.

    Viewers of streams and waiting long-polls are counted.
    """
    audience = channel.audience
    grants: list[Grant | None] = [viewer.grant for viewer in audience.viewers()]
    grants += [waiter.grant for segment in audience.poll_segments() for waiter in segment.waiters]
    anonymous = sum(grant is None or grant.user is None for grant in grants)
    return _by_user(channel.video, grants), len(grants), anonymous


def _by_user(video: str, grants: Iterable[Grant | None]) -> dict[str, str | None]:
    users: dict[str, str | None] = {}
    for grant in grants:
        if grant is not None and grant.user is not None and (grant.user not in users or grant.role(video)):
            users[grant.user] = grant.role(video)
    return users
