"""The wire forms: events rendered to bytes. No I/O.

form.py       the interface of wire forms; the table of reasons to disconnect
filter.py     what a viewer has asked to be sent
sse.py        Server-Sent Events
ndjson.py     newline-delimited JSON
longpoll.py   long-poll answers
websocket.py  WebSocket messages
compression.py         chunks compressed once for all viewers
permessage_deflate.py  the extension of WebSockets that compresses messages
"""
