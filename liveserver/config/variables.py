"""Settings from environment variables, and the variables that were probably meant to be one.

`LIVESERVER_BUS__URL` sets `bus.url`. Names that are almost a setting's, and unknown sections, are refused: a
setting that is silently ignored is worse than an error. Kubernetes adds variables for each service
(`LIVESERVER_PORT`, `LIVESERVER_FRONTEND_SERVICE_HOST`); those, and those of commands, are left alone.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping

from liveserver.config.renames import RENAMED_SECTIONS
from liveserver.config.sections import Settings
from liveserver.errors import ConfigError

ENVIRONMENT_PREFIX = "LIVESERVER_"

# Variables that are read elsewhere.
OTHERS = frozenset({"LIVESERVER_TOKEN", "LIVESERVER_OPS_KEY", "LIVESERVER_TRACEBACK"})

# Of https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables
_KUBERNETES = re.compile(
    r"_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)\Z"
)
_SIMILAR = 0.8  # as in difflib.SequenceMatcher.ratio; "BUS_URI" and "BUS_URL": 0.86


def settings_in(environment: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield variable, setting and value of each setting. Raises `ConfigError` for a mistyped variable."""
    for variable, value in sorted(environment.items()):
        if variable.startswith(ENVIRONMENT_PREFIX) and "__" in variable:
            section, _, _ = variable.removeprefix(ENVIRONMENT_PREFIX).partition("__")
            if section.lower() not in (*Settings.__struct_fields__, *RENAMED_SECTIONS):
                raise _mistyped(variable, f"there is no section {section.lower()!r}")
            yield variable, variable.removeprefix(ENVIRONMENT_PREFIX).lower().replace("__", "."), value
        elif variable[:4].upper() == "LIVE" and not _is_others(variable):
            _refuse_mistyped(variable)


def unknown_in(environment: Mapping[str, str]) -> list[str]:
    """Return the variables that begin like settings without being one; they are reported, not refused."""
    return [
        variable
        for variable in sorted(environment)
        if variable.startswith(ENVIRONMENT_PREFIX) and "__" not in variable and not _is_others(variable)
    ]


def _is_others(variable: str) -> bool:
    return variable in OTHERS or _KUBERNETES.search(variable) is not None


def _refuse_mistyped(variable: str) -> None:
    """Raise `ConfigError` for a variable that was probably meant to be a setting's."""
    name = variable.upper().removeprefix(ENVIRONMENT_PREFIX)
    sections = tuple(f"{section.upper()}_" for section in Settings.__struct_fields__)
    is_ours = variable.startswith(ENVIRONMENT_PREFIX)
    if variable.upper().startswith(ENVIRONMENT_PREFIX) and not is_ours and "__" in variable:
        raise _mistyped(variable, "settings' variables are in capitals")
    if (is_ours and name.startswith(sections)) or _nearest(variable, cutoff=0.9):
        raise _mistyped(variable, "")


def _mistyped(variable: str, reason: str) -> ConfigError:
    nearest = _nearest(variable)
    instead = nearest or f"{ENVIRONMENT_PREFIX}SECTION__NAME"
    hint = "" if reason else ", two underscores after the section"
    reason = reason or "is not a setting"
    return ConfigError(f"environment variable {variable}", f"{reason}; write {instead}{hint}")


def _nearest(variable: str, cutoff: float = _SIMILAR) -> str | None:
    """Return the variable of a setting that is most similar, regardless of its underscores."""
    known = {
        f"{ENVIRONMENT_PREFIX}{section}{name}".upper().replace("_", ""): f"{section}__{name}".upper()
        for section in Settings.__struct_fields__
        for name in getattr(getattr(Settings(), section), "__struct_fields__", ())
    }
    likely = difflib.get_close_matches(variable.upper().replace("_", ""), known, n=1, cutoff=cutoff)
    return ENVIRONMENT_PREFIX + known[likely[0]] if likely else None
