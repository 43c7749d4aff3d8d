"""The files of the core, and the tests that guard each of them."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
_FOLDERS = (
    "bus", "bus/memory", "bus/redis", "bus/redis/scripts", "dispatcher", "dispatcher/relay", "frontend",
    "frontend/channels", "frontend/delivery", "frontend/history", "backend", "auth", "transport",
)  # fmt: skip
_ALONE = (
    "cursor.py",
    "event.py",
    "viewer_count.py",
    "oneshot.py",
    "edge/chunked.py",
    "edge/request.py",
    "edge/router.py",
)
_BEYOND = {
    "bus/memory": ("tests/bus",),
    "bus/redis": ("tests/bus",),
    "frontend/history": ("tests/frontend",),
    "frontend/delivery": ("tests/frontend",),
    "frontend/channels": ("tests/frontend",),
    "transport": ("tests/transport", "tests/frontend"),
    "dispatcher/relay": ("tests/dispatcher", "tests/bus/test_contract_relay.py"),
}


def core_files() -> list[Path]:
    """Return the files that are mutated, relative to the root, sorted."""
    package = ROOT / "liveserver"
    found = [package / name for name in _ALONE]
    for folder in _FOLDERS:
        found += [*(package / folder).glob("*.py"), *(package / folder).glob("*.lua")]
    return sorted(path.relative_to(ROOT) for path in found if path.name != "__init__.py")


def guards(file: Path) -> list[list[str]]:
    """Return groups of pytest paths, the nearest first; a mutant that one group kills skips the rest."""
    inner = file.relative_to("liveserver")
    mirrored = Path("tests", inner.parent, f"test_{inner.stem}.py")
    folder = Path("tests", *inner.parts[:-1])
    if file.suffix == ".lua":
        return [["tests/bus"], ["tests/dispatcher"]]
    wider = (
        _BEYOND.get(inner.parent.as_posix(), (folder.as_posix(),))
        if inner.parts[:-1]
        else ("tests/bus", "tests/frontend")
    )
    groups = [[mirrored.as_posix()]] if (ROOT / mirrored).exists() else []
    return [*groups, [each for each in wider if (ROOT / each).exists()]]
