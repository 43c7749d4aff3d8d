"""Many processes on this machine: a cluster from config/cluster.toml, or a node's workers.

topology.py      the file, read and checked: the nodes, and the command that starts each
ports.py         whether the ports are free
pidfile.py       which process runs a file's cluster
redis_server.py  a Redis server of our own
supervisor.py    starts everything, reports when it is ready, ends everything
workers.py       one node as several processes that share its port
child.py         one process: output passed through, restarted, ended
probe.py         whether a node can deliver
rolling.py       every node restarted in turn
printer.py       the output of all processes in one log
parent_watch.py  processes end with a supervisor that was killed
"""
