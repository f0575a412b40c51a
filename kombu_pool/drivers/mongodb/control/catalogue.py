"""The controller of the catalogue."""

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

    from kombu_pool.drivers.mongodb.control.registry import Registry
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import CatalogueEntry, Project


class CatalogueController(Contract):
    """Entries, each a document.

    An entry is stored before its pool is read. So if the pool is deleted meanwhile, either the deletion sees the entry,
    or the entry's writer sees the deletion and restores the previous pool. Until its pool was read an entry is
    *unverified*, and every reader verifies it: so none refers to a deleted pool, even if its writer died in between.
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

    def insert(self, project: Project, queue: str, pool: str) -> None:
        self._write(project, queue, {"$set": {"o": pool}, "$unset": {"u": "", "w": ""}})

    def delete(self, project: Project, queue: str) -> None:
        with self._tables.client.translated():
            self._tables[CATALOGUE].delete_one(queue_filter(project, queue))

    def update(self, project: Project, queue: str, pool: str | None = None) -> None:
        self.get(project, queue)
        if pool is not None:
            self._move(project, queue, pool)

    def drop_all(self) -> None:
        with self._tables.client.translated():
            self._tables[CATALOGUE].delete_many({})

    def insert_if_absent(self, project: Project, queue: str, pool: str) -> str:
        new = {"$setOnInsert": {"o": pool, "u": True}}
        while True:
            entry = self._write(project, queue, new) or {}
            if "u" not in entry or self._registry.keep_pool(entry["o"]):
                # The first reader marks it verified, so that registration does not wait for that.
                return str(entry["o"])
            self._verified(entry)
            if entry["o"] == pool:
                raise PoolDoesNotExist(pool)

    def _find(self, project: Project, queue: str) -> str | None:
        with self._tables.client.translated():
            found = self._tables[CATALOGUE].find_one(queue_filter(project, queue))
        return None if found is None else self._verified(found)

    def _move(self, project: Project, queue: str, pool: str) -> None:
        before = {"$cond": ["$u", {"$ifNull": ["$w", "$o"]}, "$o"]}
        change = [{"$set": {"w": before, "o": {"$literal": pool}, "u": True}}]
        entry = self._write(project, queue, change, upsert=False)
        if entry is None:
            raise QueueNotMapped(queue, project)
        if self._verified(entry) != pool:
            raise PoolDoesNotExist(pool)

    def _write(self, project: Project, queue: str, update: Any, *, upsert: bool = True) -> dict[str, Any] | None:
        """Change or insert an entry; return the new one, None if it does not exist."""
        where, collection = with_id(queue_filter(project, queue)), self._tables[CATALOGUE]
        after = ReturnDocument.AFTER
        with self._tables.client.translated():
            try:
                return collection.find_one_and_update(where, update, upsert=upsert, return_document=after)
            except DuplicateKeyError:
                # Another process inserted it during the upsert.
                return collection.find_one_and_update(where, update, upsert=upsert, return_document=after)

    def _verified(self, entry: Mapping[str, Any]) -> str | None:
        """Return the pool of an entry, or the previous one if it is deleted; None if that leaves no entry."""
        pool: str = entry["o"]
        if "u" not in entry:
            return pool
        unverified = {"_id": entry["_id"], "o": pool, "u": True}
        exists, before = self._registry.keep_pool(pool), entry.get("w")
        with self._tables.client.translated():
            if exists:
                self._tables[CATALOGUE].update_one(unverified, {"$unset": {"u": "", "w": ""}})
                return pool
            if before is None:
                self._tables[CATALOGUE].delete_one(unverified)
                return None
            self._tables[CATALOGUE].update_one(unverified, {"$set": {"o": before}, "$unset": {"w": ""}})
        return self._verified({**unverified, "o": before})
