"""Quart-Trio applications behind the edge, for requests outside the hot path.

app.py           the public application
auth_headers.py  a request's credentials, as the edge's headers
origins.py       pages of other origins
identity.py      a viewer's user and permissions
problems.py      errors as problem+json
paths.py         names of any kind in paths
page.py          the page and the browser client
files.py         static files
openapi/         the interface as a document
"""
