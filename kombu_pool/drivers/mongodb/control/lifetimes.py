"""The lifetimes of queues, each in the document of its queue, and their ends, which the holders postpone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne

from kombu_pool.drivers.mongodb.codec import NEVER
from kombu_pool.drivers.mongodb.control.tables import HOLDERS, QUEUES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.drivers.mongodb.states import Filter

    Pipeline = list[dict[str, Any]]


class Lifetimes:
    """The ends of lifetimes.

    Up to the time ``w`` in its document a queue has not expired. After that its holders are read, in a second command.
    """

    def __init__(self, tables: Tables, clock: Clock) -> None:
        self._tables = tables
        self._clock = clock

    def now(self) -> float:
        """Return the store's time."""
        return self._tables.client.now(self._clock)

    def to_driver_time(self, at: float) -> float:
        """Return a time of the store by the driver's clock."""
        return at if at == NEVER else at - self.now() + self._clock.time()

    def end(self, found: Mapping[str, Any]) -> float:
        """Return the time before which the queue of a document does not expire; it is over if the queue has expired."""
        if found.get("l") is None:
            return NEVER
        if found["w"] > self.now():
            return float(found["w"])
        usage = self.read({"_id": found["_id"]})
        return NEVER if usage is None else end_of(usage)

    def has_expired(self, found: Mapping[str, Any]) -> bool:
        """Return whether the queue of a document has expired."""
        return self.end(found) <= self.now()

    def update_unexpired(self, where: Filter, update: Any, now: float) -> bool:
        """Update a queue's document, unless the queue has expired; return False if so, or if there is none."""
        unexpired = {**where, "$or": [{"l": None}, {"w": {"$gt": now}}]}
        while not self._tables[QUEUES].update_one(unexpired, update).matched_count:
            usage = self.read(where)
            if usage is None or end_of(usage) <= now:
                return False
            self.postpone([(usage, end_of(usage))])
        return True

    def read(self, where: Filter) -> dict[str, Any] | None:
        """Return the usage of a queue: the fields of its lifetime, and its last holder."""
        return next(iter(self.read_many(where)), None)

    def read_many(self, where: Filter) -> list[dict[str, Any]]:
        """Return the usage of each matching queue."""
        return [*self._tables[QUEUES].aggregate([{"$match": where}, *self._usage()])]

    def due(self, now: float, skip: int, limit: int) -> list[dict[str, Any]]:
        """Return the usage of queues that may have expired."""
        waiting: Pipeline = [{"$match": due_filter(now)}, {"$sort": {"w": 1, "_id": 1}}]
        return [*self._tables[QUEUES].aggregate([*waiting, {"$skip": skip}, {"$limit": limit}, *self._usage()])]

    def postpone(self, in_use: Sequence[tuple[Mapping[str, Any], float]]) -> None:
        """Set the earliest ends of queues in use, unless they changed since."""
        lifetime = {"l": {"$ne": None}}
        updates = [
            UpdateOne({"_id": usage["_id"], "w": usage.get("w"), **lifetime}, {"$set": {"w": end}})
            for usage, end in in_use
        ]
        if updates:
            self._tables[QUEUES].bulk_write(updates, ordered=False)

    def _usage(self) -> Pipeline:
        """Return the stages that leave the fields of a queue's lifetime, and add the expiry of its last holder."""
        same = [{"$eq": [f"${key}", f"$${key}"]} for key in ("p", "q")]
        held = {"n": None, "$expr": {"$and": same}}
        last: Pipeline = [{"$match": held}, {"$sort": {"x": -1}}, {"$limit": 1}, {"$project": {"x": 1}}]
        holders = {"from": self._tables[HOLDERS].name, "let": {"p": "$p", "q": "$q"}, "pipeline": last, "as": "held"}
        return [{"$project": dict.fromkeys(("p", "q", "l", "s", "w"), 1)}, {"$lookup": holders}]


def due_filter(now: float) -> Filter:
    """Return the filter of the queues that may have expired."""
    return {"w": {"$gt": 0, "$lte": now}}


def end_of(usage: Mapping[str, Any]) -> float:
    """Return the time at which a queue expires by its last use."""
    if usage.get("l") is None or not counts(usage):
        return NEVER
    moments = [held["x"] for held in usage["held"]]
    if usage.get("s") is not None:
        moments.append(usage["s"])
    return float(max(moments) + usage["l"])


def is_over(usage: Mapping[str, Any], now: float) -> bool:
    """Return whether a queue has expired."""
    return end_of(usage) <= now and float(usage.get("w", now)) <= now


def counts(usage: Mapping[str, Any]) -> bool:
    """Return whether the queue was held or touched, so that its lifetime counts."""
    return bool(usage["held"]) or usage.get("s") is not None


def use_update(now: float, until: float) -> Pipeline:
    """Return the update of a queue that is held from now until some time."""
    return [{"$set": {"s": _if_lifetime({"$max": ["$s", now]}, "s"), "w": _if_lifetime(until, "w")}}, {"$unset": "d"}]


def touch_update(now: float) -> Pipeline:
    """Return the update that restarts a queue's lifetime."""
    return [
        {"$set": {"s": now, "w": _if_lifetime({"$max": ["$w", {"$add": [now, "$l"]}]}, "w")}},
        {"$unset": "d"},
    ]


def end_of_use_update(at: float) -> Pipeline:
    """Return the update of a queue that is held no longer than that by one of its holders."""
    last = {"$set": {"s": {"$max": ["$s", at]}}}
    return [last, {"$set": {"w": _if_lifetime({"$add": ["$s", "$l"]}, "w")}}, {"$unset": "d"}]


def _if_lifetime(value: Any, otherwise: str) -> dict[str, Any]:
    """Return an expression: the value for a queue with a lifetime, and the field as it is for any other."""
    return {"$cond": [{"$gt": ["$l", None]}, value, f"${otherwise}"]}
