"""The public application behind the edge: whatever is not hot."""

from __future__ import annotations

from quart_trio import QuartTrio

from liveserver.web import problems


def public_app() -> QuartTrio:
    """So far: every other path is a 404, as a problem document."""
    app = QuartTrio("liveserver.web")
    problems.install(app)
    return app
