"""What happens on the worst day: a real cluster, its processes and links broken on purpose, and a checker.

history.py    what was published, and what each viewer received
checker.py    judges that; no I/O
stage.py      the cluster, with a proxy (bench/proxy.py) in each of its links
crowd.py      those who publish and those who watch, and the notes they take
scenarios/    what is done to the cluster
play.py       one scenario with one seed, and the verdict
run.py        the command: `python -m tests.chaos.run`
datacenters.py three datacenters, with a judge of its own: `python -m tests.chaos.datacenters`
recordings.py recorders of two datacenters, likewise: `python -m tests.chaos.recordings`
"""
