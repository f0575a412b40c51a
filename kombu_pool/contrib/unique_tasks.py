"""Sends a Celery task unless its like is there, and returns the result of the one that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.model import DROP, UNFINISHED
from kombu_pool.transport.publish.deduplication import CONFLICT_HEADER, ID_HEADER, SCOPE_HEADER, dropped

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def apply_unique(
    task: Any,
    args: Sequence[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    *,
    unique_id: str,
    scope: str | float = UNFINISHED,
    conflict: str = DROP,
    **options: Any,
) -> Any:
    """Call ``task.apply_async`` with an id that one message of its queue may hold; return the result.

    If the task was dropped as another one holds the id, it is the result of that one. ``scope`` and ``conflict`` are
    the headers ``x-deduplication-scope`` and ``x-deduplication-conflict``, ``options`` those of ``apply_async``.
    """
    headers = {**(options.pop("headers", None) or {}), ID_HEADER: unique_id}
    headers |= {SCOPE_HEADER: scope, CONFLICT_HEADER: conflict}
    with dropped() as present:
        result = task.apply_async(args, kwargs, headers=headers, **options)
    return task.AsyncResult(present[0].key) if present and present[0].key else result
