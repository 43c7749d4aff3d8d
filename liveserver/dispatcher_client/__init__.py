"""HTTP clients of the dispatchers, for frontends and likes backends.

addresses.py    the dispatchers' addresses, given or found by DNS
connections.py  a connection pool that is cheap per request
leases.py       leases, with fail-over to the next dispatcher
publish.py      publishing, likewise
refusals.py     error messages from a dispatcher's answer
"""
