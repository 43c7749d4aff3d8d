"""Viewers whose tokens are revoked: live ones, lagging ones, and those being admitted."""

from __future__ import annotations

import msgspec
import pytest
import trio
from trio.testing import MockClock, wait_all_tasks_blocked

from liveserver.auth.grant import Grant
from liveserver.bus.memory.bus import MemoryBus
from liveserver.transport.form import Reason
from tests.auth.harness import Clock, token
from tests.auth.harness import settings as auth_settings
from tests.frontend.fakes import SocketClient
from tests.frontend.harness import stage
from tests.frontend.test_drain import GatedBus
from tests.frontend.test_state import TOKENS


def is_ada(grant: Grant) -> bool:
    return grant.user == "ada"


def bearer(user: str | None) -> str:
    return f"Authorization: Bearer {token(sub=user)}"


@pytest.mark.parametrize("what", ["events", "poll"])
async def test_a_viewer_being_admitted_is_refused(what: str, autojump_clock: MockClock) -> None:
    bus = GatedBus()
    cursor = (await MemoryBus.read(bus, "v", 0, 1)).head.cursor
    async with stage(auth_settings(auth=TOKENS), bus, clock=Clock()) as on:
        ada, bob = on.connect(), on.connect()
        began = trio.current_time()
        what += f"?cursor={cursor}" + ("&wait=50" if what == "poll" else "")
        await ada.get(f"/v1/videos/v/{what}", bearer("ada"))
        await bob.get(f"/v1/videos/v/{what}", bearer("bob"))
        await wait_all_tasks_blocked()
        await on.frontend.end_where(is_ada, Reason.REVOKED)
        bus.gate.set()
        if what.startswith("events"):
            assert "200" in await ada.head()
            event = await ada.event()
            assert (event.type, msgspec.json.decode(event.data)) == (
                "bye",
                {"reason": "revoked", "reconnect": False},
            )
            await bob.head()
            assert (await bob.event()).type == "ready"
            assert on.channel().audience.totals.count == 1
        else:
            assert (await ada.json())["events"] == []
            assert trio.current_time() - began < 10
            await wait_all_tasks_blocked()
        assert not on.frontend.joining


async def test_a_lagging_viewer_is_disconnected_and_the_others_stay(autojump_clock: MockClock) -> None:
    async with stage(auth_settings(auth=TOKENS), clock=Clock()) as on:
        ada = await on.watch("v", "", bearer("ada"), receive_buffer=4096, send_buffer=4096)
        bob = await on.watch("v", "", bearer("bob"))
        nobody = await on.watch("v", "", bearer(None))
        for _ in range(30):
            await on.publish(1, padding=10_000)
            await wait_all_tasks_blocked()
        assert on.channel().audience.lagging
        assert await on.frontend.end_where(is_ada, Reason.DISCONNECTED) == 1
        kinds = []
        while "bye" not in kinds:
            event = await ada.event()
            kinds.append(event.type)
        assert msgspec.json.decode(event.data)["reason"] == "disconnected"
        assert on.channel().audience.totals.count == 2
        for client in (bob, nobody):
            assert (await client.event()).type == "ready"
            assert len(await client.events(30)) == 30


async def test_a_websocket_ends_with_all_its_videos(autojump_clock: MockClock) -> None:
    async with stage(auth_settings(auth=TOKENS), clock=Clock()) as on:
        client = SocketClient(on.connect())
        await client.upgrade((b"authorization", f"Bearer {token(sub='ada')}".encode()))
        await client.event()
        await client.watch("v")
        await client.watch("w")
        assert await on.frontend.end_where(is_ada, Reason.REVOKED) == 1
        kind, said = await client.message()
        assert (kind, said["reason"], said["reconnect"]) == ("bye", "revoked", False)
        assert on.frontend.statistics().viewers == 0
        assert not on.frontend.sockets
