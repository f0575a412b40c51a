"""What every page has around its own part."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from markupsafe import Markup

from kombu_pool.web.actions import done
from kombu_pool.web.rendering import render, render_text
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response


def page(request: Request, template: str, live: str | None = None, events: str = "", **values: Any) -> Response:
    """Return a page; ``live`` is the part that the stream at ``events`` refreshes, rendered already."""
    return render(
        request,
        template,
        live=Markup(with_outage(request, live or "")),  # noqa: S704 - templates made it
        events=events,
        done=done(request),
        warnings=site_of(request).warnings,
        **values,
    )


def with_outage(request: Request, live: str) -> str:
    """Return the live part of a page, after a note if the control store does not answer."""
    outage = site_of(request).outage
    return live if outage is None else f"{render_text(request, '_outage.html', outage=outage.rstrip('.'))}\n{live}"
