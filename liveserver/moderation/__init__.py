"""Moderation: a video's rules, folded from its keyed events, and the acts that change them.

rules.py      what holds for a video: settings, bans, cleared users, the pin, comments that wait; no I/O
acts.py       what moderators do, as events
personal.py   what events say about a user, and events without it; no I/O
publisher.py  publishes acts, and returns when they are in the feed
log_moderator.py  moderation without a database: by what the log says
routes.py     settings, bans, pins: ordinary web, at likes backends and dispatchers
"""
