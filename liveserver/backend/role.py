"""The likes backend role of a process, opened for the time of a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from liveserver.auth.authorizer import Authorizer
from liveserver.backend.backend import BackendBus, open_backend
from liveserver.backend.likes import LikeRoutes
from liveserver.backend.outbox import PublishTarget
from liveserver.config import Settings
from liveserver.config.certificates import client_context
from liveserver.role import Role
from liveserver.tracing.carrying import Carrier
from liveserver.tracing.tracer import Tracer

if TYPE_CHECKING:
    from quart import Blueprint


@asynccontextmanager
async def open_backend_role(
    settings: Settings,
    authorizer: Authorizer,
    reader: BackendBus | None,
    local: PublishTarget | None,
    tracer: Tracer | None = None,
) -> AsyncIterator[tuple[Role, PublishTarget]]:
    """Yield the role, and the dispatcher to which it publishes.

    That is `local`, unless there is none or `backend.dispatchers` names others. `reader` is None without a
    bus: then totals and comments of other stores are not included.
    """
    async with AsyncExitStack() as stack:
        target = local
        if settings.backend.dispatchers or target is None:
            from liveserver.dispatcher_client.addresses import DispatcherAddresses
            from liveserver.dispatcher_client.publish import PublishClient

            given = DispatcherAddresses(settings.backend.dispatchers, settings.node.resolve_interval)
            target = await stack.enter_async_context(
                PublishClient.open(
                    await stack.enter_async_context(given.resolving()),
                    settings.backend.dispatcher_timeout,
                    client_context(settings.tls.ca_file),
                    authorizer.signature,
                )
            )
        carrier = Carrier(tracer, target) if tracer is not None else None
        backend = await stack.enter_async_context(
            open_backend(settings.backend, carrier or target, settings.likes, reader, settings.review)
        )
        if carrier is not None:
            backend.writer.carry = carrier.carry

        def own_routes() -> Blueprint:
            from liveserver.backend.routes import backend_routes

            return backend_routes(backend, authorizer)

        def moderation() -> Blueprint:
            from liveserver.moderation.routes import moderation_routes

            return moderation_routes(backend, authorizer.liker)

        role = Role(
            routes=[LikeRoutes(backend, settings.backend, authorizer, tracer)],
            blueprints=[own_routes, moderation],
            statistics={"backend": backend.statistics},
            checks={"database": backend.check},
            reloads=[lambda settings: backend.waiting_comments.prepare_reload(settings.review)],
            acts=backend.newest_acts,
        )
        yield role, target
