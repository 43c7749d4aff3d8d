"""What connects the nodes: one interface, implemented in memory and over Redis.

interface.py  the operations and their guarantees
memory/       the bus of a single process
redis/        the bus over Redis
mailbox.py    a bounded buffer of received batches
leases.py     the wire form of lease requests
canary.py     readiness that proves delivery
"""
