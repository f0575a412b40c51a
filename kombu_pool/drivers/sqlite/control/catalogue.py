"""The catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.sqlite.codec import project_key
from kombu_pool.drivers.sqlite.statements import statements
from kombu_pool.errors import PoolDoesNotExist, QueueNotMapped
from kombu_pool.storage import CatalogueController as Contract

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Sequence

    from kombu_pool.drivers.sqlite.control.registry import Registry
    from kombu_pool.drivers.sqlite.database import Database
    from kombu_pool.model import CatalogueEntry, Project

_SQL = statements("catalogue")


class CatalogueController(Contract):
    """The catalogue in a table."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry

    def list(self, project: Project) -> Sequence[CatalogueEntry]:
        rows = self._database.rows(_SQL["all"], (project_key(project),))
        return [{"queue": queue, "project": project, "pool": pool} for queue, pool in rows]

    def get(self, project: Project, queue: str) -> CatalogueEntry:
        row = self._database.row(_SQL["one"], (project_key(project), queue))
        if row is None:
            raise QueueNotMapped(queue, project)
        return {"queue": queue, "project": project, "pool": row[0]}

    def insert(self, project: Project, queue: str, pool: str) -> None:
        with self._database.write as connection:
            connection.execute(_SQL["assign"], (project_key(project), queue, pool))

    def delete(self, project: Project, queue: str) -> None:
        with self._database.write as connection:
            connection.execute(_SQL["delete"], (project_key(project), queue))

    def update(self, project: Project, queue: str, pool: str | None = None) -> None:
        with self._database.write as connection:
            if connection.execute(_SQL["one"], (project_key(project), queue)).fetchone() is None:
                raise QueueNotMapped(queue, project)
            if pool is not None:
                self._assign(connection, project, queue, pool)

    def drop_all(self) -> None:
        with self._database.write as connection:
            connection.execute(_SQL["drop_all"])

    def insert_if_absent(self, project: Project, queue: str, pool: str) -> str:
        scope = (project_key(project), queue)
        # Most calls declare a queue that is already assigned, which needs no lock.
        row = self._database.row(_SQL["one"], scope)
        if row is not None:
            return str(row[0])
        with self._database.write as connection:
            row = connection.execute(_SQL["one"], scope).fetchone()
            if row is not None:
                return str(row[0])
            self._assign(connection, project, queue, pool)
        return pool

    def _assign(self, connection: sqlite3.Connection, project: Project, queue: str, pool: str) -> None:
        # In the transaction of the connection, like the replacement of the registry: neither overlooks the other.
        if not self._registry.has_pool(pool):
            raise PoolDoesNotExist(pool)
        connection.execute(_SQL["assign"], (project_key(project), queue, pool))
