"""Who holds which queue."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.control.tables import HOLDERS, USAGE
from kombu_pool.drivers.mongodb.layout import NEVER, project_of
from kombu_pool.drivers.mongodb.store import place
from kombu_pool.storage import ConsumersController as Contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import Project

#: Seconds after which nobody renews a dead holder any more.
_FORGOTTEN = 86_400.0


class ConsumersController(Contract):
    """Holders in a collection; a queue with a lifetime is looked at when that may be over, and not before."""

    # An idle process is to be quiet; and each of many asks.
    patience = 5.0

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._link = tables.link
        self._clock = clock

    def set_lifetime(self, queue: str, after: float, project: Project = None, from_now: bool = False) -> None:
        now = self._now()
        values = {"l": after, "w": now, **({"s": now} if from_now else {})}
        self._upsert(USAGE, place(project, queue), {"$set": values})

    def touch(self, queue: str, project: Project = None) -> None:
        now = self._now()
        where = place(project, queue)
        with self._link.translated():
            if self._since(where, self._tables[USAGE].find_one(where) or {}) is not None:
                self._tables[USAGE].update_one(where, {"$set": {"s": now}})

    def attach(self, queue: str, holder: str, ttl: float, project: Project = None, consuming: bool = True) -> None:
        now = self._now()
        where = place(project, queue)
        self._upsert(HOLDERS, {**where, "h": holder}, {"$set": {"x": now + ttl, "c": consuming}})
        with self._link.translated():
            self._tables[HOLDERS].delete_many({**where, "x": {"$lt": now - _FORGOTTEN}})
            self._tables[USAGE].update_one(where, {"$min": {"w": now + ttl}})

    def renew(self, holders: Sequence[str], ttl: float) -> None:
        if holders:
            now = self._now()
            with self._link.translated():
                self._tables[HOLDERS].update_many({"h": {"$in": list(holders)}}, {"$set": {"x": now + ttl}})

    def detach(self, holders: Sequence[str]) -> None:
        if not holders:
            return
        now = self._now()
        where = {"h": {"$in": list(holders)}}
        with self._link.translated():
            # It counts like the death that it is, which may have been earlier.
            ended = [
                UpdateOne(_queue_of(held), {"$max": {"s": min(held["x"], now)}, "$min": {"w": now}}, upsert=True)
                for held in self._tables[HOLDERS].find(where)
            ]
            if ended:
                self._tables[USAGE].bulk_write(ended)
                self._tables[HOLDERS].delete_many(where)

    def count(self, queue: str, project: Project = None) -> int:
        now = self._now()
        with self._link.translated():
            where = {**place(project, queue), "x": {"$gt": now}, "c": True}
            return self._tables[HOLDERS].count_documents(where)

    def abandoned(self, limit: int = 100) -> Sequence[tuple[Project, str]]:
        now = self._now()
        found: list[tuple[Project, str]] = []
        with self._link.translated():
            for usage in self._tables[USAGE].find({"w": {"$gt": 0, "$lte": now}}).sort("w", 1):
                since = self._since(_queue_of(usage), usage)
                ends = NEVER if since is None else since + usage.get("l", NEVER)
                if ends <= now:
                    found.append((project_of(usage["p"]), usage["q"]))
                else:
                    # Unless something happened since that may end it earlier.
                    self._tables[USAGE].update_one({"_id": usage["_id"], "w": usage["w"]}, {"$set": {"w": ends}})
                if len(found) == limit:
                    break
        return found

    def forget(self, queue: str, project: Project = None) -> None:
        where = place(project, queue)
        with self._link.translated():
            self._tables[USAGE].delete_one(where)
            self._tables[HOLDERS].delete_many(where)

    def _now(self) -> float:
        return self._link.now(self._clock)

    def _since(self, where: Mapping[str, Any], usage: Mapping[str, Any]) -> float | None:
        """Return when a queue was last held or touched; None when its seconds do not count yet."""
        last = self._tables[HOLDERS].find_one(where, {"x": 1}, sort=[("x", -1)])
        moments = [held["x"] for held in (last,) if held is not None]
        if usage.get("s") is not None:
            moments.append(usage["s"])
        return max(moments, default=None)

    def _upsert(self, table: str, where: dict[str, Any], what: dict[str, Any]) -> None:
        with self._link.translated():
            try:
                self._tables[table].update_one(where, what, upsert=True)
            except DuplicateKeyError:
                # Somebody else inserted it at the same time: now it is there.
                self._tables[table].update_one(where, what, upsert=True)


def _queue_of(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"p": document["p"], "q": document["q"]}
