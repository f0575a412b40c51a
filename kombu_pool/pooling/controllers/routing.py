"""The base of the routing controllers: finds the pool of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kombu_pool.model import Project
    from kombu_pool.pooling.catalog import Catalog
    from kombu_pool.pooling.pool_handle import PoolHandle

    Named = TypeVar("Named", bound=tuple[Project, str] | tuple[Project, str, str])


class Routing:
    """Finds the pool of a queue in a catalog; that of a queue without an assignment is empty."""

    def __init__(self, pool_catalog: Catalog) -> None:
        self._catalog = pool_catalog
        self._pool = pool_catalog.pool
        self._route = pool_catalog.route

    def _by_pool(self, named: Iterable[Named]) -> list[tuple[PoolHandle, list[Named]]]:
        """Return tuples that begin with a queue's project and name, by the queue's pool."""
        found: dict[str, tuple[PoolHandle, list[Named]]] = {}
        for each in named:
            pool = self._pool(each[1], each[0])
            found.setdefault(pool.name, (pool, []))[1].append(each)
        return [*found.values()]
