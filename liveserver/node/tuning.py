"""What holds for the whole process: descriptors, collections, the interpreter's switching."""

from __future__ import annotations

import gc
import resource
import sys

import msgspec
import structlog

from liveserver.config import Settings

SPARE_DESCRIPTORS = 300  # for everything besides clients' connections
GC_THRESHOLDS = 50_000, 20, 50  # a full collection over 10,000 viewers takes 40 ms: rarely, then

log = structlog.get_logger(__name__)


def tuned(settings: Settings) -> Settings:
    """Tune the process, and return the settings with no more connections than there are descriptors for.

    A client beyond that is sent elsewhere, and not kept waiting.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    room = room_for_connections(settings)
    because = "edge.max_connections" if room == settings.edge.max_connections else "the limit of descriptors"
    log.info(
        "capacity",
        connections=room,
        because=because,
        descriptors=hard if hard != resource.RLIM_INFINITY else "any",
    )
    sys.setswitchinterval(settings.node.switch_interval)
    gc.set_threshold(*GC_THRESHOLDS)
    return msgspec.structs.replace(
        settings, edge=msgspec.structs.replace(settings.edge, max_connections=room)
    )


def room_for_connections(settings: Settings) -> int:
    """How many connections there may be: as configured, or as many as there are descriptors for."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.edge.max_connections
    return wanted if hard == resource.RLIM_INFINITY else max(1, min(wanted, hard - SPARE_DESCRIPTORS))
