"""The base of the routing controllers: finds the pool of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kombu_pool.pooling.catalog import Catalog


class Routing:
    """Finds the pool of a queue in a catalog; that of a queue without an assignment is empty."""

    def __init__(self, pool_catalog: Catalog) -> None:
        self._catalog = pool_catalog
        self._pool = pool_catalog.pool
        self._route = pool_catalog.route
