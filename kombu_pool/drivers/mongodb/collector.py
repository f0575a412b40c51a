"""Deletes expired messages and subscriptions queue by queue, and the rest of deleted queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.codec import IDEMPOTENCY_RECORD, PARTIAL, project_of
from kombu_pool.drivers.mongodb.posting import MessageWriter
from kombu_pool.drivers.mongodb.store import scopes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.dead_letters import DeadLetters
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.drivers.mongodb.subscriptions import SubscriptionController

#: Time after which a post that is not complete has no producer any more, in seconds: longer than any call waits.
_POST_TIMEOUT = 120.0
#: Number of queues per command.
_QUEUES_BATCH = 100


class Collector:
    """Goes through all queues of the store."""

    def __init__(self, store: Store, dead_letters: DeadLetters, subscriptions: SubscriptionController) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._subscriptions = subscriptions
        self._writer = MessageWriter(store)

    def collect(self) -> int:
        """Collect everywhere; return the number of deleted messages and subscriptions."""
        now, size = self._store.now(), _QUEUES_BATCH
        with self._store.client.translated():
            deleted = list(self._store.collection(states.DELETED_QUEUES).find())
            gone = self._subscriptions.collect_all(now)
            gone += sum(self._empty(deleted[at : at + size], now) for at in range(0, len(deleted), size))
            for found in self._with_garbage(list(self._store.queues.find({}, {"m": 0})), now):
                scope = {"p": found["p"], "q": found["q"], "i": found["_id"]}
                # First: an expired idempotency record may mark a post complete.
                gone += self._finish_posts(scope, now)
                gone += self._remove_expired(found, scope, now)
                gone += self._store.remove({**scope, "s": IDEMPOTENCY_RECORD, **states.expired(now)})
        return gone

    def _with_garbage(self, queues: Sequence[dict[str, Any]], now: float) -> list[dict[str, Any]]:
        """Return the queues with something to collect: most have nothing."""
        garbage = (states.expired(now), states.BY_EXPIRY), (_abandoned(now), states.BY_ORDER)
        incarnations: set[bytes] = set()
        for start in range(0, len(queues), _QUEUES_BATCH):
            names = [(one["p"], one["q"], one["_id"]) for one in queues[start : start + _QUEUES_BATCH]]
            for scopes in scopes_of(names):
                for where, hint in garbage:
                    group: list[dict[str, Any]] = [{"$match": {**scopes, **where}}, {"$group": {"_id": "$i"}}]
                    incarnations.update(one["_id"] for one in self._store.messages.aggregate(group, hint=hint))
        return [one for one in queues if one["_id"] in incarnations]

    def _remove_expired(self, queue: dict[str, Any], scope: Filter, now: float) -> int:
        """Delete expired messages; those that the queue's policy makes dead letters are marked dead instead."""
        if "e" not in queue:
            return self._store.remove({**scope, **states.expired(now)})
        found = self._store.queue(project_of(queue["p"]), queue["q"])
        if found is not None:
            self._dead_letters.expire(found)
        return self._store.remove({**scope, **states.expired(queue["e"])})

    def _empty(self, deleted: Sequence[dict[str, Any]], now: float) -> int:
        """Delete the rest of deleted queues."""
        ids = {"_id": {"$in": [queue["_id"] for queue in deleted]}}
        # A process that recorded a deletion may have died before it deleted the queue.
        existing = {found["_id"] for found in self._store.queues.find(ids, {"_id": 1})}
        gone = [queue for queue in deleted if queue["_id"] not in existing]
        if not gone:
            return 0
        scopes = {"$or": [{"p": queue["p"], "q": queue["q"], "i": queue["_id"]} for queue in gone]}
        count = self._store.remove(scopes)
        # Not earlier: a producer may have read the queue just before its deletion.
        if old := [queue["_id"] for queue in gone if now - queue["t"] > _POST_TIMEOUT]:
            self._store.collection(states.DELETED_QUEUES).delete_many({"_id": {"$in": old}})
        return count

    def _finish_posts(self, scope: Filter, now: float) -> int:
        """Make the messages of abandoned posts visible if all were stored; delete them otherwise."""
        partial = {**scope, **_abandoned(now)}
        count = 0
        for post in {found["o"] for found in self._store.messages.find(partial, {"o": 1})}:
            if self._writer.is_complete(scope, post):
                count += self._writer.make_visible({**scope, "s": PARTIAL, "o": post}, post)
            else:
                count += self._store.remove({**scope, "s": PARTIAL, "o": post})
        return count


def _abandoned(now: float) -> Filter:
    """Partial messages whose producer must have died."""
    return {"s": PARTIAL, "t": {"$lte": now - _POST_TIMEOUT}}
