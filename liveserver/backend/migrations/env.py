"""How Alembic runs the versions: on the connection it is given, in that connection's transaction."""

from __future__ import annotations

from alembic import context

from liveserver.backend.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,  # SQLite
)
context.run_migrations()
