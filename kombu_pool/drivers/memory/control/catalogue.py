"""The catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.errors import PoolDoesNotExist, QueueNotMapped
from kombu_pool.storage import CatalogueController as Contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.memory.control.registry import Registry
    from kombu_pool.drivers.memory.control.store import ControlStore
    from kombu_pool.model import CatalogueEntry, Project


class CatalogueController(Contract):
    """The catalogue, in a dictionary."""

    def __init__(self, store: ControlStore, registry: Registry) -> None:
        self._store = store
        self._registry = registry

    def list(self, project: Project) -> Sequence[CatalogueEntry]:
        with self._store.lock:
            names = sorted(queue for owner, queue in self._store.catalogue if owner == project)
            return [self.get(project, queue) for queue in names]

    def get(self, project: Project, queue: str) -> CatalogueEntry:
        pool = self._store.catalogue.get((project, queue))
        if pool is None:
            raise QueueNotMapped(queue, project)
        return {"queue": queue, "project": project, "pool": pool}

    def insert(self, project: Project, queue: str, pool: str) -> None:
        with self._store.lock:
            self._store.catalogue[project, queue] = pool

    def delete(self, project: Project, queue: str) -> None:
        with self._store.lock:
            self._store.catalogue.pop((project, queue), None)

    def update(self, project: Project, queue: str, pool: str | None = None) -> None:
        with self._store.lock:
            self.get(project, queue)
            if pool is not None:
                self._assign(project, queue, pool)

    def drop_all(self) -> None:
        with self._store.lock:
            self._store.catalogue.clear()

    def insert_if_absent(self, project: Project, queue: str, pool: str) -> str:
        with self._store.lock:
            assigned = self._store.catalogue.get((project, queue))
            if assigned is not None:
                return assigned
            self._assign(project, queue, pool)
            return pool

    def _assign(self, project: Project, queue: str, pool: str) -> None:
        if not self._registry.has_pool(pool):
            raise PoolDoesNotExist(pool)
        self._store.catalogue[project, queue] = pool
