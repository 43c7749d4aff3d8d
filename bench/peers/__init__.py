"""Others that do the same work, each set up as well as its own manual says, for `python -m bench.peers`."""
