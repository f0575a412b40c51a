"""Queues over many pools: the control store knows them all, the pool of each keeps its messages."""

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
    from kombu_pool.pooling.pool_handle import Member


class QueueController(Routing, storage.QueueController):
    """Keeps the control store's record of a queue and its pool's in step.

    Whatever is written goes to the pool first: what a crash or a pool that is down leaves behind is finished by the
    same call made again.
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
        member = self._catalog.settle(name, project, flavor)
        with member:
            new_there = member.queues.create(name, metadata, project)
        new_here = self._control.create(name, metadata, project)
        if new_there != new_here:
            # An earlier call got half-way, another one is at it now, or the pool's store was replaced.
            self._bring_into_step(member, name, project)
        return new_here

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        if not self._control.exists(name, project):
            raise errors.QueueDoesNotExist(name, project)
        member = self._pool(name, project)
        if member is not None:
            with member:
                _put_metadata(member, name, metadata, project)
        self._control.set_metadata(name, metadata, project)

    def delete(self, name: str, project: Project = None) -> None:
        with contextlib.suppress(errors.PoolDoesNotExist):
            member = self._catalog.pool_now(name, project)
            if member is not None:
                with member:
                    member.queues.delete(name, project)
        self._control.delete(name, project)
        self._catalog.deregister(name, project)

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        with self._home(name, project) as member:
            return member.queues.stats(name, project)

    def _bring_into_step(self, member: Member, name: str, project: Project) -> None:
        # Gone again means that somebody deletes the queue at this moment, and will delete it in the pool too.
        with contextlib.suppress(errors.QueueDoesNotExist):
            metadata = self._control.get(name, project)
            with member:
                _put_metadata(member, name, metadata, project)


def _put_metadata(member: Member, name: str, metadata: Metadata, project: Project) -> None:
    try:
        member.queues.set_metadata(name, metadata, project)
    except errors.QueueDoesNotExist:
        member.queues.create(name, metadata, project)
