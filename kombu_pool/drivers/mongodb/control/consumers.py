"""The controller of holders and of the lifetimes of queues."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from pymongo import ReturnDocument, UpdateOne

from kombu_pool.drivers.mongodb.codec import project_key, project_of
from kombu_pool.drivers.mongodb.control.holders import NewHolder, live_holders
from kombu_pool.drivers.mongodb.control.lifetimes import (
    counts,
    end_of,
    end_of_use_update,
    is_over,
    touch_update,
    use_update,
)
from kombu_pool.drivers.mongodb.control.lives import EXPIRY, documents_filter, expiry_with
from kombu_pool.drivers.mongodb.control.tables import HOLDERS, QUEUES, with_id
from kombu_pool.drivers.mongodb.store import queue_filter, queues_filter
from kombu_pool.model import DELETING
from kombu_pool.storage import ConsumersController as Contract

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.drivers.mongodb.control.lifetimes import Lifetimes
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

    def __init__(self, tables: Tables, lives: Lives, lifetimes: Lifetimes) -> None:
        self._tables = tables
        self._client = tables.client
        self._lives = lives
        self._lifetimes = lifetimes

    def set_lifetime(self, queue: str, after: float, project: Project = None, from_now: bool = False) -> None:
        now = self._lifetimes.now()
        values = {"l": after, "w": now, "d": None, **({"s": now, "w": now + after} if from_now else {})}
        with self._client.translated():
            self._tables.upsert(QUEUES, queue_filter(project, queue), {"$set": values})

    def touch(self, queue: str, project: Project = None) -> bool:
        where, now = queue_filter(project, queue), self._lifetimes.now()
        touched = touch_update(now)
        with self._client.translated():
            if self._lifetimes.update_unexpired({**where, "s": {"$ne": None}}, touched, now):
                return True
            usage = self._lifetimes.read(where)
            if usage is None or not counts(usage):
                return True
            return end_of(usage) > now and self._lifetimes.update_unexpired(where, touched, now)

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
        now, where = self._lifetimes.now(), queue_filter(project, queue)
        used = use_update(now, now + ttl)
        with self._client.translated():
            if incarnation is None:
                self._add_unconditionally(where, holder, now, {"x": now + ttl, "c": consuming, "k": None})
                # Also of a queue that has expired: a check that read no holder must not end it, nor postpone the next.
                self._tables[QUEUES].update_one(where, used)
                return True
            new = NewHolder(self._tables, where, holder, incarnation)
            new.store(now + ttl, consuming=consuming)
            held = {**where, "i": incarnation, "f": {"$ne": DELETING}}
            if self._lifetimes.update_unexpired(held, used, now):
                return new.confirm()
            new.take_back()
        return False

    def _add_unconditionally(self, where: Filter, holder: str, now: float, values: dict[str, Any]) -> None:
        self._tables.upsert(HOLDERS, {**where, "h": holder}, {"$set": values, "$unset": {"n": ""}})
        self._tables[HOLDERS].delete_many({**where, "x": {"$lt": now - _HOLDER_RETENTION}})

    def renew(self, holders: Sequence[str], ttl: float) -> Sequence[str]:
        if not holders:
            return []
        now, where = self._lifetimes.now(), {"h": {"$in": list(holders)}}
        with self._client.translated():
            self._tables[HOLDERS].update_many(where, {"$set": {"x": now + ttl}})
            holding = {*self._tables[HOLDERS].distinct("h", where)}
        return [holder for holder in dict.fromkeys(holders) if holder not in holding]

    def holders(self, prefix: str) -> Sequence[str]:
        with self._client.translated():
            found = self._tables[HOLDERS].aggregate(live_holders(prefix, self._lifetimes.now()))
            return [holder for one in found for holder in one["h"]]

    def remove_holders(self, holders: Sequence[str]) -> None:
        if not holders:
            return
        now = self._lifetimes.now()
        where = {"h": {"$in": list(holders)}}
        with self._client.translated():
            found = [*self._tables[HOLDERS].find({**where, "n": None})]
            if found:
                self._tables[QUEUES].bulk_write([_end_of_use(held, now) for held in found])
                old = {"x": {"$lt": now - _HOLDER_RETENTION}}
                dead = [{"p": held["p"], "q": held["q"], **old} for held in found if held["x"] > now]
                self._tables[HOLDERS].delete_many({"$or": [where, *dead]})

    def count(self, queue: str, project: Project = None) -> int:
        now = self._lifetimes.now()
        with self._client.translated():
            where = {**queue_filter(project, queue), **_consuming(now)}
            return self._tables[HOLDERS].count_documents(where)

    def count_many(self, queues: Sequence[tuple[Project, str]]) -> Sequence[int]:
        names = [(project_key(project), queue) for project, queue in queues]
        if not names:
            return []
        where = {**queues_filter(names), **_consuming(self._lifetimes.now())}
        by_queue = {"$group": {"_id": {"p": "$p", "q": "$q"}, "n": {"$sum": 1}}}
        with self._client.translated():
            found = self._tables[HOLDERS].aggregate([{"$match": where}, by_queue])
            counts = {(one["_id"]["p"], one["_id"]["q"]): one["n"] for one in found}
        return [counts.get(name, 0) for name in names]

    def consumers(self, queue: str, project: Project = None) -> Sequence[str]:
        where = {**queue_filter(project, queue), **_consuming(self._lifetimes.now())}
        with self._client.translated():
            return [one["h"] for one in self._tables[HOLDERS].find(where, {"h": 1})]

    def expired_queues(self, limit: int = 100) -> Sequence[tuple[Project, str]]:
        now = self._lifetimes.now()
        found: list[tuple[Project, str]] = []
        with self._client.translated():
            for _ in range(_MAX_ROUNDS):
                wanted = limit - len(found)
                due = [(usage, end_of(usage)) for usage in self._lifetimes.due(now, len(found), wanted)]
                self._lifetimes.postpone([(usage, end) for usage, end in due if end > now])
                found += [(project_of(usage["p"]), usage["q"]) for usage, end in due if end <= now]
                if len(due) < wanted or len(found) == limit:
                    break
        return found

    def expire(self, queue: str, project: Project = None, *, unused: str | None = None) -> bool:
        now, mark = self._lifetimes.now(), secrets.token_hex(8)
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

    def expire_many(self, queues: Sequence[tuple[Project, str]]) -> Sequence[tuple[Project, str]]:
        names = {(project_key(project), queue): (project, queue) for project, queue in queues}
        if not names:
            return []
        now = self._lifetimes.now()
        with self._client.translated():
            due = [usage["_id"] for usage in self._lifetimes.read_many(queues_filter(names)) if is_over(usage, now)]
            ended = {(one["p"], one["q"]) for one in self._expire_due(due, now)} if due else set()
        return [scope for name, scope in names.items() if name in ended]

    def _expire_due(self, due: list[Any], now: float) -> list[dict[str, Any]]:
        """Expire those of the queues that no process used meanwhile; return the documents of these."""
        queues, mark = self._tables[QUEUES], secrets.token_hex(8)
        queues.update_many({"_id": {"$in": due}, "l": {"$ne": None}}, {"$set": {"d": mark}})
        marked: Filter = {"_id": {"$in": due}, "d": mark}
        for unverified in [*queues.find({**marked, "u": True}, {"m": 0})]:
            self._lives.verified(unverified)
        used = [usage["_id"] for usage in self._lifetimes.read_many(marked) if not is_over(usage, now)]
        if used:
            queues.update_many({"_id": {"$in": used}, "d": mark}, {"$unset": {"d": ""}})
        return self._end_lives({**marked, "u": None}, due, now)

    def _end_lives(self, marked: Filter, due: list[Any], now: float) -> list[dict[str, Any]]:
        """Delete the queues that still have the mark, with their holders; return their documents."""
        queues, mark = self._tables[QUEUES], secrets.token_hex(8)
        queues.update_many(marked, expiry_with(mark))
        ended = [*queues.find({"_id": {"$in": due}, "d": mark}, {"p": 1, "q": 1, "i": 1})]
        self._lives.remove_holders_of_all([one for one in ended if "i" in one])
        if unassigned := [one for one in ended if "i" not in one]:
            self._tables[HOLDERS].delete_many({**documents_filter(unassigned), "x": {"$lte": now}})
            self._tables.remove_expired([one["_id"] for one in unassigned])
        return ended

    def _has_expired(self, where: Filter, now: float) -> bool:
        usage = self._lifetimes.read(where)
        return usage is not None and is_over(usage, now)

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


def _consuming(now: float) -> Filter:
    """Return the condition of a live consumer."""
    return {"x": {"$gt": now}, "c": True, "n": None}


def _end_of_use(held: Mapping[str, Any], now: float) -> UpdateOne:
    """Return the update that ends a holder's use of its queue now, or earlier if the holder had expired.

    Only a queue without an assignment need not have a document.
    """
    where, lineage = with_id({"p": held["p"], "q": held["q"]}), held.get("k")
    update = end_of_use_update(min(held["x"], now))
    return UpdateOne(where, update, upsert=True) if lineage is None else UpdateOne({**where, "j": lineage}, update)
