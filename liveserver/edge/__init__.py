"""The edge: an HTTP/1.1 server for the hot routes, on Trio sockets and httptools.

listener.py          the listening sockets
server.py            accepts and limits connections, sweeps their deadlines
server_interface.py  the interfaces between server and connections
access_log.py        a line for each request, if wanted
statistics.py        what the server has counted
connection_limit.py  connections per address
hosts.py             the host names that the server accepts
tls.py               handshakes, certificates, and a TLS socket for the fan-out
connection.py        one connection: requests and responses, until it is a stream or is handed over
client_socket.py     the socket of a connection: bytes in and out, in time
request.py           one request, parsed strictly
query.py             its parameters
known_heads.py       requests whose heads were parsed before
body_reader.py       reads the part of a body that did not arrive with the head
chunked.py           parser of chunked bodies
bodies.py            limits the memory of bodies being received
accept.py            content negotiation
router.py            the hot routes
pages.py             documents that are answered from memory
cors.py              cross-origin requests
answer.py            the interfaces of handlers
response.py          rendered responses
upgrade.py           the opening handshake of WebSockets
deferred_handoff.py  opens the handoff when a request first needs it
handoff.py           hands all other requests over to Quart-Trio on Hypercorn
http2.py             HTTP/2, by Hypercorn
asgi.py              its requests, as the edge reads them
exchange.py          an HTTP/2 request and its response, for hot handlers
"""
