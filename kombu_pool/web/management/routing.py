"""Routes whose parameters may hold any character, and the calls of their handlers."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from amqp.exceptions import AMQPError, MessageNacked
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.routing import Match, Route

from kombu_pool.errors import KombuPoolError
from kombu_pool.web.access import SAFE_METHODS
from kombu_pool.web.management.call import Call
from kombu_pool.web.management.errors import (
    METHOD_NOT_ALLOWED,
    ApiError,
    as_api_error,
    bad_request,
    not_found,
    response,
)
from kombu_pool.web.requests import address_of, user_of
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    Handler = Callable[[Call], Response]


class ApiRoute(Route):
    """A route that is matched to the undecoded path, so that a parameter may hold ``/`` as ``%2F``.

    ``handlers`` are by method; each takes a :class:`Call`, and runs in a thread, since stores block.
    """

    def __init__(self, path: str, handlers: Mapping[str, Handler]) -> None:
        super().__init__(path, _Endpoint(handlers), methods=None, name=path)

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        """Return whether the path of a request is the route's, with its parameters as they are in the path."""
        if scope["type"] != "http":
            return Match.NONE, {}
        found = self.path_regex.match(undecoded_path(scope))
        if found is None:
            return Match.NONE, {}
        return Match.FULL, {"endpoint": self.endpoint, "path_params": found.groupdict()}


def undecoded_path(scope: Scope) -> str:
    """Return the path below the root path of the application, as the client sent it."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
    path = raw.partition(b"?")[0].decode("ascii", "replace")
    root: str = scope.get("root_path", "")
    above, below = path.split("/")[: root.count("/") + 1], path.split("/")[root.count("/") + 1 :]
    return "/" + "/".join(below) if unquote("/".join(above)) == root else path


class _Endpoint:
    """Calls the handler of a request's method."""

    def __init__(self, handlers: Mapping[str, Handler]) -> None:
        self._handlers = handlers

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer = await self._answer(Request(scope, receive))
        await answer(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        body = await request.body()
        return await run_in_threadpool(self._call, request, body)

    def _call(self, request: Request, body: bytes) -> Response:
        try:
            answer = self._handler(request)(Call(request, _decoded(request), body))
        except ApiError as error:
            refusal = error
        except (KombuPoolError, AMQPError, MessageNacked) as error:
            refusal = as_api_error(error)
        except Exception as error:
            # It may be done for all that is known.
            _record(request, f"failed: {type(error).__name__}")
            raise
        else:
            _record(request, "done")
            return answer
        _record(request, str(refusal))
        return response(refusal)

    def _handler(self, request: Request) -> Handler:
        if not self._handlers:
            raise not_found(f"there is no {request.url.path}")
        handler = self._handlers.get("GET" if request.method == "HEAD" else request.method)
        if handler is None:
            allowed = ", ".join(self._handlers)
            reason = f"{request.method} is not supported here: {allowed}"
            raise ApiError(METHOD_NOT_ALLOWED, "method_not_allowed", reason, {"Allow": allowed})
        return handler


def _decoded(request: Request) -> dict[str, str]:
    try:
        return {name: unquote(value, errors="strict") for name, value in request.path_params.items()}
    except UnicodeDecodeError as error:
        raise bad_request("a name in the path is not encoded as UTF-8") from error


def _record(request: Request, outcome: str) -> None:
    """Record an action in the audit log."""
    if request.method not in SAFE_METHODS:
        path = undecoded_path(request.scope)
        site_of(request).audit.record(user_of(request), address_of(request), request.method, path, outcome)
