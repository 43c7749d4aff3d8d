"""The public application behind the edge: whatever is not hot."""

from __future__ import annotations

from quart import Blueprint
from quart_trio import QuartTrio

from liveserver.web import problems
from liveserver.web.page import page_blueprint


def public_app(*roles: Blueprint) -> QuartTrio:
    """The page and what the `roles` add; every other path is a 404, as a problem document."""
    app = QuartTrio("liveserver.web")
    problems.install(app)
    app.register_blueprint(page_blueprint())
    for blueprint in roles:
        app.register_blueprint(blueprint)
    return app
