"""The controller of the catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.control.key_encoding import member, scope_of
from kombu_pool.drivers.redis.control.tables import Table
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.errors import PoolDoesNotExist, QueueNotMapped
from kombu_pool.storage import CatalogueController as Contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.redis.client import Client
    from kombu_pool.drivers.redis.control.registry import Registry
    from kombu_pool.model import CatalogueEntry, Project

_ASSIGN = script("control/assign", repeatable=True)
_UNASSIGN = script("control/unassign", repeatable=True)


class CatalogueController(Contract):
    """The catalogue in a table, whose records are pools."""

    def __init__(self, client: Client, registry: Registry) -> None:
        self._client = client
        self._table = Table(client, "catalogue")
        self._registry = registry
        self._keys = (self._table.records, self._table.names, registry.queues)

    def list(self, project: Project) -> Sequence[CatalogueEntry]:
        rows = self._table.rows(project)
        return [{"queue": queue, "project": project, "pool": scope_of(pool)[1]} for queue, pool in rows]

    def get(self, project: Project, queue: str) -> CatalogueEntry:
        pool = self._table.find(project, queue)
        if pool is None:
            raise QueueNotMapped(queue, project)
        return {"queue": queue, "project": project, "pool": scope_of(pool)[1]}

    def exists(self, project: Project, queue: str) -> bool:
        return self._table.exists(project, queue)

    def insert(self, project: Project, queue: str, pool: str) -> None:
        self._assign(project, queue, pool, "")

    def delete(self, project: Project, queue: str) -> None:
        self._client.call(_UNASSIGN, self._keys, member(project, queue))

    def update(self, project: Project, queue: str, pool: str | None = None) -> None:
        if pool is None:
            self.get(project, queue)
        else:
            self._assign(project, queue, pool, "present")

    def drop_all(self) -> None:
        self._table.drop(self._registry.queues)

    def insert_if_absent(self, project: Project, queue: str, pool: str) -> str:
        return self._assign(project, queue, pool, "absent")

    def _assign(self, project: Project, queue: str, pool: str, when: str) -> str:
        arguments = (member(project, queue), member(None, pool), when)
        obstacle, assigned = self._client.call(_ASSIGN, (*self._keys, self._registry.key), *arguments)
        if obstacle == b"unmapped":
            raise QueueNotMapped(queue, project)
        if obstacle == b"pool":
            raise PoolDoesNotExist(pool)
        return scope_of(assigned)[1]
