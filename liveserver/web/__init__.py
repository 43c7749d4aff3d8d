"""The ordinary web: Quart-Trio applications behind the edge.

app.py           the public application
auth_headers.py  a request's credentials, in the edge's form
origins.py       pages of other origins
identity.py      who a viewer is to this node
problems.py      errors as problem+json
page.py          the page and the browser client
files.py         static files
openapi/         the interface as a document
"""
