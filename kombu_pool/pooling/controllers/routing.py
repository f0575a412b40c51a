"""The base of the routing controllers: finds the pool of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool import errors

if TYPE_CHECKING:
    from kombu_pool.model import Project
    from kombu_pool.pooling.catalog import Catalog
    from kombu_pool.pooling.pool_handle import PoolHandle


class Routing:
    """Finds the pool of a queue in a catalog."""

    def __init__(self, pool_catalog: Catalog) -> None:
        self._catalog = pool_catalog
        #: The queue's pool; None when the queue has no assignment.
        self._pool = pool_catalog.pool

    def _require_pool(self, queue: str, project: Project) -> PoolHandle:
        """Return the queue's pool; raise QueueDoesNotExist when the queue has no assignment."""
        pool = self._pool(queue, project)
        if pool is None:
            raise errors.QueueDoesNotExist(queue, project)
        return pool
