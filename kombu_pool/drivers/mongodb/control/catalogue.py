"""The catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.control.tables import CATALOGUE
from kombu_pool.drivers.mongodb.layout import project_key
from kombu_pool.drivers.mongodb.store import place
from kombu_pool.errors import PoolDoesNotExist, QueueNotMapped
from kombu_pool.storage import CatalogueController as Contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.control.registry import Records, Registry
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import CatalogueEntry, Project


class CatalogueController(Contract):
    """Entries in a collection.

    An entry is written before its pool is looked at, and taken back if there is no such pool: a pool that is deleted
    meanwhile sees the entry, or the entry sees that it goes.
    """

    def __init__(self, tables: Tables, registry: Registry) -> None:
        self._tables = tables
        self._registry = registry

    def list(self, project: Project) -> Sequence[CatalogueEntry]:
        with self._tables.link.translated():
            found = self._tables[CATALOGUE].find({"p": project_key(project)}, sort=[("q", 1)])
            return [{"queue": entry["q"], "project": project, "pool": entry["o"]} for entry in found]

    def get(self, project: Project, queue: str) -> CatalogueEntry:
        pool = self._find(project, queue)
        if pool is None:
            raise QueueNotMapped(queue, project)
        return {"queue": queue, "project": project, "pool": pool}

    def exists(self, project: Project, queue: str) -> bool:
        return self._find(project, queue) is not None

    def insert(self, project: Project, queue: str, pool: str) -> None:
        self._require(pool)
        with self._tables.link.translated():
            before = self._write(project, queue, {"$set": {"o": pool}})
        self._confirm(project, queue, pool, None if before is None else before["o"])

    def delete(self, project: Project, queue: str) -> None:
        with self._tables.link.translated():
            self._tables[CATALOGUE].delete_one(place(project, queue))

    def update(self, project: Project, queue: str, pool: str | None = None) -> None:
        before = self.get(project, queue)["pool"]
        if pool is None:
            return
        self._require(pool)
        with self._tables.link.translated():
            changed = self._tables[CATALOGUE].update_one(place(project, queue), {"$set": {"o": pool}})
        if not changed.matched_count:
            raise QueueNotMapped(queue, project)
        self._confirm(project, queue, pool, before)

    def drop_all(self) -> None:
        with self._tables.link.translated():
            self._tables[CATALOGUE].delete_many({})

    def insert_if_absent(self, project: Project, queue: str, pool: str) -> str:
        assigned = self._find(project, queue)
        if assigned is not None:
            return assigned
        with self._tables.link.translated():
            before = self._write(project, queue, {"$setOnInsert": {"o": pool}})
        if before is not None:
            return str(before["o"])
        self._confirm(project, queue, pool, None)
        return pool

    def _find(self, project: Project, queue: str) -> str | None:
        with self._tables.link.translated():
            found = self._tables[CATALOGUE].find_one(place(project, queue), {"o": 1})
        return None if found is None else str(found["o"])

    def _write(self, project: Project, queue: str, what: dict[str, dict[str, str]]) -> dict[str, str] | None:
        """Change or insert an entry; return what it was before."""
        where = place(project, queue)
        try:
            return self._tables[CATALOGUE].find_one_and_update(
                where, what, upsert=True, return_document=ReturnDocument.BEFORE
            )
        except DuplicateKeyError:
            # Somebody else inserted it at the same time: now it is there.
            return self._tables[CATALOGUE].find_one_and_update(
                where, what, upsert=True, return_document=ReturnDocument.BEFORE
            )

    def _require(self, pool: str) -> None:
        if pool not in self._registry.read().pools:
            raise PoolDoesNotExist(pool)

    def _confirm(self, project: Project, queue: str, pool: str, before: str | None) -> None:
        """Keep the pool that an entry names from being deleted, or put the entry back to what it was."""
        found = self._registry.read().pools.get(pool)
        if found is not None and (found.leaving is None or self._registry.change(lambda records: _keep(records, pool))):
            return
        where = {**place(project, queue), "o": pool}
        with self._tables.link.translated():
            if before is None:
                self._tables[CATALOGUE].delete_one(where)
            else:
                self._tables[CATALOGUE].update_one(where, {"$set": {"o": before}})
        raise PoolDoesNotExist(pool)


def _keep(records: Records, name: str) -> bool:
    """Take away the mark of who is about to delete a pool; return whether it is there still."""
    pool = records.pools.get(name)
    if pool is not None:
        records.pools[name] = pool._replace(leaving=None)
    return pool is not None
