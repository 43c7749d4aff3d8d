"""`liveserver publish`: publishes events at a given rate, and reports the result."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from liveserver.cli.credentials import sendable
from liveserver.cli.printable import printable
from liveserver.cli.urls import server_url
from liveserver.errors import LiveserverError

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

# Seconds; shorter runs have no progress bar.
WORTH_A_BAR = 2.0

# The maximum rate of requests; at higher rates, each has several events.
REQUESTS_PER_SECOND = 50


def publish(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", callback=server_url, help="A dispatcher, http://127.0.0.1:8111 for example."
        ),
    ],
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="The video's name.")],
    kind: Annotated[str, typer.Option("--type", metavar="TYPE", help="The event's type.")] = "like",
    user: Annotated[str | None, typer.Option("--user", metavar="USER", help="The event's user.")] = None,
    data: Annotated[str | None, typer.Option("--data", metavar="JSON", help="The event's data.")] = None,
    event_key: Annotated[
        str | None,
        typer.Option("--event-key", metavar="KEY", help="A key: the video's state keeps its newest event."),
    ] = None,
    version: Annotated[
        int | None,
        typer.Option("--version", metavar="N", help="With --event-key: higher is newer."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option("--rate", metavar="N", help="Events a second; without --count, until Ctrl-C."),
    ] = None,
    count: Annotated[
        int | None, typer.Option("--count", metavar="N", help="How many events; default one.")
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="KEY",
            envvar="LIVESERVER_KEY",
            callback=sendable,
            help="A publisher's key; preferably in the environment, where other users cannot see it.",
        ),
    ] = None,
) -> None:
    """Publish events to a video.

    Requests that are not answered, or answered with 503, are repeated with the same ids, so events arrive
    once.
    """
    if rate is not None and not rate > 0:
        raise typer.BadParameter("is events a second, more than 0", param_hint="--rate")
    if count is not None and count < 1:
        raise typer.BadParameter("is at least 1", param_hint="--count")
    event: dict[str, Any] = {"type": kind}
    if version is not None and event_key is None:
        raise typer.BadParameter("needs --event-key", param_hint="--version")
    if user is not None:
        event["user"] = user
    if event_key is not None:
        event["key"] = event_key
    if version is not None:
        event["version"] = version
    if data is not None:
        import msgspec

        from liveserver.malformed import explain_decode_error

        try:
            event["data"] = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise typer.BadParameter(
                f'{explain_decode_error(error)}; quote it for the shell: --data \'{{"reaction":"heart"}}\'',
                param_hint="--data",
            ) from None

    import trio

    run = PublishProgress(url, video, event, rate, count if count or rate else 1, key)
    try:
        trio.run(run.go)
    finally:
        # Also after a failure: some events may have been accepted.
        if run.sent:
            typer.echo(run.summary())


class PublishProgress:
    """Publishes `count` events (None: until stopped) at `rate` per second (None: as fast as possible)."""

    def __init__(
        self,
        url: str,
        video: str,
        event: dict[str, Any],
        rate: float | None,
        count: int | None,
        key: str | None = None,
    ) -> None:
        self._key = key
        self._url = url
        self._video = video
        self._event = event
        self._rate = rate
        self._count = count
        self.sent = 0
        self.accepted = 0
        self.stale = 0
        self.retried = 0
        self._failing = False
        self.seconds = 0.0
        self.cursor = ""
        self.answer_times: list[float] = []

    async def go(self) -> None:
        """Publish until done, or until a signal."""
        from rich.console import Console
        from rich.progress import Progress, TextColumn

        from liveserver.cli.signals import run_until_signal

        console = Console(stderr=True)
        expected = (
            math.inf if self._count is None else self._count / self._rate if self._rate else self._count / 1e4
        )
        columns = (*Progress.get_default_columns(), TextColumn("{task.fields[tail]}"))
        with Progress(
            *columns,
            console=console,
            transient=True,
            disable=not console.is_terminal or expected < WORTH_A_BAR,
        ) as progress:
            bar = progress.add_task("publishing", total=self._count, tail="")
            interrupted = await run_until_signal(lambda: self._publish(progress, bar))
        if interrupted and not self.sent:
            raise LiveserverError("ended before anything was accepted")

    async def _publish(self, progress: Progress, bar: TaskID) -> None:
        import httpx
        import trio

        from liveserver.client.publishing import PER_REQUEST
        from liveserver.client.publishing import publish as send

        begun = trio.current_time()
        async with httpx.AsyncClient() as client:
            while self._count is None or self.sent < self._count:
                due = self._due(trio.current_time() - begun)
                if not due:
                    await trio.sleep(1 / min(self._rate or 1, REQUESTS_PER_SECOND))
                    continue
                size = min(due, PER_REQUEST)
                asked = trio.current_time()
                receipt = await send(
                    self._url,
                    self._video,
                    [self._event] * size,
                    key=self._key,
                    client=client,
                    on_failure=self._report_failure,
                )
                self._failing = False
                self.answer_times.append(trio.current_time() - asked)
                self.sent += size
                # A duplicate of a new id is an event whose first answer was lost.
                self.accepted += receipt.accepted + receipt.duplicates
                self.stale += receipt.stale
                self.retried += receipt.attempts - 1
                self.cursor = receipt.cursor
                self.seconds = trio.current_time() - begun
                progress.update(bar, completed=self.sent, tail=f"{self.sent:,} · {self._speed():,.0f}/s")

    def _report_failure(self, reason: str, _: float) -> None:
        """Print the first of several failures in a row."""
        if not self._failing:
            typer.echo(printable(f"-- {self._url}: {reason}; trying again"), err=True)
        self._failing = True

    def _due(self, elapsed: float) -> int:
        """Return how many events are due."""
        left = math.inf if self._count is None else self._count - self.sent
        ahead = math.inf if self._rate is None else int(elapsed * self._rate) + 1 - self.sent
        return int(min(left, max(0, ahead), 1_000_000))

    def _speed(self) -> float:
        return self.sent / self.seconds if self.seconds else 0.0

    def summary(self) -> str:
        """Return the number of accepted events, the rate and the answer times; and the cursor on a second
        line.
        """
        line = f"{self.accepted:,} accepted"
        if self.stale:
            line += f", {self.stale:,} older than the state"
        if len(self.answer_times) > 1:
            line += f" in {self.seconds:.1f} s, {self._speed():,.0f}/s"
        line += f"; answered within {milliseconds(self.answer_times, 0.5)}"
        if len(self.answer_times) > 1:
            line += f" (p50), {milliseconds(self.answer_times, 0.99)} (p99)"
        if self.retried:
            line += f"; {self.retried:,} requests were tried again"
        return f"{line}\ncursor {printable(self.cursor)}"


def milliseconds(seconds: Sequence[float], quantile: float) -> str:
    """Format a quantile of durations."""
    ordered = sorted(seconds)
    return f"{ordered[min(len(ordered) - 1, int(len(ordered) * quantile))] * 1000:.1f} ms"
