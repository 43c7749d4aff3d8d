"""What connects the nodes: one interface, implemented in memory and over Redis.

interface.py   the operations and their guarantees
records.py     what they take and return
memory/        the bus of a single process
redis/         the bus over Redis
mailbox.py     a bounded buffer of received batches
following.py   which videos moved, and which events of a log were not seen before
hook_queue.py  the operations of the queues of hooks
leases.py      the wire form of lease requests
canary.py      readiness that proves delivery
"""
