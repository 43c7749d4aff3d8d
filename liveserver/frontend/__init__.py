"""The frontend: delivers events from the inbox to the viewers' connections.

channels/     subscriptions, and batches from the inbox to channels
history/      the recent log of a channel
delivery/     writes from the log to the sockets
routes.py     streams, long-polls, counts
summary.py    totals and newest comments
websocket.py  many videos on one connection
admission.py  who may watch what, until when
parameters.py  what a request to watch asks for
subscription.py  what all transports set up before a viewer joins
forms.py      the wire form that a client accepts
resume.py     where in the log a viewer begins
frontend.py   the role, put together
role.py       the role, with its routes
drain.py      viewers disconnected evenly
users.py      the users who watch a video, on request
endings.py    ends the streams of revoked tokens and banned users
status.py     statistics, and the most watched videos
trace.py      the delivery of one event
tracing.py    the same as a span of OpenTelemetry
"""
