"""The wheel: installed by itself, with everything that `liveserver` reads from its own package."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILD = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
FIND = """
import sys; sys.path.insert(0, sys.argv[1])
import liveserver; assert liveserver.__file__.startswith(sys.argv[1]), liveserver.__file__
from liveserver.cluster import topology
print(len(topology.load(topology.find(topology.DEFAULT)).nodes))
"""


def call(*arguments: str, cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-I", *arguments], cwd=cwd, capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.process
def test_the_wheel_holds_all_files_and_starts_a_cluster_anywhere(tmp_path: Path) -> None:
    source, installed, elsewhere = (tmp_path / name for name in ("source", "installed", "elsewhere"))
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(ROOT / "liveserver", source / "liveserver", ignore=ignored)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source / name)
    call("-c", BUILD, str(tmp_path), cwd=source)
    [wheel] = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if name.startswith("liveserver/")}
        archive.extractall(installed)
    ours = {str(path.relative_to(source)) for path in (source / "liveserver").rglob("*") if path.is_file()}
    assert {name for name in ours - held if "/pictures/" not in name and "/deploy/" not in name} == set()
    elsewhere.mkdir()
    assert int(call("-c", FIND, str(installed), cwd=elsewhere)) == 10
