"""Errors of commands, as one line and an exit code."""

from __future__ import annotations

import errno
import os
import traceback
from typing import NamedTuple

import typer

from liveserver.config.writing import without_password
from liveserver.errors import ConfigError, LiveserverError

WENT_WRONG = 1
WRONG_USAGE = 2
INTERRUPTED = 130  # 128 + SIGINT, as in shells

# Set this variable to see the traceback of an unexpected error.
TRACEBACK_VARIABLE = "LIVESERVER_TRACEBACK"

# click's base class of usage errors. Some versions of typer include their own click.
_ClickException: type[Exception] = typer.BadParameter.__mro__[2]


class ReportedError(NamedTuple):
    """The text for standard error, if not empty, and the exit code."""

    text: str
    code: int


def explain(error: BaseException) -> ReportedError:
    """Return the report of an exception; of a group, that of its most informative member."""
    from liveserver.client.errors import ClientError  # not at each start: it imports an HTTP client

    found = leaves(error)
    if any(isinstance(one, BrokenPipeError) for one in found):
        return ReportedError("", WENT_WRONG)  # the reader of our output has ended
    for kind in (_ClickException, ConfigError, LiveserverError, ClientError, KeyboardInterrupt, OSError):
        for one in found:
            if isinstance(one, kind):
                return _explain(one)
    return _explain(found[0])


def _explain(error: BaseException) -> ReportedError:
    from liveserver.client.errors import ClientError

    if isinstance(error, _ClickException):
        context = getattr(error, "ctx", None)
        command = context.command_path if context else "liveserver"
        message = error.format_message().rstrip(".")  # type: ignore[attr-defined]
        return ReportedError(f"{command}: {message}; {command} --help shows how", WRONG_USAGE)
    if isinstance(error, LiveserverError | ClientError):
        return ReportedError(
            f"liveserver: {without_password(str(error))}",
            WRONG_USAGE if isinstance(error, ConfigError) else WENT_WRONG,
        )
    if isinstance(error, KeyboardInterrupt | typer.Abort):
        return ReportedError("", INTERRUPTED)
    if isinstance(error, OSError):
        what = f"{error.filename}: " if error.filename else ""
        hint = {
            errno.EADDRINUSE: "; stop what listens there, or choose another address",
            errno.EMFILE: "; raise the limit on open files, ulimit -n 65536 for example",
        }.get(error.errno or 0, "")
        return ReportedError(f"liveserver: {what}{error.strerror or error}{hint}", WENT_WRONG)
    if os.environ.get(TRACEBACK_VARIABLE):
        return ReportedError("".join(traceback.format_exception(error)), WENT_WRONG)
    what = traceback.format_exception_only(error)[-1].strip()
    return ReportedError(
        f"liveserver: this should not have happened: {what}; "
        f"{TRACEBACK_VARIABLE}=1 shows where; please report it",
        WENT_WRONG,
    )


def leaves(error: BaseException) -> list[BaseException]:
    """Return the exceptions in a tree of groups, in order; for any other exception, itself."""
    if isinstance(error, BaseExceptionGroup):
        return [leaf for one in error.exceptions for leaf in leaves(one)]
    return [error]
