"""The bus over Redis.

deployment.py   one server, Sentinel or Cluster, from a URL
server.py       one server, and what every deployment does
redis_cluster.py  which server of a Cluster has what
connection.py   connections, threads, time limits, errors
commands.py     scripts and commands with their arguments
replies.py      names of keys, and scripts' replies
bus.py          the operations: one pipeline per call
coordination.py  those that need no log: groups, holds, answers, counts
hook_queue.py   the queues of hooks: their scripts and operations
subscription.py  a pub/sub connection and its thread
sharded.py      sharded pub/sub: which servers publish to whom, and listening to each
listener.py     listens to an inbox or the feed, and fills a mailbox
known_heads.py  the head of each log that this process knows
membership.py   this process as a member: one of those that may know heads
reporting.py    reports known heads to a Redis that was restarted
"""
