"""Reading a configuration: file, environment and overrides into checked settings."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import msgspec

from liveserver.config.checks import check
from liveserver.config.explain import explain
from liveserver.config.renames import refuse_renamed
from liveserver.config.sections import Settings
from liveserver.config.variables import ENVIRONMENT_PREFIX, settings_in
from liveserver.config.writing import without_password
from liveserver.errors import ConfigError
from liveserver.units import Secret, quantity

# Tables whose names are the operator's: how one of their settings is written.
NAMED = {
    "peers.": "peers.dc2.url=redis://…",
    "auth.publishers.": "auth.publishers.site.key_file=site.key",
    "hooks.endpoints.": "hooks.endpoints.site.url=https://…",
}
SECRETS = {"auth.publishers": ".key", "hooks.endpoints": ".secret"}  # tables of such tables, and their secret

T = TypeVar("T")


def load(
    path: Path | None = None,
    overrides: Iterable[str] = (),
    environment: Mapping[str, str] = os.environ,
) -> Settings:
    """Load and check the settings of a file, the environment and `name=value` overrides.

    Raises `ConfigError`, which says what is wrong, where, and what to write instead.
    """
    tree = read_toml(path) if path else {}
    for variable, name, value in settings_in(environment):
        _put(tree, name, value, f"environment variable {variable}")
    for override in overrides:
        name, equals, value = override.partition("=")
        if not equals:
            raise ConfigError(
                f"--set {override}", "write it as section.name=value, history.max_age=5m for example"
            )
        _put(tree, name.strip(), value.strip(), f"--set {name}")
    refuse_renamed(tree)
    settings = convert(tree, Settings)
    check(settings)
    return settings


def read_toml(path: Path) -> dict[str, Any]:
    """Return a TOML file as a tree. Raises `ConfigError` when it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # of its form, its encoding, a number of 5,000 digits
        raise ConfigError(str(path), f"is not TOML: {error}") from error


def convert(tree: Any, kind: type[T]) -> T:
    """Convert a tree of plain values to typed settings. Raises `ConfigError` with the setting's name."""
    try:
        return msgspec.convert(tree, kind, dec_hook=quantity)
    except msgspec.ValidationError as error:
        raise ConfigError(*explain(tree, kind, error)) from error


def _put(tree: dict[str, Any], name: str, value: str, where: str) -> None:
    *sections, key = name.split(".")
    example = next((text for start, text in NAMED.items() if name.startswith(start)), "history.max_age=5m")
    if not (key and all(sections) and name.count(".") == example.partition("=")[0].count(".")):
        raise ConfigError(where, f"write it as section.name=value, {example} for example")
    for section in sections:
        tree = tree.setdefault(section, {})
        if not isinstance(tree, dict):
            raise ConfigError(section, "is a section, not a value")
    guess = _guess(value)
    is_typed = isinstance(guess, str) or name in SECRETS or not is_secret(name)
    tree[key] = guess if is_typed else value  # a secret of digits is a text, too


def is_secret(name: str) -> bool:
    """Return whether a setting, by its full name, must not be shown."""
    section, _, key = name.partition(".")
    for table, secret in SECRETS.items():
        if name == table:
            return True
        if name.startswith(f"{table}."):
            return name.endswith(secret) or name.count(".") < 3
    kind = type(getattr(Settings(), section, None))
    return Secret in getattr(get_type_hints(kind).get(key), "__args__", ())


def move_secrets(overrides: Iterable[str]) -> tuple[list[str], dict[str, str]]:
    """Split `name=value` overrides into a command line's, and environment variables for the secret ones.

    Command lines are visible to every user of a machine. Keys, secrets, and URLs with a password are
    secret. A publisher or an endpoint whose name has capitals stays behind: variables' names have no case
    here.
    """
    plain, environment = [], {}
    for override in overrides:
        name, _, value = override.partition("=")
        name = name.strip()
        if name == name.lower() and (is_secret(name) or without_password(value) != value):
            environment[ENVIRONMENT_PREFIX + name.upper().replace(".", "__")] = value.strip()
        else:
            plain.append(override)
    return plain, environment


def _guess(text: str) -> Any:
    """Return a value as TOML would read it; a string if it is not valid TOML."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text
