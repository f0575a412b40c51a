"""Errors as answers: a page for a browser, JSON for a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import Match

from kombu_pool import errors
from kombu_pool.drivers import mask
from kombu_pool.web.rendering import render
from kombu_pool.web.requests import path_for, path_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

#: The status of each kind of error, the most particular kind first.
_STATUSES: tuple[tuple[type[errors.KombuPoolError], int], ...] = (
    (errors.DoesNotExist, 404),
    (errors.NotPermitted, 409),
    (errors.Conflict, 409),
    (errors.ConnectionError, 503),
    (errors.StoreError, 503),
    (errors.ConfigurationError, 400),
)


class Problem(Exception):  # noqa: N818 - an answer, not a fault
    """An answer that is no success: its status, a title, and what to do."""

    def __init__(self, status: int, title: str, text: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(status, title, text)
        self.status, self.title, self.text = status, title, text
        self.headers = dict(headers or {})


def problem_of(error: errors.KombuPoolError) -> Problem:
    """Return an error of ours as an answer."""
    status = next((status for kind, status in _STATUSES if isinstance(error, kind)), 500)
    title = {404: "Not found", 409: "Not possible", 503: "The store does not serve"}.get(status, "Refused")
    return Problem(status, title, mask(str(error)))


def wants_html(request: Request) -> bool:
    """Return whether the client is a browser that shows the answer."""
    return "text/html" in request.headers.get("accept", "")


def problem_response(request: Request, problem: Problem) -> Response:
    """Return the answer; a browser without a token is sent to the page where it can give one."""
    if not wants_html(request):
        headers = problem.headers
        if problem.status == 401:  # noqa: PLR2004
            headers = {**headers, "WWW-Authenticate": 'Basic realm="kombu_pool"'}
        content = {"error": problem.title.lower().replace(" ", "_"), "reason": problem.text}
        return JSONResponse(content, problem.status, headers)
    if problem.status == 401 and "authorization" not in request.headers:  # noqa: PLR2004
        return RedirectResponse(path_for(request, "login", next=_page_of(request)), 303)
    answer = render(request, "problem.html", problem.status, problem=problem)
    answer.headers.update(problem.headers)
    return answer


def _page_of(request: Request) -> str:
    """Return the path and the query of a page; the first page for the target of a form, which cannot be loaded."""
    if request.method not in {"GET", "HEAD"}:
        return "/"
    path, query = path_of(request.scope), request.url.query
    return f"{path}?{query}" if query else path


def handle_error(request: Request, error: Exception) -> Response:
    """Answer with an error of ours, of Starlette's, or with a problem."""
    if isinstance(error, Problem):
        return problem_response(request, error)
    if isinstance(error, errors.KombuPoolError):
        return problem_response(request, problem_of(error))
    status: Any = getattr(error, "status_code", 500)
    text = str(getattr(error, "detail", "")) or "The server failed; its log says why."
    headers = {"Allow": ", ".join(_allowed(request))} if status == 405 else None  # noqa: PLR2004
    return problem_response(request, Problem(status, text, "", headers))


def _allowed(request: Request) -> list[str]:
    """Return the methods of the routes of a path: each of the routes names its own."""
    routes = [route for route in request.app.routes if route.matches(request.scope)[0] is not Match.NONE]
    return sorted({method for route in routes for method in getattr(route, "methods", None) or ()})
