"""A viewer's token: a string, or a function that is called again when its token has expired."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

Token = str | Callable[[], str | Awaitable[str]]


class Tokens:
    """The token sent with each request. A function is called once, then only after a refusal."""

    def __init__(self, token: Token | None) -> None:
        self._token = token
        self._current: str | None = None
        self._has_worked = False

    async def headers(self) -> dict[str, str]:
        """Return the `authorization` header, or none without a token. Raises what the function raises."""
        if self._token is None:
            return {}
        if self._current is None:
            given = self._token if isinstance(self._token, str) else self._token()
            self._current = await given if inspect.isawaitable(given) else given
            self._has_worked = False
        return {"authorization": f"Bearer {self._current}"}

    def worked(self) -> None:
        """Note that the server has accepted the present token."""
        self._has_worked = True

    def drop_refused(self) -> bool:
        """Drop the refused token; return whether to get another, which is so if it has worked before."""
        if self._token is None or isinstance(self._token, str) or not self._has_worked:
            return False
        self._current = None
        return True
