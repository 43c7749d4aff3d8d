"""Settings as a TOML file: those that are in force, or all, with their meaning."""

from __future__ import annotations

import inspect
import textwrap
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from liveserver.config.comments import comments
from liveserver.config.explain import expected
from liveserver.config.sections import Settings
from liveserver.config.writing import toml
from liveserver.units import Secret

WIDTH = 100


def render(settings: Settings) -> str:
    """Return the settings as TOML that `run` reads back; what differs from the defaults is marked."""
    lines: list[str] = []
    defaults = Settings()
    for section in settings.__struct_fields__:
        lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
        values, standard = getattr(settings, section), getattr(defaults, section)
        if isinstance(values, dict):  # a table whose names are the operator's
            lines += [f"{name} = {toml(value)}" for name, value in values.items()]
            continue
        for name in values.__struct_fields__:
            value, default = getattr(values, name), getattr(standard, name)
            if value is None:
                lines.append(f"# {name} {'is made up at the start' if name == 'name' else 'is not set'}")
                continue
            text = f"{name} = {toml(value)}"
            if isinstance(value, Secret):
                lines.append(f"# {name} is set, and not shown")
            elif value == default:
                lines.append(text)
            else:
                was = "none" if default is None else toml(default)
                lines.append(f"{text:40}  # default: {was}")
    return "\n".join(lines)


def render_full(settings: Settings) -> str:
    """Return every setting with its default and meaning; those at their default are commented out."""
    lines: list[str] = []
    defaults = Settings()
    hints = get_type_hints(Settings, include_extras=True)
    for name in settings.__struct_fields__:
        values = getattr(settings, name)
        hint = hints[name]
        lines += [""] if lines else []
        if get_origin(hint) is dict:
            section = get_args(hint)[1]
            lines += [*_about(section), f"# [{name}.NAME]"]
            lines += _entries(section, None, None)
            for each, inner in values.items():
                lines += ["", f"[{name}.{each}]", *_entries(section, inner, None)]
        else:
            lines += [*_about(type(values)), f"[{name}]"]
            lines += _entries(type(values), values, getattr(defaults, name))
            for table, inner_hint in get_type_hints(type(values), include_extras=True).items():
                if get_origin(inner_hint) is dict:
                    section = get_args(inner_hint)[1]
                    lines += [
                        "",
                        *_about(section),
                        f"# [{name}.{table}.NAME]",
                        *_entries(section, None, None),
                    ]
    return "\n".join(lines)


def _about(section: type[msgspec.Struct]) -> list[str]:
    return [f"# {line}".rstrip() for line in (inspect.getdoc(section) or "").splitlines()]


def _entries(section: type[msgspec.Struct], values: Any, defaults: Any) -> list[str]:
    """Return the settings of one section; without `values`, all of them commented out."""
    lines: list[str] = []
    meanings = comments(section)
    hints = get_type_hints(section, include_extras=True)
    for field in msgspec.structs.fields(section):
        name = field.name
        default = getattr(defaults, name) if defaults is not None else _default(field)
        value = getattr(values, name) if values is not None else default
        meaning = meanings[name].replace("`", "")
        lines += textwrap.wrap(meaning, WIDTH, initial_indent="# ", subsequent_indent="# ")
        if isinstance(value, Secret):
            lines.append(f"# {name} is set, and not shown")
        elif value is None or value is msgspec.NODEFAULT:
            lines.append(f"# {name} = …  # {expected(hints[name])}; not set")
        elif value == default:
            lines.append(f"# {name} = {toml(value)}")
        else:
            was = "" if default in (None, msgspec.NODEFAULT) else f"  # default: {toml(default)}"
            lines.append(f"{name} = {toml(value)}{was}")
    return lines


def _default(field: Any) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return field.default_factory() if field.default_factory is not msgspec.NODEFAULT else msgspec.NODEFAULT
