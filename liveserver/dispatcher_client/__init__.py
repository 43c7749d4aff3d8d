"""HTTP clients of the dispatchers, for frontends and likes backends.

connections.py  few connections per server, kept alive
leases.py       leases, at the next dispatcher when one fails
publish.py      publishing, likewise
refusals.py     what a refusal says
"""
