"""Former names of settings: each is refused with an error that has the present name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from liveserver.errors import ConfigError

RENAMED = {
    "auth.jwks_pause": "auth.jwks_cooldown",
    "auth.node_token": "auth.node_token_ttl",
    "auth.remembered_tokens": "auth.token_cache_size",
    "backend.commit_wishes": "backend.commit_requests",
    "edge.head_timeout": "edge.header_timeout",
    "edge.max_bodies": "edge.max_body_memory",
    "edge.max_head": "edge.max_header_size",
    "frontend.segment": "frontend.segment_size",
    "frontend.socket_message": "frontend.websocket_max_message_size",
    "frontend.socket_messages": "frontend.websocket_message_rate",
    "frontend.socket_videos": "frontend.websocket_max_videos",
    "frontend.trace_visits": "frontend.trace_flushes",
    "limits.remembered": "limits.rate_cache_size",
    "log.age": "history.max_age",
    "log.events": "history.max_events",
    "log.idle": "history.idle_ttl",
    "log.ids": "history.dedup_window",
    "node.drain": "node.drain_timeout",
    "node.open_to_all": "node.allow_unauthenticated",
    "relay.deep_interval": "relay.full_sweep_interval",
    "tls.authorities": "tls.ca_file",
}
RENAMED_SECTIONS = {"log": "history"}


def refuse_renamed(tree: Mapping[str, Any]) -> None:
    """Raise `ConfigError`, with the present name, if settings have former names."""
    for section, values in tree.items():
        for key in values if isinstance(values, Mapping) else ():
            if new := RENAMED.get(f"{section}.{key}"):
                raise ConfigError(f"{section}.{key}", f"is now called {new}; rename it")
        if new := RENAMED_SECTIONS.get(section):
            raise ConfigError(section, f"is now called {new}; rename it")
