"""The wire forms: events rendered to bytes. No I/O.

form.py       the interface of wire forms; the table of reasons to disconnect
filter.py     which events a viewer is sent
sse.py        Server-Sent Events
ndjson.py     newline-delimited JSON
longpoll.py   long-poll answers
websocket.py  WebSocket messages
compression.py         chunks compressed once for all viewers
permessage_deflate.py  the extension of WebSockets that compresses messages
"""
