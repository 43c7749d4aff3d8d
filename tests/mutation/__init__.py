"""Mutation testing of the core: small changes to the code that some test has to notice.

operators.py  the mutations of one Python source, or of one Lua script
core.py       the files of the core, and which tests guard each
run.py        `make mutants`: a seeded sample, each against its tests; the score and the survivors
"""
