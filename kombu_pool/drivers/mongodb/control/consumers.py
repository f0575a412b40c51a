"""The controller of holders and of the lifetimes of queues."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument, UpdateOne

from kombu_pool.drivers.mongodb.codec import NEVER, project_of
from kombu_pool.drivers.mongodb.control.holders import NewHolder
from kombu_pool.drivers.mongodb.control.lives import EXPIRY
from kombu_pool.drivers.mongodb.control.tables import HOLDERS, QUEUES, with_id
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.model import DELETING
from kombu_pool.storage import ConsumersController as Contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.control.lives import Lives
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.model import Project

#: Time after which an expired holder is deleted, in seconds: longer than any process delays a renewal.
_HOLDER_RETENTION = 86_400.0
#: Bound of the searches of one call for expired queues behind queues that are in use.
_MAX_ROUNDS = 10


class ConsumersController(Contract):
    """Holders, each a document; a queue with a lifetime is checked only once that may be over.

    Every change of a lifetime or of a holder removes the mark of an expiry in progress, which then fails: so a queue
    that expires has no holder that was added before.
    """

    # Each of many processes polls, also while it is idle.
    poll_interval = 5.0

    def __init__(self, tables: Tables, lives: Lives, clock: Clock) -> None:
        self._tables = tables
        self._client = tables.client
        self._lives = lives
        self._clock = clock

    def set_lifetime(self, queue: str, after: float, project: Project = None, from_now: bool = False) -> None:
        now = self._now()
        values = {"l": after, "w": now, "d": None, **({"s": now} if from_now else {})}
        with self._client.translated():
            self._tables.upsert(QUEUES, queue_filter(project, queue), {"$set": values})

    def touch(self, queue: str, project: Project = None) -> None:
        where, used = queue_filter(project, queue), {"$set": {"s": self._now(), "d": None}}
        with self._client.translated():
            if self._tables[QUEUES].update_one({**where, "s": {"$ne": None}}, used).matched_count:
                return
            if self._tables[HOLDERS].find_one(where, {"_id": 1}) is not None:
                self._tables[QUEUES].update_one(where, used)

    def add_holder(
        self,
        queue: str,
        holder: str,
        ttl: float,
        project: Project = None,
        consuming: bool = True,
        *,
        incarnation: str | None = None,
    ) -> bool:
        now = self._now()
        where = queue_filter(project, queue)
        new = NewHolder(self._tables, where, holder, incarnation)
        with self._client.translated():
            new.store(now + ttl, consuming=consuming)
            self._tables[HOLDERS].delete_many({**where, "x": {"$lt": now - _HOLDER_RETENTION}})
            # Unconditionally: a check that began before the holder existed must not postpone the next one.
            found = self._tables[QUEUES].find_one_and_update(where, _use(now + ttl), {"i": 1, "f": 1})
            if incarnation is None or (found is not None and _is_held(found, incarnation)):
                return True
            new.take_back()
        return False

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
            updates = [_end_of_use(held, now) for held in self._tables[HOLDERS].find(where)]
            if updates:
                self._tables[QUEUES].bulk_write(updates)
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
                due = [*self._tables[QUEUES].aggregate(self._due(now, len(found), wanted))]
                self._postpone([(usage, end) for usage in due if (end := _end(usage)) > now])
                found += [(project_of(usage["p"]), usage["q"]) for usage in due if _end(usage) <= now]
                if len(due) < wanted or len(found) == limit:
                    break
        return found

    def _due(self, now: float, skip: int, limit: int) -> list[dict[str, Any]]:
        """Return the pipeline that finds the queues that may have expired."""
        waiting: list[dict[str, Any]] = [{"$match": {"w": {"$gt": 0, "$lte": now}}}, {"$sort": {"w": 1, "_id": 1}}]
        return [*waiting, {"$skip": skip}, {"$limit": limit}, *self._usage()]

    def _usage(self) -> list[dict[str, Any]]:
        """Return the stages that leave the fields of a queue's lifetime, and add the expiry of its last holder."""
        same = [{"$eq": [f"${key}", f"$${key}"]} for key in ("p", "q")]
        last = [{"$match": {"$expr": {"$and": same}}}, {"$sort": {"x": -1}}, {"$limit": 1}, {"$project": {"x": 1}}]
        held = {"from": self._tables[HOLDERS].name, "let": {"p": "$p", "q": "$q"}, "pipeline": last, "as": "held"}
        return [{"$project": dict.fromkeys(("p", "q", "l", "s", "w"), 1)}, {"$lookup": held}]

    def _postpone(self, in_use: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        """Set the next check of queues in use, unless they changed since."""
        updates = [UpdateOne({"_id": usage["_id"], "w": usage["w"]}, {"$set": {"w": end}}) for usage, end in in_use]
        if updates:
            self._tables[QUEUES].bulk_write(updates, ordered=False)

    def expire(self, queue: str, project: Project = None, *, unused: str | None = None) -> bool:
        now, mark = self._now(), secrets.token_hex(8)
        named = queue_filter(project, queue)
        where = named if unused is None else {**named, "i": unused, "f": {"$ne": DELETING}}
        is_over = self._has_expired if unused is None else self._has_no_consumer
        with self._client.translated():
            queues = self._tables[QUEUES]
            if not is_over(named, now):
                return False
            # In place of another mark: its process may have died.
            found = queues.find_one_and_update(where, {"$set": {"d": mark}}, {"u": 1})
            if found is None:
                return False
            if "u" in found:
                self._lives.read(named)
            if not is_over(named, now):
                queues.update_one({**where, "d": mark}, {"$unset": {"d": ""}})
                return False
            return self._end_life({**where, "d": mark, "u": None}, named, now)

    def _has_expired(self, where: Filter, now: float) -> bool:
        found = next(iter(self._tables[QUEUES].aggregate([{"$match": where}, *self._usage()])), None)
        return found is not None and _end(found) <= now

    def _has_no_consumer(self, where: Filter, now: float) -> bool:
        return self._tables[HOLDERS].find_one({**where, "x": {"$gt": now}, "c": True}, {"_id": 1}) is None

    def _end_life(self, marked: Filter, where: Filter, now: float) -> bool:
        """Delete a queue that still has the mark, with its holders; return whether it had the mark."""
        after = self._tables[QUEUES].find_one_and_update(marked, EXPIRY, return_document=ReturnDocument.AFTER)
        if after is not None and "i" in after:
            self._lives.remove_holders(where, after["i"])
        elif after is not None:
            self._tables[HOLDERS].delete_many({**where, "x": {"$lte": now}})
            self._tables.remove_empty(where)
        return after is not None

    def _now(self) -> float:
        return self._client.now(self._clock)


def _use(until: float) -> list[dict[str, Any]]:
    """Return the update of a queue that is held until some time; it changes no queue without a lifetime."""
    return [{"$set": {"w": _if_it_has_a_lifetime(until)}}, {"$unset": "d"}]


def _if_it_has_a_lifetime(check: float) -> dict[str, Any]:
    return {"$cond": [{"$gt": ["$l", None]}, check, "$w"]}


def _is_held(found: Mapping[str, Any], incarnation: str) -> bool:
    """Return whether a holder holds the queue that has this document."""
    return found.get("i") == incarnation and found["f"] != DELETING


def _end_of_use(held: Mapping[str, Any], now: float) -> UpdateOne:
    """Return the update that ends a holder's use of its queue now, or earlier if the holder had expired.

    Only a queue without an assignment need not have a document.
    """
    where, lineage = with_id({"p": held["p"], "q": held["q"]}), held.get("k")
    end = {"s": {"$max": ["$s", min(held["x"], now)]}, "w": _if_it_has_a_lifetime(now)}
    update: list[dict[str, Any]] = [{"$set": end}, {"$unset": "d"}]
    return UpdateOne(where, update, upsert=True) if lineage is None else UpdateOne({**where, "j": lineage}, update)


def _end(usage: Mapping[str, Any]) -> float:
    """Return the time at which a queue expires by its last use."""
    if usage.get("l") is None:
        return NEVER
    moments = [held["x"] for held in usage["held"]]
    if usage.get("s") is not None:
        moments.append(usage["s"])
    return max(moments) + usage["l"] if moments else NEVER
