"""Imports all that a node imports during its start, for workers that are forked afterwards."""

from __future__ import annotations

import importlib

from liveserver.config import Settings

# By role: modules that `assembly.py`, and libraries at their first use, import later than `liveserver.node`.
MODULES = {
    "": ("liveserver.node", "liveserver.bus.redis.bus", "httpx"),
    "dispatcher": ("liveserver.dispatcher.relay.relay",),
    "backend": ("liveserver.backend.role", "liveserver.backend.opening", "sqlalchemy.dialects.sqlite"),
    "hooks": ("liveserver.hooks.role",),
}


def preload(settings: Settings) -> None:
    """Import the modules of the roles in `settings`."""
    for role in ("", *settings.node.roles):
        for module in MODULES.get(role, ()):
            importlib.import_module(module)
