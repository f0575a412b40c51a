"""Pages of HTML from templates, in which every value is escaped."""

from __future__ import annotations

from functools import cache, partial
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from kombu_pool.web import formats
from kombu_pool.web.requests import FORM_FIELD, FORM_TOKEN, path_for, path_of, user_of

if TYPE_CHECKING:
    from starlette.requests import Request

#: Nothing is loaded from elsewhere, and no other page shows this one in a frame.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}

#: The pages in the head of each: the route, and its name.
NAVIGATION = (
    ("queues", "Queues"), ("tasks", "Tasks"), ("dead", "Dead letters"), ("pools", "Pools"), ("moves", "Moves"),
    ("workers", "Workers"), ("audit", "Audit"),
)  # fmt: skip


@cache
def _environment() -> Environment:
    loader = PackageLoader("kombu_pool.web")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(formats.FILTERS)
    return environment


def render_text(request: Request, template: str, **values: Any) -> str:
    """Return a template as text; it has ``url(route, **query)``, the ``options`` and the ``form_token``."""
    return (
        _environment()
        .get_template(template)
        .render(
            url=partial(path_for, request),
            options=request.app.state.site.options,
            navigation=NAVIGATION,
            current=_current(request),
            is_session=user_of(request) == "session",
            form_field=FORM_FIELD,
            form_token=request.scope.get(FORM_TOKEN, ""),
            **values,
        )
    )


def _current(request: Request) -> str:
    """Return the route in the head to which a page belongs."""
    first = path_of(request.scope).split("/")[1]
    return {"": "queues", "queue": "queues"}.get(first, first)


def render(request: Request, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a template as a page."""
    return HTMLResponse(render_text(request, template, **values), status, _HEADERS)
