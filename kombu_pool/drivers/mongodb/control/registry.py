"""The pools and flavors in one document."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.control.tables import QUEUES, REGISTRY
from kombu_pool.drivers.registry import Records, decode, encode
from kombu_pool.drivers.registry import Registry as Contract
from kombu_pool.errors import PoolInUse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.control.tables import Tables

_ID = "pools and flavors"


class Version(NamedTuple):
    """The version of the document, and whether it is marked: a pool is about to be deleted."""

    number: int
    is_marked: bool


class Registry(Contract[Version]):
    """The document of all pools and flavors.

    A pool is deleted in three steps, as no transaction spans this document and the catalogue: the document is marked,
    the pool's queues are counted, and the document is replaced if it still has the version of the mark. An assignment
    of a queue is stored first, then its process reads the document and removes its mark: so one sees the other.
    """

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def read(self) -> tuple[Records, Version]:
        with self._tables.client.translated():
            found = self._tables[REGISTRY].find_one({"_id": _ID}) or {}
        return decode(found.get("record", b"")), Version(found.get("version", 0), "marked" in found)

    def replace(self, records: Records, version: Version, unused: str | None = None) -> bool:
        number = version.number
        if unused is not None:
            # The mark of a deletion that runs, or whose process died, is shared: no queue was assigned since.
            if not version.is_marked:
                if not self._mark(number):
                    return False
                number += 1
            self.require_unused(unused)
        new = {"version": number + 1, "record": encode(records)}
        with self._tables.client.translated():
            try:
                done = self._tables[REGISTRY].replace_one({"_id": _ID, "version": number}, new, upsert=not number)
            except DuplicateKeyError:
                return False
        return bool(done.matched_count or done.upserted_id is not None)

    def require_unused(self, name: str) -> None:
        with self._tables.client.translated():
            uses = [{field: name} for field in ("o", "y", "b.o", "b.y")]
            queues = self._tables[QUEUES].count_documents({"$or": uses})
        if queues:
            raise PoolInUse(name, queues)

    def find_missing(self, names: Sequence[str]) -> str | None:
        """Return a pool that does not exist; None: all exist, and deletions in progress start over without a mark."""
        while True:
            records, version = self.read()
            missing = next((name for name in names if name not in records.pools), None)
            if missing is not None or not version.is_marked or self._mark(version.number, "$unset"):
                return missing

    def _mark(self, number: int, operator: str = "$set") -> bool:
        """Mark the document of a version, or remove the mark; return whether it had that version."""
        change = {operator: {"marked": True}, "$inc": {"version": 1}}
        with self._tables.client.translated():
            done = self._tables[REGISTRY].update_one({"_id": _ID, "version": number}, change)
        return bool(done.matched_count)
