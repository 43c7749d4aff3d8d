"""Other servers for comparison, each set up as its manual recommends, for `python -m bench.peers`."""
