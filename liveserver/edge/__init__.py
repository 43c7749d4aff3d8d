"""The hot HTTP/1.1 server: Trio sockets and httptools.

server.py            accepts, limits, sweeps deadlines
server_interface.py  what server and connections are to each other
connection_limit.py  connections per address
hosts.py             the names that this server answers for
tls.py               handshake, certificate, and a socket like a plain one
connection.py        requests in, answers out, until a stream or a handoff
request.py           one request, parsed strictly
chunked.py           a chunked body, parsed
bodies.py            how much memory bodies take while they are received
accept.py            which of the offered media types a client prefers
router.py            hot routes
cors.py              pages of other origins
answer.py            what a handler gets and returns
response.py          responses as bytes
upgrade.py           the opening handshake of a WebSocket
handoff.py           everything else, to Quart-Trio on Hypercorn
http2.py             HTTP/2 by Hypercorn
exchange.py          an HTTP/2 request, to a hot handler
"""
