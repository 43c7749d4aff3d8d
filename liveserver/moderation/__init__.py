"""Moderation: a video's rules, folded from its keyed events, and the acts that change them.

rules.py      a video's settings, bans, cleared users, pin and waiting comments; no I/O
acts.py       moderators' acts, as events
personal.py   a user's personal data in events, and its removal; no I/O
arguments.py  query parameters of the ordinary web, none of which is ignored
publisher.py  publishes acts, and returns when they are in the feed
log_moderator.py  moderation without a database, from the log
routes.py     settings, bans, pins: ordinary web, at likes backends and dispatchers
"""
