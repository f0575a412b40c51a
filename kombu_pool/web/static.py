"""The style, the script and the icon of the pages."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from starlette.responses import Response
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request

_HEADERS = {"Cache-Control": "no-cache", "X-Content-Type-Options": "nosniff"}


@cache
def _content(name: str) -> bytes:
    return (files("kombu_pool.web") / "static" / name).read_bytes()


def style(_: Request) -> Response:
    """Answer with the style."""
    return Response(_content("style.css"), media_type="text/css", headers=_HEADERS)


def script(_: Request) -> Response:
    """Answer with the script, which only refreshes a page."""
    return Response(_content("page.js"), media_type="text/javascript", headers=_HEADERS)


def icon(_: Request) -> Response:
    """Answer with the icon."""
    return Response(_content("icon.svg"), media_type="image/svg+xml", headers=_HEADERS)


routes = [
    Route("/static/style.css", style, name="style"),
    Route("/static/page.js", script, name="script"),
    Route("/static/icon.svg", icon, name="icon"),
]
