"""Who may: viewers by token, publishers by key, nodes by signature; and how often.

grant.py        what somebody may, once it is known who that is
credentials.py  what a request shows: header, cookie, query
keys.py         secrets and public keys, read from settings and files
jwks.py         keys that somebody else changes: fetched, and fetched again
tokens.py       JWTs: made, and taken apart
viewers.py      a viewer's token becomes a grant, once
publishers.py   a publisher's key becomes a grant
operators.py    who sees the ops pages
nodes.py        what one node asks of another, signed
rates.py        how often, and how many at once
addresses.py    whose request it is, behind proxies too
gate.py         all of it, for one node
"""
