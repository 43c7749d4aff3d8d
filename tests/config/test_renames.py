"""A setting's former name is refused, and the error gives the present one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from liveserver.cluster import topology
from liveserver.config import Settings, load
from liveserver.config.renames import RENAMED
from liveserver.errors import ConfigError

EVERY = pytest.mark.parametrize(("old", "new"), RENAMED.items())


@EVERY
def test_the_present_name_exists_and_the_former_does_not(old: str, new: str) -> None:
    section, _, name = new.partition(".")
    assert name in getattr(Settings(), section).__struct_fields__
    section, _, name = old.partition(".")
    assert name not in getattr(getattr(Settings(), section, None), "__struct_fields__", ())


@EVERY
def test_a_former_name_in_a_file_is_refused_with_the_present_one(old: str, new: str, tmp_path: Path) -> None:
    section, _, name = old.partition(".")
    path = tmp_path / "settings.toml"
    path.write_text(f"[{section}]\n{name} = 1\n")
    with pytest.raises(ConfigError, match=f"^{re.escape(old)}: is now called {re.escape(new)}; rename it$"):
        load(path, (), {})


@EVERY
def test_a_former_name_among_overrides_is_refused(old: str, new: str) -> None:
    with pytest.raises(ConfigError, match=f"^{re.escape(old)}: is now called {re.escape(new)}; rename it$"):
        load(None, [f"{old}=1"], {})


@EVERY
def test_a_former_name_in_the_environment_is_refused(old: str, new: str) -> None:
    variable = "LIVESERVER_" + old.replace(".", "__").upper()
    with pytest.raises(ConfigError, match=f"^{re.escape(old)}: is now called {re.escape(new)}; rename it$"):
        load(None, (), {variable: "1"})


@EVERY
def test_a_former_name_in_a_cluster_file_is_refused(old: str, new: str, tmp_path: Path) -> None:
    section, _, name = old.partition(".")
    path = tmp_path / "cluster.toml"
    nodes = '[{ name = "d1", role = "dispatcher", public = 8111, ops = 9111 }]'
    path.write_text(
        f'[settings.{section}]\n{name} = 1\n[[datacenters]]\nname = "dc1"\nredis = 6401\nnodes = {nodes}\n'
    )
    with pytest.raises(ConfigError, match=re.escape(f"{old}: is now called {new}; rename it")):
        topology.load(path)


def test_an_empty_section_under_its_former_name_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "settings.toml"
    path.write_text("[log]\n")
    with pytest.raises(ConfigError, match=r"^log: is now called history; rename it$"):
        load(path, (), {})
