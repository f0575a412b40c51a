"""What the routing controllers share: the way to a queue's pool."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool import errors

if TYPE_CHECKING:
    from kombu_pool.model import Project
    from kombu_pool.pooling.catalog import Catalog
    from kombu_pool.pooling.pool_handle import Member


class Routing:
    """Finds the pool of a queue in a catalog."""

    def __init__(self, pool_catalog: Catalog) -> None:
        self._catalog = pool_catalog
        #: The queue's pool; None when the queue is assigned to none.
        self._pool = pool_catalog.pool

    def _home(self, queue: str, project: Project) -> Member:
        """Return the queue's pool, or raise QueueDoesNotExist."""
        member = self._pool(queue, project)
        if member is None:
            raise errors.QueueDoesNotExist(queue, project)
        return member
