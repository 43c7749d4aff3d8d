"""Several processes on this machine: a cluster from config/cluster.toml, or a node's workers.

topology.py      reads and checks the file: the nodes, and the command of each
ports.py         checks whether ports are free
pidfile.py       finds the process that runs a file's cluster
redis_server.py  runs a Redis server
supervisor.py    starts all processes, reports when they are ready, ends them
workers.py       runs one node as several processes that share its port
fork_server.py   starts the workers by fork, with all imports done
child.py         one process: passes its output on, restarts and ends it
probe.py         asks whether a node is ready
rolling.py       restarts the nodes in turn
printer.py       prints the output of all processes as one log
parent_watch.py  ends processes whose supervisor was killed
"""
