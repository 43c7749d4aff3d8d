"""The nodes of the cluster, and requests to all of them for the dashboard of any.

Rules:

1. Each node announces the address of its ops port in a group on the bus, `OPS_GROUP`, for `OPS_LEASE`
   seconds at a time. A dispatcher also announces here those that its peers' nodes announce there.
2. Nothing is collected unless an operator asks: then the nodes are asked over HTTP, with the operator's own
   credentials, `ops.max_nodes` of them at most.
3. A node that does not answer within `ops.node_timeout` is listed with the reason.
"""

from __future__ import annotations

import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

import msgspec
import structlog
import trio

from liveserver.bus.interface import OPS_GROUP, OPS_LEASE
from liveserver.config.sections import OpsSettings
from liveserver.errors import BusError, Unavailable

if TYPE_CHECKING:
    import httpx

LEAVE_TIMEOUT = 1.0  # seconds to leave the group at the end
CONCURRENT = 16  # nodes that are asked at once
MAX_ANSWER = 4 * 1024**2  # bytes of a node's answer
MAX_ACTS = 50
# Nodes are asked by plain HTTP; by default httpx would read all public authorities, blocking for 30 ms.
_NO_AUTHORITIES = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)

log = structlog.get_logger(__name__)

Headers = Mapping[str, str]

# What the view of all nodes needs of a status, by part; None: all of it.
_PARTS: dict[str, tuple[str, ...] | None] = {
    "uptime": None,
    "version": None,
    "process": None,
    "publish": ("accepted", "waiting"),
    "frontend": ("videos", "viewers", "lagging", "lag"),
    "peers": None,
}
_FANOUT = ("deliveries", "writes", "gaps", "delay")


class Groups(Protocol):
    """The part of a bus by which nodes find each other. All raise `BusError`."""

    async def join_group(self, group: str, node: str, lease: float) -> list[str]: ...

    async def leave_group(self, group: str, node: str) -> None: ...


class Member(msgspec.Struct, frozen=True, order=True):
    """A node and the address of its ops port, `host:port`."""

    datacenter: str
    name: str
    roles: str
    ops: str

    def __str__(self) -> str:
        return f"{self.datacenter} {self.name} {self.roles} {self.ops}"

    @classmethod
    def parse(cls, text: str) -> Member | None:
        """Return the member; None if the text is not one."""
        found = _MEMBER.fullmatch(text)
        return cls(*found.groups()) if found is not None else None


_MEMBER = re.compile(
    r"([a-z0-9]{1,16}) ([A-Za-z0-9][A-Za-z0-9._-]{0,127}) ([a-z+]{1,64}) "
    r"([A-Za-z0-9.-]+:\d{1,5}|\[[0-9a-fA-F:.]+\]:\d{1,5})"
    r"(?: [!-~]{1,128}){0,8}"  # words of a newer version, which are ignored
)


class NoAnswer(Exception):
    """The node did not answer as expected; the message says why."""


class Cluster:
    """Announces this node, and asks all of them. `transport` replaces the network in tests."""

    def __init__(
        self,
        name: str,
        datacenter: str,
        roles: Sequence[str],
        bus: Groups | None,
        settings: OpsSettings,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._me = Member(datacenter, name, "+".join(roles), "")
        self._bus = bus
        self._settings = settings
        self._transport = transport

    async def run(self, address: str) -> None:
        """Announce this node's ops port, `host:port`, until cancelled."""
        self._me = msgspec.structs.replace(self._me, ops=self._settings.advertise or reachable(address))
        if self._bus is None:
            return
        try:
            while True:
                with suppress(BusError):  # readiness reports it
                    await self._bus.join_group(OPS_GROUP, str(self._me), OPS_LEASE)
                await trio.sleep(OPS_LEASE / 3)
        finally:
            with trio.move_on_after(LEAVE_TIMEOUT, shield=True), suppress(BusError):
                await self._bus.leave_group(OPS_GROUP, str(self._me))

    async def members(self) -> list[Member]:
        """Return the live nodes, by datacenter and name. Raises `Unavailable`."""
        if self._bus is None:
            return [self._me]
        try:
            names = await self._bus.join_group(OPS_GROUP, str(self._me), OPS_LEASE)
        except BusError:
            raise Unavailable("the bus does not answer: which nodes there are is not known", 1) from None
        found = {member for name in names if (member := Member.parse(name)) is not None}
        return sorted(found | {self._me})

    async def nodes(self, headers: Headers) -> dict[str, Any]:
        """Return all nodes: name, role and address, whether each is ready, and the numbers of its status."""
        members = await self.members()
        asked = members[: self._settings.max_nodes]
        statuses = await self._ask(asked, "/v1/status", headers)
        checks = await self._ask(asked, "/readyz", {}, accepted=(200, 503))
        nodes = []
        for member in asked:
            node: dict[str, Any] = {
                "node": member.name,
                "datacenter": member.datacenter,
                "roles": member.roles.split("+"),
                "ops": member.ops,
            }
            status, ready = statuses[member], checks[member]
            if isinstance(status, NoAnswer):
                node["trouble"] = str(status)
            else:
                node |= _summary(status)
            if not isinstance(ready, NoAnswer):
                node["ready"] = ready.get("ready") is True
                node["failing"] = _failing(ready)
            nodes.append(node)
        return {"nodes": nodes, "more_nodes": len(members) - len(asked)}

    async def trace(self, video: str, event: str, headers: Headers) -> dict[str, Any]:
        """Return an event's traces at the frontends, and the nodes that did not answer."""
        members = [each for each in await self.members() if "frontend" in each.roles.split("+")]
        path = f"/v1/videos/{quote(video, safe='')}/events/{quote(event, safe='')}/trace"
        answers = await self._ask(members[: self._settings.max_nodes], path, headers, accepted=(200, 404))
        traces, missing = [], []
        for member, answer in answers.items():
            if isinstance(answer, NoAnswer):
                missing.append({"node": member.name, "trouble": str(answer)})
            elif "written" in answer:
                traces.append({"datacenter": member.datacenter, **answer})
        return {"video": video, "id": event, "traces": traces, "missing": missing}

    async def acts(self, headers: Headers) -> dict[str, Any]:
        """Return the newest of moderators' acts that the backends know, newest first."""
        members = [each for each in await self.members() if "backend" in each.roles.split("+")]
        answers = await self._ask(members[: self._settings.max_nodes], "/v1/acts", headers)
        found: dict[str, Any] = {}
        missing = []
        for member, answer in answers.items():
            if isinstance(answer, NoAnswer):
                missing.append({"node": member.name, "trouble": str(answer)})
            else:
                found |= {act["id"]: act for act in answer["acts"]}
        newest = sorted(found.values(), key=lambda act: (act["at"], act["id"]), reverse=True)
        return {"acts": newest[:MAX_ACTS], "backends": len(members), "missing": missing}

    async def _ask(
        self, members: Sequence[Member], path: str, headers: Headers, accepted: tuple[int, ...] = (200,)
    ) -> dict[Member, Any]:
        """Return each node's answer as JSON, or a `NoAnswer`."""
        import httpx

        answers: dict[Member, Any] = {}
        limiter = trio.CapacityLimiter(CONCURRENT)

        async def ask(client: httpx.AsyncClient, member: Member) -> None:
            async with limiter:
                try:
                    answers[member] = await self._answer(client, f"http://{member.ops}{path}", accepted)
                except NoAnswer as error:
                    answers[member] = error

        async with (
            httpx.AsyncClient(
                transport=self._transport,
                headers=headers,
                timeout=self._settings.node_timeout,
                trust_env=False,
                verify=_NO_AUTHORITIES,
            ) as client,
            trio.open_nursery() as nursery,
        ):
            for member in members:
                nursery.start_soon(partial(ask, client, member))
        return {member: answers[member] for member in members}

    async def _answer(self, client: httpx.AsyncClient, url: str, accepted: tuple[int, ...]) -> Any:
        """Return a node's answer. Raises `NoAnswer`."""
        import httpx

        timeout = self._settings.node_timeout
        try:
            with trio.fail_after(timeout):
                async with client.stream("GET", url) as response:
                    content = bytearray()
                    async for chunk in response.aiter_bytes():
                        content += chunk
                        if len(content) > MAX_ANSWER:
                            raise NoAnswer("its answer is too large")
        except trio.TooSlowError:
            raise NoAnswer(f"no answer within {timeout:g} s") from None
        except (httpx.HTTPError, httpx.InvalidURL):
            raise NoAnswer("does not answer") from None
        if response.status_code in (401, 403):
            raise NoAnswer("has another auth.ops_key")
        try:
            found = msgspec.json.decode(content)
        except (msgspec.DecodeError, UnicodeDecodeError):
            found = None
        if response.status_code not in accepted or not isinstance(found, dict):
            raise NoAnswer(f"answers {response.status_code}; is it a node of this version?")
        return found


def reachable(address: str) -> str:
    """Return the address at which others reach this `host:port`: this machine's name for a wildcard."""
    host, _, port = address.rpartition(":")
    is_wildcard = ipaddress.ip_address(host.strip("[]")).is_unspecified
    return f"{socket.gethostname()}:{port}" if is_wildcard else address


def _summary(status: Mapping[str, Any]) -> dict[str, Any]:
    """Return the numbers of a status that the view of all nodes shows."""
    found: dict[str, Any] = {}
    for part, names in _PARTS.items():
        value = status.get(part)
        if value is None:
            continue
        if names is None:
            found[part] = value
        elif isinstance(value, dict):
            found[part] = {name: value[name] for name in names if name in value}
            if isinstance(fanout := value.get("fanout"), dict):
                found[part]["fanout"] = {name: fanout[name] for name in _FANOUT if name in fanout}
    return found


def _failing(ready: Mapping[str, Any]) -> list[str]:
    checks = ready.get("checks")
    if not isinstance(checks, dict):
        return []
    return [name for name, check in checks.items() if not (isinstance(check, dict) and check.get("ok"))]
