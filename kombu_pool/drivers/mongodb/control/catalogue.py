"""The catalogue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.codec import project_key
from kombu_pool.drivers.mongodb.control.tables import CATALOGUE, with_id
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.errors import PoolDoesNotExist, QueueNotMapped
from kombu_pool.storage import CatalogueController as Contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.drivers.mongodb.control.registry import Records, Registry
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import CatalogueEntry, Project


class CatalogueController(Contract):
    """Entries in a collection.

    An entry is written before its pool is looked at: a pool that is deleted meanwhile sees the entry, or the entry sees
    that it goes, and is put back to what it was. Until somebody has looked it is *unsure*, and who reads it looks: so
    nothing is left to a pool that is gone, even if who wrote it died in between.
    """

    def __init__(self, tables: Tables, registry: Registry) -> None:
        self._tables = tables
        self._registry = registry

    def list(self, project: Project) -> Sequence[CatalogueEntry]:
        with self._tables.client.translated():
            found = [*self._tables[CATALOGUE].find({"p": project_key(project)}, sort=[("q", 1)])]
        pools = ((entry["q"], self._verified(entry)) for entry in found)
        return [{"queue": queue, "project": project, "pool": pool} for queue, pool in pools if pool is not None]

    def get(self, project: Project, queue: str) -> CatalogueEntry:
        pool = self._find(project, queue)
        if pool is None:
            raise QueueNotMapped(queue, project)
        return {"queue": queue, "project": project, "pool": pool}

    def exists(self, project: Project, queue: str) -> bool:
        return self._find(project, queue) is not None

    def insert(self, project: Project, queue: str, pool: str) -> None:
        self._move(project, queue, pool)

    def delete(self, project: Project, queue: str) -> None:
        with self._tables.client.translated():
            self._tables[CATALOGUE].delete_one(queue_filter(project, queue))

    def update(self, project: Project, queue: str, pool: str | None = None) -> None:
        self.get(project, queue)
        if pool is not None:
            self._move(project, queue, pool, upsert=False)

    def drop_all(self) -> None:
        with self._tables.client.translated():
            self._tables[CATALOGUE].delete_many({})

    def insert_if_absent(self, project: Project, queue: str, pool: str) -> str:
        new = {"$setOnInsert": {"o": pool, "u": True}}
        while True:
            entry = self._write(project, queue, new) or {}
            if "u" not in entry or self._keep(entry["o"]):
                # Whoever reads it first says that it is sure, and not who waits for it now.
                return str(entry["o"])
            self._verified(entry)
            if entry["o"] == pool:
                raise PoolDoesNotExist(pool)

    def _find(self, project: Project, queue: str) -> str | None:
        with self._tables.client.translated():
            found = self._tables[CATALOGUE].find_one(queue_filter(project, queue))
        return None if found is None else self._verified(found)

    def _move(self, project: Project, queue: str, pool: str, *, upsert: bool = True) -> None:
        before = {"$cond": ["$u", {"$ifNull": ["$w", "$o"]}, "$o"]}
        entry = self._write(
            project, queue, [{"$set": {"w": before, "o": {"$literal": pool}, "u": True}}], upsert=upsert
        )
        if entry is None:
            raise QueueNotMapped(queue, project)
        if self._verified(entry) != pool:
            raise PoolDoesNotExist(pool)

    def _write(self, project: Project, queue: str, what: Any, *, upsert: bool = True) -> dict[str, Any] | None:
        """Change or insert an entry; return what it is now, None when it is not there."""
        where, collection = with_id(queue_filter(project, queue)), self._tables[CATALOGUE]
        after = ReturnDocument.AFTER
        with self._tables.client.translated():
            try:
                return collection.find_one_and_update(where, what, upsert=upsert, return_document=after)
            except DuplicateKeyError:
                # Somebody else inserted it at the same time: now it is there.
                return collection.find_one_and_update(where, what, upsert=upsert, return_document=after)

    def _verified(self, entry: Mapping[str, Any]) -> str | None:
        """Return the pool of an entry, or the one before if that is gone; None when nothing is left of the entry."""
        pool: str = entry["o"]
        if "u" not in entry:
            return pool
        unsure = {"_id": entry["_id"], "o": pool, "u": True}
        stays, before = self._keep(pool), entry.get("w")
        with self._tables.client.translated():
            if stays:
                self._tables[CATALOGUE].update_one(unsure, {"$unset": {"u": "", "w": ""}})
                return pool
            if before is None:
                self._tables[CATALOGUE].delete_one(unsure)
                return None
            self._tables[CATALOGUE].update_one(unsure, {"$set": {"o": before}, "$unset": {"w": ""}})
        return self._verified({**unsure, "o": before})

    def _keep(self, pool: str) -> bool:
        """Keep a pool that an entry names from being deleted; return whether it is there."""
        found = self._registry.read().pools.get(pool)
        if found is None or found.leaving is None:
            return found is not None
        return self._registry.change(lambda records: _stay(records, pool))


def _stay(records: Records, name: str) -> bool:
    """Take away the mark of who is about to delete a pool; return whether it is there still."""
    pool = records.pools.get(name)
    if pool is not None:
        records.pools[name] = pool._replace(leaving=None)
    return pool is not None
