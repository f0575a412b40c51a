"""The page of the actions that were taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from kombu_pool.web.pages.layout import page
from kombu_pool.web.rendering import render_text
from kombu_pool.web.requests import path_for
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

#: Actions that the page shows.
_SHOWN = 200


def show(request: Request) -> Response:
    """Show the last actions."""
    return page(request, "audit.html", live(request), path_for(request, "events", "audit"))


def live(request: Request) -> str:
    """Return the table."""
    return render_text(request, "_audit.html", entries=site_of(request).audit.entries()[:_SHOWN])


routes = [Route("/audit", show, name="audit")]
