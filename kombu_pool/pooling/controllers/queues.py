"""Queues over many pools: the control store has a record of each, its pool stores the messages."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kombu_pool import errors, storage
from kombu_pool.pooling.controllers.routing import Routing
from kombu_pool.storage import DEFAULT_LIMIT, FLAVOR

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.model import Metadata, Project
    from kombu_pool.pooling.catalog import Catalog
    from kombu_pool.pooling.pool_handle import PoolHandle


class QueueController(Routing, storage.QueueController):
    """Keeps the record of a queue in the control store and that in its pool in step.

    Writes go to the pool first: when a crash or an outage interrupts one, the same call made again completes it.
    """

    def __init__(self, pool_catalog: Catalog) -> None:
        super().__init__(pool_catalog)
        self._control = pool_catalog.control.queue_controller

    def list(
        self,
        project: Project = None,
        kfilter: Mapping[str, Any] = {},
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        detailed: bool = False,
        name: str | None = None,
    ) -> Iterator[Any]:
        return self._control.list(project, kfilter, marker, limit, detailed, name)

    def get(self, name: str, project: Project = None) -> Metadata:
        return self._control.get(name, project)

    def exists(self, name: str, project: Project = None) -> bool:
        return self._control.exists(name, project)

    def calculate_resource_count(self, project: Project = None) -> int:
        return self._control.calculate_resource_count(project)

    def create(self, name: str, metadata: Metadata | None = None, project: Project = None) -> bool:
        """Create the queue in a pool of the flavor that ``metadata["_flavor"]`` names.

        Raises:
            FlavorDoesNotExist, NoPoolFound: as :meth:`~kombu_pool.pooling.Catalog.register`.
        """
        flavor = metadata.get(FLAVOR) if isinstance(metadata, Mapping) else None
        pool = self._catalog.register_and_open(name, project, flavor)
        with pool:
            new_in_pool = pool.queues.create(name, metadata, project)
        new_in_control = self._control.create(name, metadata, project)
        if new_in_pool != new_in_control:
            # An earlier call was interrupted, another one is in progress, or the pool's store was replaced.
            self._synchronize(pool, name, project)
        return new_in_control

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        if not self._control.exists(name, project):
            raise errors.QueueDoesNotExist(name, project)
        pool = self._pool(name, project)
        if pool is not self._catalog.unassigned:
            with pool:
                _put_metadata(pool, name, metadata, project)
        self._control.set_metadata(name, metadata, project)

    def delete(self, name: str, project: Project = None) -> None:
        with contextlib.suppress(errors.PoolDoesNotExist), self._catalog.refresh(name, project) as pool:
            pool.queues.delete(name, project)
        self._control.delete(name, project)
        self._catalog.deregister(name, project)

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        with self._pool(name, project) as pool:
            return pool.queues.stats(name, project)

    def _synchronize(self, pool: PoolHandle, name: str, project: Project) -> None:
        # Gone again: a concurrent call deletes the queue, and deletes it in the pool too.
        with contextlib.suppress(errors.QueueDoesNotExist):
            metadata = self._control.get(name, project)
            with pool:
                _put_metadata(pool, name, metadata, project)


def _put_metadata(pool: PoolHandle, name: str, metadata: Metadata, project: Project) -> None:
    try:
        pool.queues.set_metadata(name, metadata, project)
    except errors.QueueDoesNotExist:
        pool.queues.create(name, metadata, project)
