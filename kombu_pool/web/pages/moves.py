"""The page of the moves of queues from pool to pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from kombu_pool.web.moving import moves_of
from kombu_pool.web.pages.layout import page
from kombu_pool.web.rendering import render_text
from kombu_pool.web.requests import path_for
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

#: Moves of either kind that the page shows.
_SHOWN = 200


def show(request: Request) -> Response:
    """Show the moves."""
    return page(request, "moves.html", live(request), path_for(request, "events", "moves"))


def live(request: Request) -> str:
    """Return the tables."""
    return render_text(request, "_moves.html", moves=moves_of(site_of(request)), shown=_SHOWN)


routes = [Route("/moves", show, name="moves")]
