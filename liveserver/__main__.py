"""`python -m liveserver`: the same as the `liveserver` command."""

from liveserver.cli import main

main()
