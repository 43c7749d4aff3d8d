"""One module for each version of the schema, oldest first.

v0001_baseline.py  the first version, also for databases from before there were versions
v0002_roles.py     the role of a comment's user
"""
