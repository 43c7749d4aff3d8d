"""Authentication, authorization and rate limits.

credentials.py       the credentials of a request: header, cookie, query
client_addresses.py  the client's address, also behind proxies
keys.py              secrets and public keys, read from settings and files
jwks.py              a JSON Web Key Set, refreshed regularly
tokens.py            JSON Web Tokens: signs and verifies them
viewers.py           viewers' tokens → grants, cached
publishers.py        publishers' keys → grants
nodes.py             signed requests between nodes
operators.py         access to the ops pages
revocations.py       revoked tokens
grant.py             permitted scopes and videos, with an expiry
rate_limits.py       rate limits and concurrency limits
authorizer.py        assembles all of these for one node
"""
