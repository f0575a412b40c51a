"""Queues over many pools: the control store has a record of each, its pool stores the messages."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from kombu_pool import errors, storage
from kombu_pool.pooling.controllers.routing import Routing
from kombu_pool.storage import DEFAULT_LIMIT, FLAVOR

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kombu_pool.model import Assignment, Expiry, Metadata, Project
    from kombu_pool.pooling.catalog import Catalog


class QueueController(Routing, storage.QueueController):
    """Keeps the record of a queue in the control store and that in its pool in step."""

    def __init__(self, pool_catalog: Catalog) -> None:
        super().__init__(pool_catalog)
        self._control = pool_catalog.control.queue_controller
        self._lives = pool_catalog.lives

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

    def create(
        self,
        name: str,
        metadata: Metadata | None = None,
        project: Project = None,
        *,
        incarnation: str | None = None,
        replaces: str | None = None,
        expiry: Expiry | None = None,
    ) -> bool:
        """Create the queue in a pool of the flavor that ``metadata["_flavor"]`` names; ``expiry``: when it expires.

        A queue with an expiry and without a flavor is created in the control store.

        Raises:
            FlavorDoesNotExist, NoPoolFound, PoolUnavailable: as :meth:`~kombu_pool.pooling.Catalog.register`.
            ConfigurationError: an incarnation is given.
        """
        if incarnation is not None or replaces is not None:
            raise errors.ConfigurationError("the catalog gives a queue its incarnation: name none")
        flavor = metadata.get(FLAVOR) if isinstance(metadata, Mapping) else None
        return self._lives.create(name, metadata, project, flavor, expiry)

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        self._control.set_metadata(name, metadata, project)
        self._in_present_pool(name, project, lambda pool: pool.queues.set_metadata(name, metadata, project))

    def delete(self, name: str, project: Project = None, *, incarnation: str | None = None) -> None:
        self._lives.delete(name, project, incarnation)

    def expire(self, name: str, project: Project = None, *, unused: str | None = None) -> bool:
        """Delete the queue if it has been without a live holder for longer than its lifetime; return whether it had.

        ``unused``: an incarnation, which need only be without a live consumer now.
        """
        return self._lives.expire(name, project, unused=unused)

    def expire_many(self, queues: Sequence[tuple[Project, str]]) -> int:
        """Delete those of the queues that have expired, as :meth:`expire` does; return their number."""
        return self._lives.expire_many(queues)

    def end_deletions(self, deletions: Sequence[tuple[Project, str, Assignment]] | None = None) -> None:
        """End the deletions that a dead process or an unreachable pool left unfinished; None: read which."""
        self._lives.end_deletions(deletions)

    def pause(self, name: str, project: Project = None) -> None:
        self._in_present_pool(name, project, lambda pool: pool.queues.pause(name, project))

    def resume(self, name: str, project: Project = None) -> None:
        self._in_present_pool(name, project, lambda pool: pool.queues.resume(name, project))

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        with self._pool(name, project) as pool:
            return pool.queues.stats(name, project)
