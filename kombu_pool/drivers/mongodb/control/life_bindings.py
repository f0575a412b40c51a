"""The states of bindings, and bindings to one life of a queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.control.lives import lineage_of
from kombu_pool.drivers.mongodb.control.tables import BINDINGS, QUEUES, with_id
from kombu_pool.drivers.mongodb.store import queue_filter, queues_filter
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.model import DELETING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Project

#: States of a binding: stored, before its exchange's generation was incremented; after; about to be removed; stored,
#: before the assignment of its queue was read. No binding is listed in the last two.
NEW, ANNOUNCED, REMOVED, PENDING = range(4)
IS_LISTED: Final = {"f": {"$lt": REMOVED}}


class Life:
    """One life of a queue, which has the incarnation."""

    def __init__(self, tables: Tables, project: Project, queue: str, incarnation: str) -> None:
        self._tables = tables
        self._scope = (queue, project)
        self._where = {**queue_filter(project, queue), "i": incarnation}
        self.lineage = lineage_of(incarnation)

    def require(self) -> None:
        """Raise QueueDoesNotExist unless the assignment of the queue has the incarnation, and is not DELETING."""
        if self._tables[QUEUES].find_one({**self._where, "f": {"$ne": DELETING}}, {"_id": 1}) is None:
            raise QueueDoesNotExist(*self._scope)

    def is_bound(self, found: Mapping[str, Any]) -> bool:
        """Return whether the document is of a binding that does not end with another life."""
        return found["j"] in (None, self.lineage)


class LifeBinding:
    """A binding that is stored before the assignment of its queue is read, and listed after.

    The process that deletes the queue changes the assignment first, and removes the bindings then: so one sees the
    other.
    """

    def __init__(self, tables: Tables, binding: dict[str, Any], life: Life) -> None:
        self._tables = tables
        self._binding = binding
        self._life = life
        self._pending = {**binding, "f": PENDING, "j": life.lineage}

    def store(self, found: Mapping[str, Any] | None) -> bool:
        """Store the binding in place of one that was found unlisted; return False if another process changed it.

        Raises:
            QueueDoesNotExist: the life is over; nothing is changed.
        """
        new = {"f": PENDING, "j": self._life.lineage, "o": self._tables.next_number()}
        if found is None:
            try:
                self._tables[BINDINGS].insert_one({**with_id(self._binding), **new})
            except DuplicateKeyError:
                return False
        else:
            before = {**self._binding, "f": found["f"], "j": found["j"]}
            if not self._tables[BINDINGS].update_one(before, {"$set": new}).matched_count:
                return False
        try:
            self._life.require()
        except QueueDoesNotExist:
            self._tables[BINDINGS].delete_one(self._pending)
            raise
        return bool(self._tables[BINDINGS].update_one(self._pending, {"$set": {"f": NEW}}).matched_count)


def ended_bindings(ended: Sequence[Mapping[str, Any]]) -> Filter:
    """Return the filter of the bindings that end with lives of queues, given by the documents of the queues."""
    # A lineage belongs to one queue.
    lineages = {lineage_of(one["i"]) for one in ended}
    names = queues_filter(((one["p"], one["q"]) for one in ended), "n")
    return {**names, "k": "queue", "j": {"$in": [None, *lineages]}}
