"""Whether the server runs, for the program that supervises it. It needs no token, and asks no store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import PlainTextResponse
from starlette.routing import Route

if TYPE_CHECKING:
    from starlette.requests import Request


def healthz(_: Request) -> PlainTextResponse:
    """Answer."""
    return PlainTextResponse("ok\n")


routes = [Route("/healthz", healthz, name="healthz")]
