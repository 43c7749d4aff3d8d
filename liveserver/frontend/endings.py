"""Ends the streams of viewers with revoked tokens, of banned users, and of users disconnected by the site.

Rules:

1. There is no index of users, so joining has no extra cost: the audiences are scanned, once for all
   revocations that have arrived.
2. One scan suffices: a token is refused once it is revoked, and viewers that are joining at that moment are
   refused after joining (`Joining.ended`).
3. Viewers are disconnected in groups, with a checkpoint between.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import trio

from liveserver.auth.grant import Grant
from liveserver.config import FrontendSettings
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.delivery.multiplexed import MultiplexedViewer
from liveserver.frontend.delivery.viewer import StreamViewer, random_retry
from liveserver.frontend.drain import Drainable
from liveserver.transport.form import Reason

BATCH_SIZE = 200  # viewers disconnected between two checkpoints


class Connected(Drainable, Protocol):
    """A connection on which several videos may be watched."""

    @property
    def grant(self) -> Grant: ...

    def __hash__(self) -> int: ...


class Joining(Protocol):
    """A viewer that is joining."""

    grant: Grant
    ended: Reason | None

    def __hash__(self) -> int: ...


async def end_where(
    channels: Mapping[str, Channel],
    sockets: Collection[Connected],
    joining: Collection[Joining],
    does_end: Callable[[Grant], bool],
    reason: Reason,
    settings: FrontendSettings,
) -> int:
    """Disconnect viewers by their grants, and answer their waiting polls; return their number."""
    for session in joining:
        if does_end(session.grant):
            session.ended = reason
    leaving: list[Drainable] = [socket for socket in sockets if does_end(socket.grant)]
    count = 0
    for channel in channels.values():
        leaving += [
            viewer
            for viewer in channel.audience.viewers()
            if viewer.grant is not None and isinstance(viewer, StreamViewer) and does_end(viewer.grant)
        ]
        count += sum(segment.end_where(does_end) for segment in channel.audience.poll_segments())
    return count + await _disconnect(leaving, reason, settings)


async def end_users(
    channel: Channel, users: frozenset[str], reason: Reason, settings: FrontendSettings
) -> None:
    """End these users' subscriptions to a video; their connections' other subscriptions continue."""

    def does_end(grant: Grant) -> bool:
        return grant.is_viewer and grant.user in users

    leaving: list[Drainable] = []
    for viewer in channel.audience.viewers():
        if viewer.grant is None or not does_end(viewer.grant):
            continue
        if isinstance(viewer, MultiplexedViewer):
            viewer.remove(channel.video, reason, random_retry(settings))
        else:
            leaving.append(viewer)
    for segment in channel.audience.poll_segments():
        segment.end_where(does_end)
    await _disconnect(leaving, reason, settings)


async def _disconnect(leaving: Sequence[Drainable], reason: Reason, settings: FrontendSettings) -> int:
    """Disconnect viewers in groups; return the number of those that were still connected."""
    count = 0
    for start in range(0, len(leaving), BATCH_SIZE):
        for viewer in leaving[start : start + BATCH_SIZE]:
            if not viewer.is_gone:
                viewer.disconnect(reason, random_retry(settings))
                count += 1
        await trio.lowlevel.checkpoint()
    return count
