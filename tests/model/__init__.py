"""Random worlds against a model that remembers everything.

- `history.py`  what was published, by origin: the model
- `story.py`    what one viewer was sent, judged against the model as it comes
- `viewers.py`  clients over all transports, which hop, read slowly and resume
- `world.py`    datacenters, frontends and relays, and all that happens to them
- `run.py`      `make worlds`: thousands of them
"""
