"""What connects the nodes: one interface, in memory and over Redis.

interface.py  the verbs, and what holds for them
memory/       the bus of a single process
redis/        the bus over Redis
mailbox.py    received batches until they are taken, bounded
leases.py     the wire form of requests for leases
canary.py     readiness that proves delivery
"""
