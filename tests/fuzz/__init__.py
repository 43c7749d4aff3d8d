"""`make fuzz`: untrusted input, in forms that are not expected.

- `targets.py`: what is fed, by name. `checks.py`: what must hold whatever it is; an exception is a find.
- `desk.py`: the parts of the targets that need a node around them: a connection, an inbox.
- `mutation.py`: bytes from other bytes, for where there is no coverage to be guided by.
- `one.py`: one target in a process of its own. `run.py`: all of them, one after the other.
- `corpus/TARGET/`: inputs to begin with; what was found is added there, and `test_corpus.py` keeps it found.
"""
