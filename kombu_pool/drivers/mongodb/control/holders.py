"""The documents of holders."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.mongodb.control.lives import lineage_of
from kombu_pool.drivers.mongodb.control.tables import HOLDERS, with_id

if TYPE_CHECKING:
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.drivers.mongodb.states import Filter


class NewHolder:
    """A holder that is stored before the document of its queue is changed, and confirmed after.

    The process that deletes the queue changes that document first, and deletes the holders then: so one sees the other.
    Until it is confirmed the holder does not prolong the life of the queue, which may have expired.
    """

    def __init__(self, tables: Tables, queue: Filter, holder: str, incarnation: str) -> None:
        self._holders = tables[HOLDERS]
        self._tables = tables
        self._fields = {**queue, "h": holder}
        self._lineage = lineage_of(incarnation)

    def store(self, expires: float, *, consuming: bool) -> None:
        """Store the holder without confirmation, unless there is one of its name."""
        self._values = {"x": expires, "c": consuming, "k": self._lineage}
        self._tables.upsert(HOLDERS, self._fields, {"$setOnInsert": {**self._values, "n": True}})

    def confirm(self) -> bool:
        """Make the holder count; return False if the queue was deleted since it was stored."""
        confirmed = {"$set": self._values, "$unset": {"n": ""}}
        return bool(self._holders.update_one(with_id(self._fields), confirmed).matched_count)

    def take_back(self) -> None:
        """Delete the holder if it was not confirmed."""
        self._holders.delete_one({**with_id(self._fields), "k": self._lineage, "n": True})
