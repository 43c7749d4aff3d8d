"""The role of a comment's user: host or moderator. Comments from before have none."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, String

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Add the column, in constant time: no row is rewritten."""
    op.add_column("comments", Column("role", String(16)))
