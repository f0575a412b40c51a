"""The documents of holders."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from kombu_pool.drivers.mongodb.control.lives import lineage_of
from kombu_pool.drivers.mongodb.control.tables import HOLDERS, with_id

if TYPE_CHECKING:
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.drivers.mongodb.states import Filter

#: The id of the document with the live holders.
LIVE_HOLDERS: Final = "holders"
#: The code points that no stored text has, and the first one after them.
_FIRST_SURROGATE, _AFTER_SURROGATES = 0xD800, 0xE000


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


def live_holders(prefix: str, now: float) -> list[dict[str, Any]]:
    """Return the pipeline that finds the names of the live holders with a prefix: ``h`` of at most one document."""
    names: Filter = {"$gte": prefix}
    if after := _after_prefix(prefix):
        names["$lt"] = after
    return [
        {"$match": {"h": names, "x": {"$gt": now}, "n": None}},
        {"$group": {"_id": LIVE_HOLDERS, "h": {"$addToSet": "$h"}}},
    ]


def _after_prefix(prefix: str) -> str:
    """Return the first text after all texts with a prefix, in the order of their UTF-8; "" if there is none."""
    rest = prefix.rstrip(chr(sys.maxunicode))
    if not rest:
        return ""
    code = ord(rest[-1]) + 1
    return rest[:-1] + chr(_AFTER_SURROGATES if code == _FIRST_SURROGATE else code)
