"""Checks the consistency of settings for hooks."""

from __future__ import annotations

from urllib.parse import urlsplit

from liveserver.config.hook_sections import HookEndpointSettings
from liveserver.config.sections import Settings
from liveserver.config.url_checks import check_url
from liveserver.errors import ConfigError

# The kinds of messages, besides `event.TYPE` and `video.gap`.
KINDS = (
    "video.occupied", "video.vacated",
    "comment.created", "comment.retracted", "comment.waiting", "comment.decided",
    "moderation.settings", "moderation.ban", "moderation.unban", "moderation.clear", "moderation.pin",
    "moderation.unpin", "moderation.announcement", "moderation.revocation", "moderation.disconnection",
)  # fmt: skip
SCHEMES = ("https", "http", "redis", "rediss", "nats", "tls")
EVENT = "event."  # and the type of a published event


def check_hooks(settings: Settings) -> None:
    """Check the settings for hooks. Raises `ConfigError`."""
    hooks, roles = settings.hooks, settings.node.roles
    if not 0 < hooks.interval <= settings.history.max_age / 10:
        raise ConfigError(
            "hooks.interval", "is 0, or over a tenth of history.max_age: events could be missed"
        )
    if hooks.lease < 3:
        raise ConfigError("hooks.lease", "is under 3s, the shortest lease")
    if hooks.retry_min > hooks.retry_max:
        raise ConfigError("hooks.retry_min", "is over hooks.retry_max")
    if hooks.retry_max > hooks.give_up_after:
        raise ConfigError("hooks.retry_max", "is over hooks.give_up_after")
    if "hooks" in roles and "dispatcher" not in roles and settings.bus.kind == "memory":
        raise ConfigError("node.roles", 'hooks without a dispatcher need bus.kind = "redis"')
    if "hooks" in roles and not hooks.endpoints:
        raise ConfigError("hooks.endpoints", "are missing; the role hooks delivers to them")
    for name, endpoint in hooks.endpoints.items():
        _check_endpoint(settings, f"hooks.endpoints.{name}", endpoint)


def _check_endpoint(settings: Settings, where: str, endpoint: HookEndpointSettings) -> None:
    check_url(f"{where}.url", endpoint.url, SCHEMES, "https://example.org/hooks")
    url = urlsplit(endpoint.url)
    is_webhook = url.scheme in ("http", "https")
    if is_webhook and endpoint.secret is None and endpoint.secret_file is None:
        raise ConfigError(f"{where}.secret_file", "is missing; webhooks are signed with it")
    if not is_webhook and (endpoint.secret is not None or endpoint.secret_file is not None):
        raise ConfigError(f"{where}.secret", "is for webhooks only; remove it")
    if is_webhook and (url.username or url.password):
        raise ConfigError(f"{where}.url", "has a user or password; receivers check the signature instead")
    for pattern in endpoint.events:
        if pattern.startswith(EVENT):
            if pattern.removeprefix(EVENT) in settings.history.ephemeral_types:
                raise ConfigError(
                    f"{where}.events",
                    f"{pattern} is kept too briefly (history.ephemeral_types) to be delivered",
                )
        elif pattern != "*" and not any(matches(pattern, kind) for kind in KINDS):
            raise ConfigError(
                f"{where}.events", f"there is no {pattern}; there are {', '.join(KINDS)}, event.TYPE"
            )


def matches(pattern: str, name: str) -> bool:
    """Return whether a name matches a pattern: itself, a prefix and `*`, or `*`."""
    return name.startswith(pattern[:-1]) if pattern.endswith("*") else name == pattern
