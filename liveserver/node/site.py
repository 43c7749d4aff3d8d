"""The parts of a node that follow the site's log and publish to it; assembled once its roles are open."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
import trio

from liveserver.auth.authorizer import Authorizer
from liveserver.auth.grant import Grant
from liveserver.auth.revocations import Revocations
from liveserver.bus.memory.bus import MemoryBus
from liveserver.config import Settings
from liveserver.frontend.frontend import Frontend
from liveserver.frontend.tracing import DeliveryTracer
from liveserver.role import Role
from liveserver.site.desk import UNSUBSCRIPTION, PublishTarget, SiteDesk
from liveserver.site.feed import SiteFeed
from liveserver.site.presence import ANSWER, QUESTION, Presence
from liveserver.tracing.announcing import MARKS, announce
from liveserver.transport.form import Reason

if TYPE_CHECKING:
    from quart import Blueprint

    from liveserver.bus.redis.bus import RedisBus
    from liveserver.tracing.tracer import Tracer

REVOCATIONS_SECONDS = 1.0  # for which a token waits, after the start, until the revocations are known


class _Unsubscription(msgspec.Struct):
    video: str
    user: str


class _UnsubscriptionEvent(msgspec.Struct):
    data: _Unsubscription


_unsubscription = msgspec.json.Decoder(_UnsubscriptionEvent).decode


class TokenEndings:
    """Ends streams at a frontend, by events of the site's log."""

    def __init__(self, frontend: Frontend, revocations: Revocations) -> None:
        self._frontend = frontend
        self._revocations = revocations

    async def on_revoked(self) -> None:
        await self._frontend.end_where(self._revocations.is_revoked, Reason.REVOKED)

    async def on_banned(self) -> None:
        rules, now = self._frontend.site_rules, int(time.time() * 1000)

        def is_banned(grant: Grant) -> bool:
            return grant.is_viewer and rules.ban(grant.user, now) is not None

        await self._frontend.end_where(is_banned, Reason.REMOVED)

    async def on_unsubscription(self, content: bytes) -> None:
        try:
            asked = _unsubscription(content).data
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        await self._frontend.unsubscribe_user(asked.video, asked.user)

    async def on_disconnected(self, users: frozenset[str]) -> None:
        def is_theirs(grant: Grant) -> bool:
            return grant.is_viewer and grant.user in users

        await self._frontend.end_where(is_theirs, Reason.DISCONNECTED)


def open_site(
    name: str,
    settings: Settings,
    authorizer: Authorizer,
    nursery: trio.Nursery,
    bus: MemoryBus | RedisBus | None,
    target: PublishTarget | None,
    frontend: Frontend | None,
    tracer: Tracer | None = None,
) -> Role:
    """Return routes, of nodes that can publish, and statistics.

    The log is followed where there are tokens, which can be revoked, or keys; by frontends that trace; and by
    every dispatcher over Redis, since it publishes again what Redis has lost.
    """
    is_dispatcher = "dispatcher" in settings.node.roles
    is_followed = settings.auth.viewers == "token" or not authorizer.is_publishing_open
    desk = SiteDesk(target, authorizer.revocations, settings.history.idle_ttl) if target is not None else None
    presence = None
    statistics: dict[str, Any] = {}
    if bus is not None:
        presence = Presence(
            name,
            settings.node.datacenter,
            bus,
            nursery,
            target=target,
            watching=frontend.watching_users if frontend is not None else None,
            is_dispatcher=is_dispatcher,
            has_users=is_followed,
        )
    if tracer is not None and target is not None and is_dispatcher:
        nursery.start_soon(announce, tracer, target)
    is_tracing = tracer is not None and frontend is not None
    keep = desk.keep if desk is not None and is_dispatcher else None
    is_keeping = keep is not None and not isinstance(bus, MemoryBus)
    if bus is not None and presence is not None and (is_followed or is_tracing or is_keeping):
        rules = frontend.site_rules if frontend is not None else None
        feed = SiteFeed(bus, authorizer.revocations, settings.auth.revocation_interval, keep, rules)
        if frontend is not None:
            endings = TokenEndings(frontend, authorizer.revocations)
            feed.add_listener(endings)
            feed.add_handler(UNSUBSCRIPTION.encode(), endings.on_unsubscription)
            if is_followed:
                authorizer.wait_revocations = partial(feed.wait_ready, REVOCATIONS_SECONDS)
            if tracer is not None:
                deliveries = DeliveryTracer(tracer, name, frontend.table.channels.get)
                nursery.start_soon(deliveries.run)
                feed.add_handler(MARKS, deliveries.on_marks)
        feed.add_handler(QUESTION, presence.on_question)
        feed.add_handler(ANSWER, presence.on_answer)
        nursery.start_soon(feed.run)
        statistics["site"] = feed.statistics
    if desk is None:
        return Role(statistics=statistics)

    def routes() -> Blueprint:
        from liveserver.site.routes import site_routes

        return site_routes(desk, authorizer, settings.auth.revocation_ttl, presence)

    return Role(blueprints=[routes], statistics=statistics)
