"""One process: opens what its roles need, runs it in one nursery, and closes it in order.

preflight.py  opens once, before a start, everything that it needs
process.py    one process from its start to its last viewer
assembly.py   bus, roles and routes, put together
site.py       follows the log of the whole site, and publishes to it
pages.py      documents that the edge answers from memory
listening.py  the public port and the ops port
logs.py       the form of the log
lean.py       imports structlog without what it does not need
preload.py    imports modules early, before workers are forked
reload.py     other settings for a node that runs
tuning.py     descriptors, garbage collection, thread switching
allocator.py  memory that is no longer used goes back to the system

bus ─ dispatcher ─ backend ─ frontend ─ edge (public port), and beside them the ops port
"""

import liveserver.node.lean  # noqa: F401  # first
from liveserver.node.process import ListenAddresses as ListenAddresses
from liveserver.node.process import Running as Running
from liveserver.node.process import run as run
from liveserver.node.process import serve as serve
