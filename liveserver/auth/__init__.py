"""Authentication, authorization and rate limits.

credentials.py       what a request presents: header, cookie, query
client_addresses.py  the address of a request, behind proxies too
keys.py              secrets and public keys, read from settings and files
jwks.py              a key set that is fetched again when it changes
tokens.py            JWTs: made and parsed
viewers.py           a viewer's token becomes a grant, once
publishers.py        a publisher's key becomes a grant
nodes.py             signed requests between nodes
operators.py         access to the ops pages
grant.py             what is allowed, with which videos, until when
rate_limits.py       rates, and numbers at once
authorizer.py        all of it, for one node
"""
