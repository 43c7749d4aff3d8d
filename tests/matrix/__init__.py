"""Every transport against every promise, on a running server.

transports.py   how each transport is spoken; one more is one more entry in `TRANSPORTS`
server.py       a server in this process, on real sockets
test_matrix.py  the promises
"""
