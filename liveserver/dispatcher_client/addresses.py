"""The dispatchers of this datacenter: given as URLs, or found by a DNS name with one address for each.

`http://di1:8111` is one dispatcher. `dns+http://dispatchers:8111` is all addresses (A, AAAA) of that name, as
those of a headless service in Kubernetes; they are looked up again every `node.resolve_interval`, and at once
when no dispatcher answers.

1. A dispatcher is used while it answers, then the next. A new one is put in a random place, perhaps first,
   so that each of n dispatchers serves about 1/n of the clients.
2. A name that cannot be resolved, or has no address, changes nothing: the last known addresses are used.
3. With `dns+https://` certificates are verified for the name, not for its addresses.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import structlog
import trio

from liveserver.wakeup import Wakeup

PREFIX = "dns+"
LOOKUP = 5.0  # seconds for one lookup
PAUSE = 1.0  # seconds, at least, between two lookups of all names

log = structlog.get_logger(__name__)


class DispatcherAddresses:
    """The dispatchers' base URLs. `run` must be running for names (`resolving`)."""

    def __init__(self, urls: Sequence[str], interval: float = 5.0) -> None:
        self._given = [url.rstrip("/") for url in urls if not url.startswith(PREFIX)]
        self._names = {url.rstrip("/"): list[str]() for url in urls if url.startswith(PREFIX)}
        self._interval = interval
        self._urls = list(self._given)
        random.shuffle(self._urls)  # so that the clients spread over the dispatchers
        self._hosts: dict[str, str] = {}
        self._failing: set[str] = set()
        self._wakeup = Wakeup()

    @property
    def first(self) -> str | None:
        """The base URL of the dispatcher to use now; None while none is known."""
        return self._urls[0] if self._urls else None

    def __len__(self) -> int:
        return len(self._urls)

    def attempts(self) -> Iterator[str]:
        """Yield the dispatcher to use, again after each failure, as often as there are dispatchers.

        When the next one is requested, the one yielded before is moved to the end. If all have failed, the
        names are looked up.
        """
        for _ in range(len(self._urls)):
            if not self._urls:
                break
            url = self._urls[0]
            yield url
            if self._urls and self._urls[0] == url:  # else another request has already moved it to the end
                self._urls.append(self._urls.pop(0))
        self._wakeup.set()

    def extensions(self, url: str) -> dict[str, str]:
        """Return an httpx request's extensions for a dispatcher: the name that its certificate must have."""
        host = self._hosts.get(url)
        return {"sni_hostname": host} if host is not None else {}

    @asynccontextmanager
    async def resolving(self) -> AsyncIterator[DispatcherAddresses]:
        """Keep the addresses up to date for the duration of the block; they are looked up once before it."""
        if not self._names:
            yield self
            return
        await self.resolve()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.run)
            yield self
            nursery.cancel_scope.cancel()

    async def run(self) -> None:
        """Look the names up at intervals, until cancelled."""
        while True:
            await self._wakeup.wait(trio.current_time() + self._interval)
            await self.resolve()
            await trio.sleep(PAUSE)

    async def resolve(self) -> None:
        """Look up all names now. Raises nothing."""
        for name in self._names:
            found = await self._lookup(name)
            if found:
                self._names[name] = found
        self._replace([*self._given, *(url for urls in self._names.values() for url in urls)])

    async def _lookup(self, name: str) -> list[str]:
        parts = urlsplit(name.removeprefix(PREFIX))
        host = parts.hostname or ""
        port = parts.port or (443 if parts.scheme == "https" else 80)
        reason = f"no answer within {LOOKUP:g} s"
        found = []
        try:
            with trio.move_on_after(LOOKUP):
                found = await trio.socket.getaddrinfo(host, port, type=trio.socket.SOCK_STREAM)
                reason = "it has no address"
        except (OSError, UnicodeError) as error:
            reason = str(getattr(error, "strerror", None) or error)
        if not found:
            if name not in self._failing:
                log.warning(
                    "dispatchers_not_resolved", name=host, reason=reason, known=len(self._names[name])
                )
            self._failing.add(name)
            return []
        self._failing.discard(name)
        urls = []
        for *_, address in found:
            shown = f"[{address[0]}]" if ":" in str(address[0]) else str(address[0])
            url = urlunsplit((parts.scheme, f"{shown}:{port}", parts.path, "", ""))
            self._hosts[url] = host
            urls.append(url)
        return sorted(set(urls))

    def _replace(self, wanted: list[str]) -> None:
        gone, come = set(self._urls) - set(wanted), set(wanted) - set(self._urls)
        if not gone and not come:
            return
        self._urls = [url for url in self._urls if url not in gone]
        for url in sorted(come):
            self._urls.insert(random.randint(0, len(self._urls)), url)
        self._hosts = {url: host for url, host in self._hosts.items() if url in wanted}
        log.info("dispatchers_changed", come=sorted(come), gone=sorted(gone), count=len(self._urls))
