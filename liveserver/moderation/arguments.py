"""The query parameters of a request, read as on the hot routes: unknown ones are refused."""

from __future__ import annotations

from collections.abc import Collection

from quart import Blueprint, request

from liveserver.edge.query import parse_arguments


def arguments(*known: str) -> dict[str, str]:
    """Return the query's parameters. Raises `BadRequest` on unknown, repeated or malformed ones."""
    query = request.query_string.decode("latin-1")
    return parse_arguments(query, known) if query else {}


def check_arguments(routes: Blueprint, **known: Collection[str]) -> None:
    """Have all routes of a blueprint refuse what `arguments` does.

    `known`: the parameters of those routes that have some, by the name of the function.
    """

    @routes.before_request
    async def check() -> None:
        arguments(*known.get((request.endpoint or "").rpartition(".")[2], ()))
