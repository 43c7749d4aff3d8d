"""The hot routes, matched by two dictionary look-ups."""

from __future__ import annotations

from liveserver.edge.answer import Answer, Handler, Peer
from liveserver.edge.cors import preflight
from liveserver.edge.request import Request
from liveserver.edge.response import head
from liveserver.errors import MethodNotAllowed

_VIDEOS = "/v1/videos/"
_VIDEO = _VIDEOS + "{video}/"


class Router:
    """Hot routes by path and method.

    A path is either literal (`/v1/events`) or `/v1/videos/{video}/…`, whose `{video}` is stored unchecked in
    `request.video`; the handler checks it.
    """

    def __init__(self) -> None:
        self._literal: dict[str, dict[str, Handler]] = {}
        self._of_video: dict[str, dict[str, Handler]] = {}
        self._pages: set[str] = set()
        self._elsewhere: set[tuple[str, str]] = set()  # methods and paths, as they are added
        self.is_complete = True  # false until `pass_on` has named the paths of the ordinary web

    def add(self, method: str, path: str, handler: Handler) -> None:
        """Register a handler. GET and POST of one path may belong to different roles."""
        literal, brace, rest = path.partition("{video}/")
        if brace:
            assert literal == _VIDEOS
            methods = self._of_video.setdefault(rest, {})
        else:
            methods = self._literal.setdefault(path, {})
        assert method not in methods, f"{method} {path} has a handler"
        methods[method] = handler

    def pass_on(self, method: str, path: str) -> None:
        """Pass requests of this method on to the ordinary web, although other methods of the path are hot."""
        rest = path.partition(_VIDEO)[2]
        if (rest in self._of_video) if rest else (path in self._literal):
            self._elsewhere.add((method, path))

    def add_page(self, path: str, handler: Handler) -> None:
        """Add the handler of a page that Quart serves, too."""
        self.add("GET", path, handler)
        self._pages.add(path)

    def routes(self) -> set[tuple[str, str]]:
        """Return the methods and paths of all routes, as they were added, without the pages."""
        literal = [(path, methods) for path, methods in self._literal.items() if path not in self._pages]
        return {(method, path) for path, methods in literal for method in methods} | {
            (method, _VIDEO + rest) for rest, methods in self._of_video.items() for method in methods
        }

    def match(self, request: Request) -> Handler | None:
        """Return the handler, or None if the route is not hot. Raises `MethodNotAllowed`.

        While the router is not complete, None also stands for what it may learn.
        """
        path = request.path
        if path.startswith(_VIDEOS):
            request.video, _, rest = path[len(_VIDEOS) :].partition("/")
            methods, path = self._of_video.get(rest), _VIDEO + rest
        else:
            methods = self._literal.get(path)
        if methods is None:
            return _describe_server if path == "*" else None
        handler = methods.get(request.method)
        if handler is not None:
            return handler
        if request.method == "OPTIONS" and b"access-control-request-method" in request.headers:
            return preflight
        if request.method == "HEAD":  # answered as GET is, without the body
            handler = methods.get("GET")
        if handler is None:
            if (request.method, path) in self._elsewhere or not self.is_complete:
                return None
            allowed = {*methods, *(method for method, at in self._elsewhere if at == path)}
            if "GET" in allowed:
                allowed.add("HEAD")
            raise MethodNotAllowed(request.method, ", ".join(sorted(allowed)))
        return handler


async def _describe_server(request: Request, peer: Peer) -> Answer:
    """Answer `OPTIONS *`, the only method with this target (RFC 9110 §9.3.7)."""
    return head(204, b"allow: DELETE, GET, HEAD, OPTIONS, POST, PUT")
