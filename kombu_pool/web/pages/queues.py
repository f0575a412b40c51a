"""The page of all queues."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.routing import Route

from kombu_pool.web.rendering import render
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def show(request: Request) -> Response:
    """Show the queues."""
    report = site_of(request).sampler.latest()
    return render(request, "queues.html", report=report)


routes = [Route("/", show, name="queues")]
