"""The status of nodes, from `/v1/status`, and rates computed from two answers of a node."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import msgspec
import trio

from liveserver.cli.rows import Row
from liveserver.instruments import Distribution

TIMEOUT = 2.0  # seconds

# What decoding an answer may raise.
_MALFORMED = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class Process(msgspec.Struct):
    """Memory in bytes, and CPU time in seconds since the start."""

    memory: int = 0
    cpu: float = 0.0


class FanOut(msgspec.Struct):
    """A frontend's counts since the start."""

    deliveries: int = 0
    writes: int = 0
    gaps: int = 0
    delay: Distribution | None = None


class Frontend(msgspec.Struct):
    """A frontend's present numbers."""

    videos: int = 0
    viewers: int = 0
    lagging: int = 0
    lag: int = 0
    fanout: FanOut = msgspec.field(default_factory=FanOut)


class Publish(msgspec.Struct):
    """A dispatcher's counts since the start."""

    accepted: int = 0


class Status(msgspec.Struct):
    """The fields of a status that `top` uses; others are ignored."""

    node: str
    roles: list[str]
    uptime: float = 0.0
    process: Process = msgspec.field(default_factory=Process)
    frontend: Frontend | None = None
    publish: Publish | None = None


class _Member(msgspec.Struct):
    ops: str


class _Cluster(msgspec.Struct):
    nodes: list[_Member] = []


async def discover(client: httpx.AsyncClient, urls: Sequence[str]) -> list[str]:
    """Return the ops addresses of all live nodes that the nodes at `urls` list, from Redis.

    A node that lists none is included itself. The first of `urls` that answers is enough for its
    datacenter and its peers.
    """
    found: dict[str, None] = {}
    silent = []
    for url in urls:
        if url in found:
            continue
        try:
            answer = await client.get(f"{url.rstrip('/')}/v1/cluster")
            nodes = msgspec.json.decode(answer.content, type=_Cluster).nodes
        except (httpx.HTTPError, httpx.InvalidURL, *_MALFORMED):
            nodes = []
        if not nodes:
            silent.append(url)
        found |= dict.fromkeys(f"http://{each.ops}" for each in nodes)
    return [*found, *(url for url in silent if url not in found)]


async def fetch_all(client: httpx.AsyncClient, urls: Sequence[str]) -> list[Status | str]:
    """Fetch each node's status, or an error message, in the order of the URLs."""
    found: dict[str, Status | str] = {}

    async def ask(url: str) -> None:
        found[url] = await _ask(client, url)

    async with trio.open_nursery() as nursery:
        for url in urls:
            nursery.start_soon(ask, url)
    return [found[url] for url in urls]


async def _ask(client: httpx.AsyncClient, url: str) -> Status | str:
    try:
        answer = await client.get(f"{url.rstrip('/')}/v1/status")
    except httpx.TimeoutException:
        return f"no answer within {TIMEOUT:g} s"
    except (httpx.HTTPError, httpx.InvalidURL):
        return "does not answer"
    if answer.status_code in (401, 403):
        return "wants another --key" if "authorization" in client.headers else "wants a --key"
    try:
        return msgspec.json.decode(answer.content, type=Status)
    except _MALFORMED:
        return "no ops port"


def row(url: str, before: Status | str | None, now: Status | str, seconds: float) -> Row:
    """Return a node's row from two answers that are `seconds` apart."""
    if isinstance(now, str):
        last = before.node if isinstance(before, Status) else ""
        return Row(url, last, trouble=now)
    # A node that was restarted meanwhile counts from zero.
    known = before if isinstance(before, Status) and before.uptime <= now.uptime and seconds > 0 else None
    frontend, publish = now.frontend, now.publish
    line = Row(
        url,
        now.node,
        "+".join(role[:2] for role in now.roles),
        memory=now.process.memory,
        cpu=(now.process.cpu - known.process.cpu) / seconds if known else None,
        uptime=now.uptime,
    )
    if publish is not None:
        earlier = known.publish if known else None
        line = msgspec.structs.replace(
            line, publishes=(publish.accepted - earlier.accepted) / seconds if earlier else None
        )
    if frontend is not None:
        line = _with_frontend(line, frontend, known.frontend if known else None, seconds)
    return line


def _with_frontend(line: Row, now: Frontend, before: Frontend | None, seconds: float) -> Row:
    fanout = now.fanout
    line = msgspec.structs.replace(
        line, videos=now.videos, viewers=now.viewers, lagging=now.lagging, lag=now.lag, gaps=fanout.gaps
    )
    if before is None:
        return line
    deliveries = fanout.deliveries - before.fanout.deliveries
    writes = fanout.writes - before.fanout.writes
    return msgspec.structs.replace(
        line,
        deliveries=deliveries / seconds,
        coalescing=deliveries / writes if writes and deliveries else None,
        delay=quantile(before.fanout.delay, fanout.delay, 0.99),
    )


def quantile(before: Distribution | None, now: Distribution | None, share: float) -> float | None:
    """Return a quantile of the values counted between two readings, interpolated between bounds."""
    if before is None or now is None:
        return None
    if len(now.counts) != len(before.counts):
        return None
    counts = [later - earlier for later, earlier in zip(now.counts, before.counts, strict=True)]
    wanted, count, lower = share * sum(counts), 0, 0.0
    if not wanted:
        return None
    for bound, here in zip(now.bounds, counts, strict=False):
        if here and count + here >= wanted:
            return lower + (bound - lower) * (wanted - count) / here
        count += here
        lower = bound
    return lower
