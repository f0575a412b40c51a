"""The page on which a browser gives the token, and gets a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from kombu_pool.web.rendering import render
from kombu_pool.web.requests import ROOT, address_of, form_of, path_for, user_of
from kombu_pool.web.sessions import Sessions, is_token
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request


def show(request: Request) -> Response:
    """Ask for the token."""
    return render(request, "login.html", next=request.query_params.get("next", ""), wrong=False)


def log_in(request: Request) -> Response:
    """Begin a session if the token is right."""
    site, form = site_of(request), form_of(request)
    token, wanted = site.options.token, form.get("next", "")
    if token is not None and not is_token(form.get("token", "").strip(), token):
        site.audit.record("", address_of(request), "log in", "", "refused: wrong token")
        return render(request, "login.html", 401, next=wanted, wrong=True)
    response = RedirectResponse(_target(request, wanted), 303)
    sessions = Sessions(token)
    cookie = sessions.create()
    response.headers.append(
        "set-cookie", sessions.header(cookie, request.scope[ROOT], secure=request.url.scheme == "https")
    )
    site.audit.record("session", address_of(request), "log in", "")
    return response


def _target(request: Request, wanted: str) -> str:
    """Return where a browser goes after it logged in: only to a path of this application."""
    is_ours = wanted.startswith("/") and not wanted.startswith("//") and "\\" not in wanted and wanted.isprintable()
    return f"{request.scope[ROOT]}{wanted}" if is_ours else path_for(request, "queues")


def log_out(request: Request) -> Response:
    """End the session."""
    response = RedirectResponse(path_for(request, "login"), 303)
    header = Sessions(site_of(request).options.token).header("", request.scope[ROOT], secure=False)
    response.headers.append("set-cookie", header)
    site_of(request).audit.record(user_of(request), address_of(request), "log out", "")
    return response


routes = [
    Route("/login", show, name="login"),
    Route("/login", log_in, methods=["POST"]),
    Route("/logout", log_out, methods=["POST"], name="logout"),
]
