"""Videos on this node: subscriptions, the inbox, channels.

subscriptions.py  which videos are watched here, and their leases
receiver.py       batches from the inbox; missing ranges from the log
channel.py        one video: its log and its audience
hold_back.py      back-pressure: publishers wait for viewers that keep reading
viewer_count.py   viewer counts, to dispatchers and viewers
audience_report.py  who has watched, to the bus
"""
