"""Many processes on this machine: a cluster from config/cluster.toml, or a node's workers.

layout.py      the file, read and checked: which nodes there are, and the command that starts each
supervisor.py  starts everything, tells when it is ready, ends everything
rolling.py     restarts every node in turn
workers.py     one node as several processes that share its port
child.py       one node's process: passed through, begun again, ended
probe.py       whether a node can deliver
lifeline.py    how nothing outlives a supervisor that was killed
lock.py        which process runs a file's cluster
ports.py       whether somebody already listens
voice.py       everybody's lines in one log
"""
