"""State of a whole site, in all datacenters: revocations, disconnections, bans, in the log `SITE`.

feed.py       reads the site's log at every node
desk.py       publishes to it, repeats events that it has lost, clears expired ones
presence.py   lists the users watching a video, by querying the frontends
routes.py     routes for a site's servers, at dispatchers and likes backends
"""
