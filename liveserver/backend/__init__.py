"""The likes backend: what viewers do is stored first, and then published.

likes.py        hot routes: likes and comments
routes.py       the other routes
commands.py     what viewers ask, and the results
writer.py       group commit: one transaction for what arrives meanwhile
store.py        many commands in one transaction
transaction.py  the commands of a transaction decided, then written table by table
schema.py       the tables
statements.py   frequent statements, built once
engine.py       connections to the database, and which of its errors are transient
rates.py        how many likes a second a video has
sums.py         a video's totals, published when they changed
heard.py        what a video's log says of comments and of other stores' totals
follow.py       the videos that are served, followed through their logs
outbox.py       stored events on to a dispatcher
backend.py      all of it, put together
"""
