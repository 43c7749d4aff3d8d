"""The interface as an OpenAPI 3.1 document: this node's operations, with its configured limits.

route.py       `GET /openapi.json`
document.py    the document of a node, by its roles
downgrade.py   the same in OpenAPI 3.0.3
watching.py    frontends
publishing.py  dispatchers
site.py        users and tokens in all videos
liking.py      likes backends
moderating.py  moderation, at likes backends
recording.py   recorders
pages.py       the page and the ops port
components.py  shared parts

Written by hand, one module per role; `tests/web/openapi/` checks it against the router and running servers.
"""

from liveserver.web.openapi.document import ops_document as ops_document
from liveserver.web.openapi.document import public_document as public_document
