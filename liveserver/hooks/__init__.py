"""Hooks: videos' events, delivered to other services, at least once and in order per video.

hooks.py        one node leads: it collects and delivers
collector.py    reads the logs of all videos into the queues
occupancy.py    which videos have viewers, by the subscription table
messages.py     the messages made from a log, and their form
deliverer.py    delivers one endpoint's queue, with retries
sink.py         the interface of a receiver of messages
webhook.py      a sink: signed HTTP requests
redis_stream.py  a sink: a Redis stream
nats_stream.py  a sink: NATS JetStream
sinks.py        opens the sink of an endpoint
role.py         the role, put together

Rules:

1. What a log says is queued, and the position in the log moved, in one step (`bus/hook_queue.py`); a message
   leaves its queue after its endpoint has accepted it. So whichever process is killed, at any moment, nothing
   is lost, and only messages that were being delivered are repeated, with the same id.
2. One node leads, for a lease. When that ends, another one takes over from the queue.
3. A video's messages for an endpoint are delivered one after the other; the next one waits until the one
   before is accepted, or given up. Endpoints do not wait for each other, and neither do videos.
4. A message that is given up (too old, or no room) is logged, counted, and replaced by `video.gap`.
"""
