"""liveserver: one like, on every viewer's screen, within a blink."""

__version__ = "0.1.0"
