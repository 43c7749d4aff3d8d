"""A wall clock that a test sets for processes that it starts (libfaketime; Debian: faketime)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

LIBRARIES = ("usr/lib/*/faketime/libfaketime.so.1", "usr/lib/faketime/libfaketime.so.1")


def library() -> Path | None:
    """Where libfaketime is; None where it is not installed."""
    return next((path for pattern in LIBRARIES for path in Path("/").glob(pattern)), None)


class SteppedClock:
    """`file` tells the processes with this `environment` how far their clock is from the real one.

    Monotonic clocks stay as they are. Raises `FileNotFoundError` where libfaketime is missing.
    """

    def __init__(self, file: Path) -> None:
        found = library()
        if found is None:
            raise FileNotFoundError("libfaketime is not installed (Debian: faketime)")
        self._file = file
        self.environment: Mapping[str, str] = {
            "LD_PRELOAD": str(found),
            "FAKETIME_TIMESTAMP_FILE": str(file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        self.set(0)

    def set(self, seconds: int) -> None:
        """Set it so many seconds fast, or slow."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{seconds:+d}")
        beside.rename(self._file)
