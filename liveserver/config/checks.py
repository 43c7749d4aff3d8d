"""Checks the consistency of settings."""

from __future__ import annotations

from typing import get_args, get_type_hints

from liveserver.config.auth_checks import check_auth
from liveserver.config.certificates import client_context, server_context
from liveserver.config.hook_checks import check_hooks
from liveserver.config.sections import FrontendSettings, Settings
from liveserver.config.storage_sections import RecorderSettings
from liveserver.config.url_checks import HTTP, check_url, check_urls
from liveserver.cursor import MAX_BYTES
from liveserver.errors import ConfigError
from liveserver.units import Duration, Size

TOKEN_WINDOW = 60.0  # seconds for which the bus remembers a commit, to deduplicate a repeat
MARK = len("-0123456789-123456789~")  # bytes of a cursor per datacenter, besides its name


# Durations and sizes that may be 0. All others would make every request fail, or a loop run without a pause.
MAY_BE_ZERO = frozenset(
    {
        "auth.leeway",
        "auth.jwks_cooldown",
        "dispatcher.max_ahead",
        "dispatcher.max_data",
        "dispatcher.max_hold",
        "edge.min_write_rate",
        "frontend.flush_interval",
        "frontend.hold_back",
        "frontend.linger",
        "frontend.retry_min",
        "frontend.default_wait",
        "frontend.max_wait",
        "frontend.max_delay",
        "hooks.vacated_after",
        "likes.tick",
        "node.drain_timeout",
        "node.lame_duck",
        "relay.retry_min",
        "backend.follow_linger",
    }
)


def check(settings: Settings) -> None:
    """Check that the settings are consistent. Raises `ConfigError`."""
    node, listen, frontend = settings.node, settings.listen, settings.frontend
    if not node.roles:
        raise ConfigError(
            "node.roles",
            'is empty; name at least one of "frontend", "dispatcher", "backend", "recorder", "hooks"',
        )
    if node.workers > 1 and settings.bus.kind == "memory":
        raise ConfigError(
            "node.workers", 'more than one needs bus.kind = "redis": a memory bus is not shared'
        )
    if listen.ops.port + node.workers - 1 > 65535:
        raise ConfigError("node.workers", f"is more than there are ports from listen.ops, {listen.ops}, on")
    if "frontend" in node.roles and "dispatcher" not in node.roles and not frontend.dispatchers:
        raise ConfigError(
            "frontend.dispatchers", "is empty, and this node is not a dispatcher; set their URLs"
        )
    if "frontend" in node.roles and settings.bus.kind == "memory" and frontend.dispatchers:
        raise ConfigError("frontend.dispatchers", 'with other nodes, bus.kind must be "redis"')
    if "backend" in node.roles and "dispatcher" not in node.roles and not settings.backend.dispatchers:
        raise ConfigError(
            "backend.dispatchers", "is empty, and this node is not a dispatcher; set their URLs"
        )
    _check_quantities(settings)
    check_urls(settings)
    check_auth(settings)
    check_hooks(settings)
    _check_tls(settings)
    if settings.backend.batch_events > settings.dispatcher.max_events:
        raise ConfigError("backend.batch_events", "is over dispatcher.max_events")
    if frontend.counts_interval < 1:
        raise ConfigError("frontend.counts_interval", "is under 1s, the shortest interval")
    if frontend.retry_min > frontend.retry_max:
        raise ConfigError("frontend.retry_min", "is over frontend.retry_max")
    if frontend.default_wait > frontend.max_wait:
        raise ConfigError("frontend.default_wait", "is over frontend.max_wait")
    # The default is not refused beside a shorter history: what the log does not hold is reported as a gap.
    is_set = frontend.max_delay != FrontendSettings().max_delay
    if is_set and frontend.max_delay > settings.history.max_age:
        raise ConfigError(
            "frontend.max_delay", "is over history.max_age: events would expire before they are due"
        )
    if "recorder" in node.roles and "dispatcher" not in node.roles and settings.bus.kind == "memory":
        raise ConfigError("node.roles", 'a recorder without a dispatcher needs bus.kind = "redis"')
    if not 0 < settings.recorder.interval <= settings.history.max_age / 10:
        raise ConfigError(
            "recorder.interval", "is 0, or over a tenth of history.max_age: events could be missed"
        )
    if settings.recorder.segment < 1:
        raise ConfigError("recorder.segment", "is under 1s")
    _check_bucket(settings.recorder)
    if frontend.lease > settings.dispatcher.max_lease:
        raise ConfigError("frontend.lease", "is over dispatcher.max_lease")
    if settings.dispatcher.commit_timeout + 2 * settings.bus.timeout > TOKEN_WINDOW:
        raise ConfigError(
            "dispatcher.commit_timeout",
            f"with twice bus.timeout is over {TOKEN_WINDOW:g}s, for which commits are deduplicated",
        )
    _check_peers(settings)


def _check_quantities(settings: Settings) -> None:
    """Refuse a duration or size of 0 where it makes no sense. Raises `ConfigError`."""
    for section in settings.__struct_fields__:
        values = getattr(settings, section)
        for name, hint in get_type_hints(type(values)).items():
            kinds = {hint, *get_args(hint)} & {Duration, Size}
            if kinds and f"{section}.{name}" not in MAY_BE_ZERO and getattr(values, name) == 0:
                example = '"1s"' if Duration in kinds else '"64KiB"'
                raise ConfigError(f"{section}.{name}", f"must be more than 0, {example} for example")


def _check_bucket(recorder: RecorderSettings) -> None:
    has_secret = recorder.s3_secret_key is not None or recorder.s3_secret_key_file is not None
    if (recorder.s3_access_key is not None) != has_secret:
        missing = "s3_secret_key_file" if recorder.s3_access_key is not None else "s3_access_key"
        raise ConfigError(f"recorder.{missing}", "is not set; an access key needs both")
    if recorder.s3_endpoint is not None:
        check_url("recorder.s3_endpoint", recorder.s3_endpoint, HTTP, "http://127.0.0.1:9000")
        if "@" in recorder.s3_endpoint:
            raise ConfigError("recorder.s3_endpoint", "has a user or password; use recorder.s3_access_key")
    if not recorder.s3_bucket and (has_secret or recorder.s3_endpoint or recorder.s3_prefix):
        raise ConfigError("recorder.s3_bucket", "is empty, and other settings of a bucket are not")


def _check_peers(settings: Settings) -> None:
    own, peers = settings.node.datacenter, settings.peers
    if settings.relay.retry_min > settings.relay.retry_max:
        raise ConfigError("relay.retry_min", "is over relay.retry_max")
    if not peers:
        return
    if own in peers:
        raise ConfigError(f"peers.{own}", "is this datacenter itself; name only the others")
    if settings.bus.kind != "redis":
        raise ConfigError("peers", 'need bus.kind = "redis": others cannot listen to a memory bus')
    if "dispatcher" not in settings.node.roles:
        raise ConfigError("peers", "are for dispatchers only; remove them here")
    if sum(len(name) + MARK for name in (own, *peers)) > MAX_BYTES:
        raise ConfigError(
            "peers",
            f"are so many that a cursor over them, {MAX_BYTES} bytes at most, may not hold them; "
            "give the datacenters shorter names",
        )


def _check_tls(settings: Settings) -> None:
    tls, address = settings.tls, settings.listen.tls
    if address is None:
        if tls.certificate or tls.key:
            raise ConfigError(
                "listen.tls",
                'is not set although there is a certificate; say where to listen, "0.0.0.0:8443" for example',
            )
    else:
        for name in ("certificate", "key"):
            if not getattr(tls, name):
                raise ConfigError(f"tls.{name}", "is empty, and listen.tls needs it; name its PEM file")
        if address.port and address.port in (settings.listen.public.port, settings.listen.ops.port):
            raise ConfigError("listen.tls", f"{address} has the port of another address; choose another")
        server_context(tls)
    if tls.ca_file:
        client_context(tls.ca_file)
