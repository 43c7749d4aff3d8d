"""The likes backend: likes and comments are stored first, and then published.

likes.py        hot routes: likes and comments
routes.py       the other routes
commands.py     commands and their results
writer.py       group commit: one transaction for all commands that arrived during the last one
store.py        the database: many commands in one transaction
transaction.py  one transaction: decides its commands, then writes table by table
schema.py       the tables
migrations/     versions of the tables, and their upgrade
statements.py   frequent statements, built once
engine.py       connections to the database, and which of its errors are transient
opening.py      waits for the database at the start
enforcement.py  what users may do just now: bans, closed comments, slow mode
review.py       asks a site's own service to decide on comments
waiting_comments.py  comments that wait for a decision
restoring.py    publishes settings and bans again that a state has lost
rates.py        a video's likes per second
sums.py         publishes a video's totals when they have changed
received.py     comments, other stores' totals, rules and acts, extracted from a video's log
view.py         a followed video, in memory
follow.py       reads the logs of the videos that are served here
privacy.py      a user's likes and comments, exported and erased
outbox.py       sends stored events to a dispatcher
backend.py      assembles all of these
role.py         the role, with its routes
"""
