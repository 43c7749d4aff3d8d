"""Process-wide settings: descriptors, allocator, garbage collection, the interpreter's switch interval."""

from __future__ import annotations

import gc
import resource
import sys

import msgspec
import structlog

from liveserver.config import Settings
from liveserver.node.allocator import tune_allocator

SPARE_DESCRIPTORS = 300  # for other purposes than clients' connections
# A full collection with 10,000 viewers takes 40 ms, so it is rare. A young one is cheap, and what it finds is
# memory: a frontend's requests to its dispatcher leave 25 objects in cycles each, of 3.5 KiB together.
GC_THRESHOLDS = 10_000, 20, 250

log = structlog.get_logger(__name__)


def tuned(settings: Settings) -> Settings:
    """Tune the process, and return the settings with `edge.max_connections` limited by the descriptors.

    So clients beyond the limit are refused with a response instead of waiting.
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
    if settings.node.tune_malloc:
        tune_allocator()
    sys.setswitchinterval(settings.node.switch_interval)
    gc.set_threshold(*GC_THRESHOLDS)
    return msgspec.structs.replace(
        settings, edge=msgspec.structs.replace(settings.edge, max_connections=room)
    )


def room_for_connections(settings: Settings) -> int:
    """Return the maximum number of connections: the configured one, or what the descriptors allow."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.edge.max_connections
    return wanted if hard == resource.RLIM_INFINITY else max(1, min(wanted, hard - SPARE_DESCRIPTORS))
