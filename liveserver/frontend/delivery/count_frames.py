"""The viewer counts that viewers are sent, as frames: rendered once for each form and position."""

from __future__ import annotations

from liveserver.frontend.history.delayed import AudienceLog
from liveserver.transport.form import Form

VIEWERS = b"viewers"


class CountFrames:
    """The newest counts of a channel, as frames at positions of its log; empty ones before they are known."""

    __slots__ = ("_frames", "_log", "_viewers")

    def __init__(self, log: AudienceLog) -> None:
        self._log = log
        self._viewers = b""
        self._frames: dict[tuple[Form, int], bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._viewers)

    def set(self, viewers: bytes) -> None:
        """Set the counts, as JSON."""
        self._viewers = viewers
        self._frames.clear()

    def clear(self) -> None:
        """Release the frames."""
        self._frames.clear()

    def at(self, form: Form, position: int, cursor: bytes = b"") -> bytes:
        """Return the frame at a position or cursor; empty before the counts are known."""
        if not self._viewers:
            return b""
        if cursor:
            return form.control(cursor, VIEWERS, self._viewers)
        frame = self._frames.get((form, position))
        if frame is None:
            cursor = self._log.cursor_at(position) if position >= self._log.base else b""
            frame = self._frames[form, position] = form.control(cursor, VIEWERS, self._viewers)
        return frame
