"""The token that a viewer shows: one, or whatever a function gives, asked again when that has expired."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable

Token = str | Callable[[], str | Awaitable[str]]


class Tokens:
    """What is shown with each request. A function is asked once, and then only for another."""

    def __init__(self, token: Token | None) -> None:
        self._token = token
        self._current: str | None = None
        self._has_worked = False

    async def headers(self) -> dict[str, str]:
        """`authorization`; nothing without a token. Raises what the function raises."""
        if self._token is None:
            return {}
        if self._current is None:
            given = self._token if isinstance(self._token, str) else self._token()
            self._current = await given if inspect.isawaitable(given) else given
            self._has_worked = False
        return {"authorization": f"Bearer {self._current}"}

    def worked(self) -> None:
        """The server has taken the present one."""
        self._has_worked = True

    def renew(self) -> bool:
        """The present one is not good any more; whether to ask for another, once it has worked."""
        if self._token is None or isinstance(self._token, str) or not self._has_worked:
            return False
        self._current = None
        return True
