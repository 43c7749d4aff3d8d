"""Many processes on this machine, from config/cluster.toml: Redis, dispatchers, frontends.

layout.py      the file, read and checked: which nodes there are, and the command that starts each
supervisor.py  starts everything, tells when it is ready, ends everything
child.py       one node's process: passed through, begun again, ended
lifeline.py    how nothing outlives a supervisor that was killed
ports.py       whether somebody already listens
"""
