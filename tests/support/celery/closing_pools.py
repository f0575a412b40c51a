"""Closes a Celery application with the connections of its pools."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from kombu import pools

if TYPE_CHECKING:
    from collections.abc import Iterator

    from celery import Celery


def close_pools(app: Celery) -> None:
    """Close an application and Kombu's pools, which outlive it, and would serve a later one with the same broker."""
    for group, pool in ((pools.producers, app.producer_pool), (pools.connections, app.pool)):
        pool.force_close_all()
        for key in [key for key, found in group.items() if found is pool]:
            dict.pop(group, key)
    app.close()


@contextmanager
def closing_pools(app: Celery) -> Iterator[Celery]:
    """Close an application and its pools at the end."""
    try:
        yield app
    finally:
        close_pools(app)
