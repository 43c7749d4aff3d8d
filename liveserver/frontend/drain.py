"""Disconnects all viewers evenly over time, so that they do not all reconnect at once."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Protocol

import trio

from liveserver.config import FrontendSettings
from liveserver.frontend.channels.channel import Channel
from liveserver.frontend.delivery.viewer import random_retry
from liveserver.transport.form import Reason

STEP = 0.05  # seconds
MAX_SHARE = 1.0  # seconds for one viewer: a few of them do not need all of the time


class Drainable(Protocol):
    """A viewer or connection that can be disconnected."""

    @property
    def is_gone(self) -> bool: ...

    def disconnect(self, reason: Reason, retry: int) -> None: ...


async def drain(
    channels: Mapping[str, Channel],
    sockets: Collection[Drainable],
    seconds: float,
    settings: FrontendSettings,
) -> None:
    """Answer waiting polls at once; send `bye` on all streams and `sockets`, spread over `seconds`."""
    for channel in channels.values():
        channel.settled.set()  # viewers that wait for it to open are refused
        for segment in channel.audience.poll_segments():
            segment.expire(float("inf"))
    leaving: list[Drainable] = [
        viewer for channel in channels.values() for viewer in channel.audience.viewers()
    ]
    leaving += sockets  # also those without subscriptions
    count = len(leaving)
    steps = max(1, round(min(seconds, count * MAX_SHARE) / STEP))
    bounds = [round(count * step / steps) for step in range(steps + 1)]
    for step in range(steps):
        for viewer in leaving[bounds[step] : bounds[step + 1]]:
            if not viewer.is_gone:
                viewer.disconnect(Reason.DRAIN, random_retry(settings))
        if any(not viewer.is_gone for viewer in leaving):
            await trio.sleep(STEP)
