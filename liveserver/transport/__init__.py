"""One event, rendered per wire form: pure bytes, no I/O.

form.py       what a wire form has; the table of reasons to disconnect
sse.py        Server-Sent Events
ndjson.py     newline-delimited JSON
longpoll.py   long-poll answers
websocket.py  WebSocket messages
"""
