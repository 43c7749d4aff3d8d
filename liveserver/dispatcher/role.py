"""The dispatcher role of a process, opened for the time of a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING

from liveserver.bus.canary import Canary, CanaryInbox
from liveserver.dispatcher.local import LocalDispatcher
from liveserver.dispatcher.parse import Parser
from liveserver.dispatcher.publish import Publisher
from liveserver.dispatcher.routes import DispatcherRoutes
from liveserver.dispatcher.subscriptions import Subscriptions
from liveserver.dispatcher.viewer_routes import ViewerRoutes
from liveserver.moderation.log_moderator import LogModerator
from liveserver.role import Process, Role

if TYPE_CHECKING:
    from quart import Blueprint


@asynccontextmanager
async def open_dispatcher_role(process: Process) -> AsyncIterator[tuple[Role, LocalDispatcher]]:
    """Yield the role, and the dispatcher's operations for the other roles of the process.

    Without a frontend, which has a canary of its own, a canary shows whether it delivers.
    """
    name, settings, authorizer, nursery, bus, tracer = process
    publisher = Publisher(bus, settings.node.datacenter, settings.dispatcher, settings.history)
    if tracer is not None:
        from liveserver.dispatcher.tracing import TracedPublisher

        publisher = TracedPublisher(tracer, bus, settings)
    subscriptions = Subscriptions(bus, settings.dispatcher.max_lease)
    parser = Parser(settings.dispatcher)
    local = LocalDispatcher(parser, publisher, subscriptions)
    role = Role(
        routes=[DispatcherRoutes(parser, publisher, subscriptions, authorizer, tracer)],
        statistics={"publish": publisher.statistics, "leases": subscriptions.statistics},
    )
    nursery.start_soon(publisher.run)
    if "backend" not in settings.node.roles:  # which has these routes, too
        moderator = LogModerator(bus, partial(local.publish, retractions=False))

        def moderation() -> Blueprint:
            from liveserver.moderation.routes import moderation_routes

            return moderation_routes(moderator, authorizer.liker)

        role = role._replace(blueprints=[moderation])
    if "frontend" not in settings.node.roles:  # which has this route, too
        role = role._replace(routes=[*role.routes, ViewerRoutes(bus, authorizer)])
    if settings.bus.kind == "redis":
        from liveserver.dispatcher.relay.relay import Relay

        relay = Relay(bus, name, settings)
        nursery.start_soon(relay.run)
        role = role._replace(
            statistics={**role.statistics, "relay": relay.statistics}, reloads=[relay.prepare]
        )
    if "frontend" not in settings.node.roles:
        inbox = CanaryInbox(bus, name)
        canary = Canary(name, local, settings.canary, inbox.reconnect)
        nursery.start_soon(inbox.run, canary)
        nursery.start_soon(canary.run)
        role = role._replace(
            statistics={**role.statistics, "canary": canary.statistics},
            checks={"delivery": canary.check, "name": canary.check_name},
        )
    yield role, local
