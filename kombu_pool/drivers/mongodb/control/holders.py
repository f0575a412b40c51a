"""The documents of holders."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb.control.lives import lineage_of
from kombu_pool.drivers.mongodb.control.tables import HOLDERS, with_id

if TYPE_CHECKING:
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.drivers.mongodb.states import Filter


class NewHolder:
    """A holder that is stored before the document of its queue is read or changed, and taken back if that fails.

    The process that deletes the queue changes that document first, and deletes the holders then: so one sees the other.
    """

    def __init__(self, tables: Tables, queue: Filter, holder: str, incarnation: str | None) -> None:
        self._tables = tables
        self._fields = {**queue, "h": holder}
        self._lineage = None if incarnation is None else lineage_of(incarnation)
        self._before: dict[str, Any] | None = None

    def store(self, expires: float, *, consuming: bool) -> None:
        """Store the holder, in place of one of the same name."""
        values = {"x": expires, "c": consuming, "k": self._lineage}
        self._before = self._tables.upsert(HOLDERS, self._fields, {"$set": values}, after=False)

    def take_back(self) -> None:
        """Undo :meth:`store`, unless the holder was stored again for a later life of the queue."""
        stored = {**with_id(self._fields), "k": self._lineage}
        if self._before is None:
            self._tables[HOLDERS].delete_one(stored)
        else:
            self._tables[HOLDERS].replace_one(stored, self._before)
