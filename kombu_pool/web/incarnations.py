"""Keeps an action that was confirmed from a queue that was declared again since its question."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.errors import NotPermitted
from kombu_pool.web.requests import form_of
from kombu_pool.web.site import site_of

if TYPE_CHECKING:
    from starlette.requests import Request


def incarnation_of(request: Request, name: str) -> str:
    """Return the incarnation of a queue, for the field ``incarnation`` of a question."""
    store, project = site_of(request).broker[:2]
    return store.catalog.fresh_route(name, project).incarnation or ""


def require_same(request: Request, name: str) -> None:
    """Refuse an action on a queue that its question did not mean.

    Raises:
        NotPermitted: the queue was deleted, and another one has its name; or it was moved.
    """
    asked = form_of(request).get("incarnation")
    if asked is not None and asked != incarnation_of(request, name):
        raise NotPermitted(
            f"{name} was deleted and declared again, or moved, since the question: look at the queue first."
        )
