"""What happens on the worst day: a real cluster, its processes and links broken on purpose, and a checker.

history.py    what was published, and what each viewer received
checker.py    judges that; no I/O
harness.py    the cluster, with a proxy (bench/proxy.py) in each of its links
viewer_processes.py  viewers and publishers, and what they record
scenarios/    faults that are injected
runner.py     runs one scenario with one seed and returns the verdict
run.py        the command: `python -m tests.chaos.run`
datacenters.py three datacenters, with a judge of its own: `python -m tests.chaos.datacenters`
recordings.py recorders of two datacenters, likewise: `python -m tests.chaos.recordings`
"""
