"""The frontend role of a process, opened for the time of a block."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from liveserver.config.certificates import client_context
from liveserver.frontend.admission import Admission
from liveserver.frontend.channels.subscriptions import LeaseService
from liveserver.frontend.frontend import Frontend, open_frontend
from liveserver.frontend.routes import WatchRoutes
from liveserver.frontend.summary import SummaryRoutes
from liveserver.role import HotRoutes, Process, Role


@asynccontextmanager
async def open_frontend_role(
    process: Process, local: LeaseService | None
) -> AsyncIterator[tuple[Role, Frontend]]:
    """Yield the role, and the frontend itself, for what drains it and displays it.

    `local` grants its leases, unless there is none or `frontend.dispatchers` names others.
    """
    settings, authorizer = process.settings, process.authorizer
    async with AsyncExitStack() as stack:
        leases = local
        if settings.frontend.dispatchers or leases is None:
            from liveserver.dispatcher_client.addresses import DispatcherAddresses
            from liveserver.dispatcher_client.leases import LeaseClient

            given = DispatcherAddresses(settings.frontend.dispatchers, settings.node.resolve_interval)
            leases = await stack.enter_async_context(
                LeaseClient.open(
                    await stack.enter_async_context(given.resolving()),
                    settings.frontend.dispatcher_timeout,
                    client_context(settings.tls.ca_file),
                    authorizer.signature,
                )
            )
        frontend = await stack.enter_async_context(open_frontend(process.name, settings, process.bus, leases))
        admission = Admission(authorizer, frontend.table.channels)
        frontend.joining = admission.joining
        routes: list[HotRoutes] = [WatchRoutes(frontend, settings.frontend, admission)]
        if "backend" not in settings.node.roles:  # which has routes of these paths
            routes.append(SummaryRoutes(frontend, admission))
        role = Role(
            routes=routes,
            statistics={"frontend": frontend.statistics},
            checks={"delivery": frontend.canary.check, "name": frontend.canary.check_name},
        )
        yield role, frontend
