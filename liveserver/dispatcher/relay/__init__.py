"""From the other datacenters into ours: what originates there is appended here.

relay.py          one relay per peer
peer.py           a peer's feed, received and relayed; sweeps
rendezvous.py     which dispatcher relays a video
buffer.py         received and not yet relayed, bounded
backfill.py       missing events, read from the peer's log
viewer_counts.py  a peer's viewer counts
"""
