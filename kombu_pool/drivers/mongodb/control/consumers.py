"""The controller of holders and of the lifetimes of queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne
from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.codec import NEVER, project_of
from kombu_pool.drivers.mongodb.control.tables import HOLDERS, USAGE, with_id
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.storage import ConsumersController as Contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import Project

#: Time after which an expired holder is deleted, in seconds: longer than any process delays a renewal.
_HOLDER_RETENTION = 86_400.0
#: Bound of the searches of one call for expired queues behind queues that are in use.
_MAX_ROUNDS = 10


class ConsumersController(Contract):
    """Holders, each a document; a queue with a lifetime is checked only once that may be over."""

    # Each of many processes polls, also while it is idle.
    poll_interval = 5.0

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._client = tables.client
        self._clock = clock

    def set_lifetime(self, queue: str, after: float, project: Project = None, from_now: bool = False) -> None:
        now = self._now()
        values = {"l": after, "w": now, **({"s": now} if from_now else {})}
        self._upsert(USAGE, queue_filter(project, queue), {"$set": values})

    def touch(self, queue: str, project: Project = None) -> None:
        where, used = queue_filter(project, queue), {"$set": {"s": self._now()}}
        with self._client.translated():
            is_counting = self._tables[USAGE].update_one({**where, "s": {"$ne": None}}, used).matched_count
            is_held = not is_counting and self._tables[HOLDERS].find_one(where, {"_id": 1}) is not None
        if is_held:
            self._upsert(USAGE, where, used)

    def add_holder(self, queue: str, holder: str, ttl: float, project: Project = None, consuming: bool = True) -> None:
        now = self._now()
        where = queue_filter(project, queue)
        self._upsert(HOLDERS, {**where, "h": holder}, {"$set": {"x": now + ttl, "c": consuming}})
        with self._client.translated():
            self._tables[HOLDERS].delete_many({**where, "x": {"$lt": now - _HOLDER_RETENTION}})
            # Unconditionally: a check that began before the holder existed must not postpone the next one.
            self._tables[USAGE].update_one(where, {"$set": {"w": now + ttl}})

    def renew(self, holders: Sequence[str], ttl: float) -> None:
        if holders:
            now = self._now()
            with self._client.translated():
                self._tables[HOLDERS].update_many({"h": {"$in": list(holders)}}, {"$set": {"x": now + ttl}})

    def remove_holders(self, holders: Sequence[str]) -> None:
        if not holders:
            return
        now = self._now()
        where = {"h": {"$in": list(holders)}}
        with self._client.translated():
            # The use of the queue ends now, or earlier if the holder had expired.
            updates = [
                UpdateOne(
                    with_id(_queue_of(held)), {"$max": {"s": min(held["x"], now)}, "$set": {"w": now}}, upsert=True
                )
                for held in self._tables[HOLDERS].find(where)
            ]
            if updates:
                self._tables[USAGE].bulk_write(updates)
                self._tables[HOLDERS].delete_many(where)

    def count(self, queue: str, project: Project = None) -> int:
        now = self._now()
        with self._client.translated():
            where = {**queue_filter(project, queue), "x": {"$gt": now}, "c": True}
            return self._tables[HOLDERS].count_documents(where)

    def expired_queues(self, limit: int = 100) -> Sequence[tuple[Project, str]]:
        now = self._now()
        found: list[tuple[Project, str]] = []
        with self._client.translated():
            for _ in range(_MAX_ROUNDS):
                wanted = limit - len(found)
                due = [*self._tables[USAGE].aggregate(self._due(now, len(found), wanted))]
                self._postpone([(usage, end) for usage in due if (end := _end(usage)) > now])
                found += [(project_of(usage["p"]), usage["q"]) for usage in due if _end(usage) <= now]
                if len(due) < wanted or len(found) == limit:
                    break
        return found

    def _due(self, now: float, skip: int, limit: int) -> list[dict[str, Any]]:
        """Return the pipeline that finds the queues that may have expired, each with the expiry of its last holder."""
        same = [{"$eq": [f"${key}", f"$${key}"]} for key in ("p", "q")]
        last = [{"$match": {"$expr": {"$and": same}}}, {"$sort": {"x": -1}}, {"$limit": 1}, {"$project": {"x": 1}}]
        held = {"from": self._tables[HOLDERS].name, "let": {"p": "$p", "q": "$q"}, "pipeline": last, "as": "held"}
        return [
            {"$match": {"w": {"$gt": 0, "$lte": now}}},
            {"$sort": {"w": 1, "_id": 1}},
            {"$skip": skip},
            {"$limit": limit},
            {"$lookup": held},
        ]

    def _postpone(self, in_use: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        """Set the next check of queues in use, unless they changed since."""
        updates = [UpdateOne({"_id": usage["_id"], "w": usage["w"]}, {"$set": {"w": end}}) for usage, end in in_use]
        if updates:
            self._tables[USAGE].bulk_write(updates, ordered=False)

    def forget(self, queue: str, project: Project = None) -> None:
        where = queue_filter(project, queue)
        with self._client.translated():
            self._tables[USAGE].delete_one(where)
            self._tables[HOLDERS].delete_many(where)

    def _now(self) -> float:
        return self._client.now(self._clock)

    def _upsert(self, table: str, where: dict[str, Any], update: dict[str, Any]) -> None:
        with self._client.translated():
            try:
                self._tables[table].update_one(with_id(where), update, upsert=True)
            except DuplicateKeyError:
                # Another process inserted it during the upsert.
                self._tables[table].update_one(with_id(where), update, upsert=True)


def _queue_of(document: Mapping[str, Any]) -> dict[str, Any]:
    return {"p": document["p"], "q": document["q"]}


def _end(usage: Mapping[str, Any]) -> float:
    """Return the time at which a queue expires by its last use."""
    moments = [held["x"] for held in usage["held"]]
    if usage.get("s") is not None:
        moments.append(usage["s"])
    return max(moments) + usage.get("l", NEVER) if moments else NEVER
