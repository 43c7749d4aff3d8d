"""The recent log of a video on this node.

log.py            appends, prepends and trims events
items.py          the events held, and the positions of cursors
retention.py      how long and how many of each kind are held
rendered.py       the events as frames of each form; rendered again after a redaction
origin_index.py   positions by an origin's own numbers
state_history.py  the state at each position
redaction.py      retracted events
frames.py         frames in one wire form, rendered once
sampling.py       the ranks of comments within their seconds
times.py          the times in events
delayed.py        the log as it was some time ago
"""
