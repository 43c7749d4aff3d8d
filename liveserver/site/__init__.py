"""What holds for all videos of a site, in all datacenters: in the log of a video of its own, `SITE`.

feed.py       reads that log at every node: revocations, disconnections
desk.py       publishes there, and keeps what it has said: repeats what a log has lost, clears what is over
presence.py   who is watching a video, asked of the frontends
routes.py     the interface for a site's own servers: ordinary web, at dispatchers and likes backends
"""
