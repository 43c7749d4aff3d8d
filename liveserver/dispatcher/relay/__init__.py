"""From the other datacenters into ours: what originates there is heard, and appended here.

peer's feed ─▶ peer.py ─▶ waiting.py ─▶ Bus.relay          heard, and carried in groups
peer's log  ─▶ mending.py ────────────▶ Bus.relay          what was not heard
sharing.py                                                 who of our dispatchers does it
"""
