"""Which requests are let in: tokens, sessions, the origin of a form, the name of the host, read-only access."""

from __future__ import annotations

import base64
from http.cookies import CookieError
from ipaddress import ip_address
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection, Request

from kombu_pool.web.audit import REFUSED
from kombu_pool.web.problems import Problem, problem_response
from kombu_pool.web.requests import (
    BODY,
    FORM_FIELD,
    FORM_HEADER,
    FORM_TOKEN,
    MAX_BODY,
    ROOT,
    USER,
    address_of,
    form_of,
    path_of,
    user_of,
)
from kombu_pool.web.sessions import Sessions, is_token

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from kombu_pool.web.site import Site

#: Paths that need no token, and the beginning of those of the style and the script.
OPEN_PATHS = frozenset({"/healthz", "/login"})
STATIC = "/static/"
#: Methods that change nothing.
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
#: Unsafe requests that change no queue.
_SESSION_PATHS = frozenset({"/login", "/logout"})
#: Bodies that a page of another site may send without asking this one first.
_SIMPLE_TYPES = frozenset({"", "application/x-www-form-urlencoded", "multipart/form-data", "text/plain"})


class _Client(NamedTuple):
    """A client that is let in; a ``cookie`` if it is a browser whose forms need a form token."""

    user: str
    cookie: str | None = None
    is_new: bool = False


class Access:
    """Middleware for all routes: lets a request in, or answers it with what it lacks."""

    def __init__(self, app: ASGIApp, site: Site) -> None:
        self._app = app
        self._site = site
        self._sessions = Sessions(site.options.token)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request of HTTP; a connection of another kind than HTTP and lifespan is closed."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope[ROOT] = scope.get("root_path", "")
        request = Request(scope)
        try:
            scope[BODY] = b"" if request.method in SAFE_METHODS else await _read(receive)
            client = self._admit(request)
        except Problem as problem:
            self._record_refused(request, problem)
            await problem_response(request, problem)(scope, receive, send)
            return
        if client.cookie is not None:
            scope[FORM_TOKEN] = self._sessions.form_token(client.cookie)
        cookie = client.cookie if client.is_new else None
        await self._app(scope, _replay(scope[BODY], receive), self._with_cookie(send, request, cookie))

    def _record_refused(self, request: Request, problem: Problem) -> None:
        """Record an action that is not let in, and a wrong token whatever it was given for."""
        if request.method in SAFE_METHODS and "authorization" not in request.headers:
            return
        outcome = f"{REFUSED}: {problem.text}"
        path = path_of(request.scope)
        self._site.audit.record(user_of(request), address_of(request), request.method, path, outcome)

    def _with_cookie(self, send: Send, request: Request, cookie: str | None) -> Send:
        if cookie is None:
            return send
        header = self._sessions.header(cookie, request.scope[ROOT], secure=request.url.scheme == "https")

        async def send_with_cookie(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).append("set-cookie", header)
            await send(message)

        return send_with_cookie

    def _admit(self, request: Request) -> _Client:
        """Return the client of a request that is let in.

        Raises:
            Problem: it is not.
        """
        path, unsafe = path_of(request.scope), request.method not in SAFE_METHODS
        if self._site.options.token is None:
            self._require_local(request)
        if unsafe:
            self._require_origin(request)
        if path in OPEN_PATHS or path.startswith(STATIC):
            return self._anonymous(request)
        client = self._client(request)
        request.scope[USER] = client.user
        if unsafe and client.cookie is not None:
            self._require_form_token(request, client)
        if unsafe and self._site.options.read_only and path not in _SESSION_PATHS:
            raise Problem(403, "Read-only", "This page was started with --read-only: it takes no action.")
        return client

    def _anonymous(self, request: Request) -> _Client:
        return _Client("", self._cookie(request))

    def _client(self, request: Request) -> _Client:
        token = self._site.options.token
        cookie = self._cookie(request)
        if token is None:
            return _Client("local", cookie or self._sessions.create(), is_new=cookie is None)
        given = _credentials(request)
        if given is not None and is_token(given[1], token):
            return _Client(given[0])
        if given is None and cookie is not None:
            return _Client("session", cookie)
        raise Problem(401, "Not authorized", "The token is wrong." if given else "This page needs a token.")

    def _cookie(self, request: HTTPConnection) -> str | None:
        try:
            return self._sessions.find(request.headers.get("cookie", ""))
        except CookieError:
            return None

    def _require_local(self, request: Request) -> None:
        """Refuse other machines, and a name that a page of another site had resolved to this machine."""
        allowed = self._site.options.allowed_hosts
        host = _host(request.headers.get("host", ""))
        if "*" in allowed or host in allowed:
            return
        if not _is_loopback(host) or (request.client is not None and not _is_loopback(request.client.host)):
            raise Problem(
                403, "Host not allowed",
                f"Without a token only this machine may ask, under a name of its own, not {host!r}: give the page a "
                "token, or name the host in allowed_hosts.",
            )  # fmt: skip

    def _require_origin(self, request: Request) -> None:
        """Refuse a form that a page of another site sent; only browsers name an origin."""
        site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
        if site is not None:
            is_ours = site in {"same-origin", "none"}
        else:
            is_ours = origin is None or urlsplit(origin).netloc == request.headers.get("host")
        if not is_ours:
            raise Problem(403, "Another origin", "This action was sent by a page of another site.")

    def _require_form_token(self, request: Request, client: _Client) -> None:
        content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        given = request.headers.get(FORM_HEADER)
        if given is None and content_type in _SIMPLE_TYPES and request.method == "POST":
            given = form_of(request).get(FORM_FIELD, "")
        if given is None:
            # A browser asks before it sends such a request from a page of another site, and gets no permission.
            return
        if client.cookie is None or client.is_new or not self._sessions.is_form_token(client.cookie, given):
            raise Problem(403, "Form out of date", "This form is not of your session: load its page again.")


def _credentials(request: HTTPConnection) -> tuple[str, str] | None:
    """Return the user and the token of the header ``Authorization``; None without one."""
    scheme, _, value = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return "bearer", value.strip()
    if scheme.lower() != "basic":
        return None
    try:
        user, _, password = base64.b64decode(value, validate=True).decode().partition(":")
    except ValueError:  # also of characters that base64 has not, or that are no UTF-8
        return "basic", ""
    return f"basic:{user}", password


def _host(header: str) -> str:
    """Return the name in the header ``Host``, without its port."""
    if header.startswith("["):
        return header[1:].partition("]")[0]
    return header.partition(":")[0].lower()


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


async def _read(receive: Receive) -> bytes:
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            # A part of a form may say something else than the whole: a weight of 1 in place of 100.
            raise Problem(400, "Incomplete", "The connection ended before the end of the request.")
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise Problem(413, "Too large", f"A request may have {MAX_BODY} bytes.")
        if not message.get("more_body", False):
            return bytes(body)


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return what gives the body, which was read, to the application."""
    sent = False

    async def replay() -> Message:
        nonlocal sent
        if sent:
            return await receive()
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return replay
