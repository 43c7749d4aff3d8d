"""One process: opens what its roles need, runs it in one nursery, and lets it go in order.

bus ─ dispatcher ─ backend ─ frontend ─ edge (public port), and beside them the ops port
"""

from liveserver.node.process import ListenAddresses as ListenAddresses
from liveserver.node.process import Running as Running
from liveserver.node.process import run as run
from liveserver.node.process import serve as serve
