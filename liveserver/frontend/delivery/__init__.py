"""Delivery from a channel's log to its viewers' sockets.

audience.py       the viewers of a channel
scheduler.py      the fan-out, as audiences use it
viewer_totals.py  how many viewers there are, and with which filters
count_frames.py   viewer counts as frames
lagging.py        the viewers that lag
delayed.py        those behind live
segment.py        a few hundred viewers at one position
viewer.py         one viewer on its connection
multiplexed.py    one connection with viewers of several videos
long_poll.py      a waiting long-poll
poll_pages.py     the answers to long-polls
compressed_answers.py  the same, compressed
fanout.py         the loop that writes to all
load.py           the share of time spent in flushes
catchup.py        viewers whose socket is full
expiry.py         viewers by the expiry of their tokens
flush_history.py  records of flushes, for metrics and traces
statistics.py     counts
"""
