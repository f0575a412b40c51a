"""What the pages need of a request: its path, its body, its form, its client."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode

from starlette.datastructures import ImmutableMultiDict

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection, Request
    from starlette.types import Scope

#: Longest body of a request, in bytes.
MAX_BODY = 1_000_000
#: Keys of a scope: its body, its root path, its user, its form token.
BODY, ROOT, USER, FORM_TOKEN = (f"kombu_pool.{name}" for name in ("body", "root", "user", "form_token"))
#: The name of the form's field, and of the header, that carries the form token.
FORM_FIELD, FORM_HEADER = "form_token", "x-form-token"


def path_of(scope: Scope) -> str:
    """Return the path below the application's root."""
    path, root = str(scope["path"]), str(scope.get("root_path", ""))
    below = path.removeprefix(root)
    return below if below.startswith("/") else path if below else "/"


def body_of(request: HTTPConnection) -> bytes:
    """Return the body of a request whose method is unsafe."""
    body: bytes = request.scope.get(BODY, b"")
    return body


def form_of(request: HTTPConnection) -> ImmutableMultiDict[str, str]:
    """Return the fields of a form that was sent."""
    text = body_of(request).decode("utf-8", "replace")
    return ImmutableMultiDict(parse_qsl(text, keep_blank_values=True))


def user_of(request: HTTPConnection) -> str:
    """Return how the client was authenticated, for the audit log."""
    user: str = request.scope.get(USER, "")
    return user


def address_of(request: HTTPConnection) -> str:
    """Return the client's address; empty over a Unix socket."""
    return request.client.host if request.client else ""


def path_for(request: Request, route: str, page: str | None = None, /, **query: Any) -> str:
    """Return the path of a route of the application, under its root, with a query without its empty values.

    ``page``: the parameter of the route of that name.
    """
    parameters = {} if page is None else {"page": page}
    root = request.scope.get(ROOT, request.scope.get("root_path", ""))
    pairs = [
        (key, one) for key, value in query.items() for one in (value if isinstance(value, list | tuple) else [value])
    ]
    text = urlencode([(key, one) for key, one in pairs if one not in (None, "", False)])
    return f"{root}{request.app.url_path_for(route, **parameters)}{f'?{text}' if text else ''}"
