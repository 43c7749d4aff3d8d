"""Relays events that originate in other datacenters: appends them to our logs.

relay.py          one relay per peer
peer.py           a peer's feed: receives and appends its batches
buffer.py         a bounded buffer of batches to append
membership.py     the group of dispatchers that relay from a peer
rendezvous.py     which of them relays a video
sweeper.py        finds videos that are behind
backfill.py       missing events, read from the peer's log
viewer_counts.py  a peer's viewer counts
"""
