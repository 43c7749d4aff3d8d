"""`liveserver audit`: prints moderators' acts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from liveserver.cli.credentials import sendable
from liveserver.cli.printable import printable, printable_json
from liveserver.cli.urls import server_url
from liveserver.errors import LiveserverError, connection_fault

if TYPE_CHECKING:
    import httpx

PAGE = 200  # acts in one request
TIMEOUT = 10.0  # seconds


class _Page(msgspec.Struct):
    acts: list[dict[str, Any]]
    next: str | None


def audit(
    url: Annotated[
        str,
        typer.Argument(
            metavar="URL", callback=server_url, help="A likes backend, http://127.0.0.1:8121 for example."
        ),
    ],
    video: Annotated[str, typer.Argument(metavar="VIDEO", help="The video's name, or * for all videos.")],
    limit: Annotated[int, typer.Option("--limit", metavar="N", help="How many acts, the newest ones.")] = 100,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            metavar="KEY",
            envvar="LIVESERVER_KEY",
            callback=sendable,
            help="A moderator's token, or a key with the scope; preferably in the environment.",
        ),
    ] = None,
) -> None:
    """Print moderators' actions with actor, time and object, newest last.

    They are read from a backend's database, which follows the feed of all datacenters.
    """
    import httpx

    if limit < 1:
        raise typer.BadParameter("is at least 1", param_hint="--limit")
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    try:
        with httpx.Client(base_url=url, headers=headers, timeout=TIMEOUT, trust_env=False) as client:
            acts = list(_acts(client, video, limit))
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise LiveserverError(f"{url} does not answer: {connection_fault(error)}") from None
    acts.reverse()
    if as_json:
        for act in acts:
            typer.echo(printable_json(json.dumps(act, ensure_ascii=False)))
    else:
        _print_table(acts)


def _acts(client: httpx.Client, video: str, limit: int) -> Iterator[dict[str, Any]]:
    """Yield the acts, newest first. Raises `LiveserverError`."""
    from urllib.parse import quote

    before: str | None = None
    while limit > 0:
        count = min(limit, PAGE)
        arguments = {"limit": str(count)} | ({} if before is None else {"before": before})
        answer = client.get(f"/v1/videos/{quote(video, safe='*')}/audit", params=arguments)
        if not answer.is_success:
            raise LiveserverError(_complaint(answer))
        try:
            page = msgspec.json.decode(answer.content, type=_Page)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            raise LiveserverError("this URL is not a likes backend's") from None
        yield from page.acts
        before = page.next
        limit -= count
        if before is None:
            return


def _complaint(answer: httpx.Response) -> str:
    try:
        detail = answer.json()["detail"]
    except (ValueError, KeyError, TypeError):
        detail = "is it a likes backend?"
    return f"{answer.url.host} answers {answer.status_code}: {detail}"


def _print_table(acts: list[dict[str, Any]]) -> None:
    from datetime import UTC, datetime

    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD)
    for heading in ("when (UTC)", "by", "what", "whom", "details"):
        table.add_column(heading, overflow="fold")
    for act in acts:
        try:
            when = datetime.fromtimestamp(act["at"] / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
        except (KeyError, TypeError, ValueError, OverflowError, OSError):
            when = "?"
        by, user = str(act.get("by", "")), str(act.get("user", ""))
        words = [when, by, _what(act), user, _details(act.get("data"))]
        table.add_row(*[Text(printable(word)) for word in words])
    Console(soft_wrap=False).print(table)


def _what(act: dict[str, Any]) -> str:
    """Return a word for the action."""
    kind, is_cleared = str(act.get("type", "")), act.get("data") is None
    if is_cleared:
        return {"ban": "lift ban", "pin": "unpin", "waiting": "decide"}.get(kind, f"clear {kind}")
    return kind


def _details(data: Any) -> str:
    if isinstance(data, dict):
        return " ".join(f"{name}={json.dumps(value, ensure_ascii=False)}" for name, value in data.items())
    return "" if data is None else json.dumps(data, ensure_ascii=False)
