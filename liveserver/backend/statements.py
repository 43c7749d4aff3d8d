"""What the likes backend often says to its database, made once: making it costs more than saying it."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, insert, select, tuple_
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import Insert

from liveserver.backend.schema import answers, comments, likes, outbox, totals

NEW_LIKES = insert(likes)
NEW_COMMENTS = insert(comments)
NEW_ANSWERS = insert(answers)
NEW_ROWS = insert(outbox)

TOTALS = select(totals).where(totals.c.video.in_(bindparam("videos", expanding=True)))

ANSWERS = select(answers).where(
    tuple_(answers.c.video, answers.c.route, answers.c.key).in_(bindparam("keys", expanding=True)),
    answers.c.expires > bindparam("now"),
)
EXPIRED = delete(answers).where(answers.c.expires <= bindparam("now"))

ACCEPTED = delete(outbox).where(
    outbox.c.sender == bindparam("its_sender"), outbox.c.number == bindparam("its_number")
)


def _adding(dialect: type[postgresql.Insert] | type[sqlite.Insert]) -> Insert:
    upsert = dialect(totals)
    return upsert.on_conflict_do_update(
        index_elements=[totals.c.video, totals.c.reaction],
        set_={"total": totals.c.total + upsert.excluded.total},
    )


MORE = {"postgresql": _adding(postgresql.Insert), "sqlite": _adding(sqlite.Insert)}  # by dialect
