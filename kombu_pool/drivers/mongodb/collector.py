"""Gives back the space of what has expired, queue by queue, and of what is left of deleted queues."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.codec import IDEMPOTENCY_RECORD, PARTIAL, project_of
from kombu_pool.drivers.mongodb.posting import MessageWriter

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.drivers.mongodb.dead_letters import DeadLetters
    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.drivers.mongodb.subscriptions import SubscriptionController

#: Seconds after which nobody is in the middle of a post any more: longer than any call waits.
_ABANDONED = 120.0
#: Deleted queues that are looked after at once.
_GRAVES = 100


class Collector:
    """Looks through every queue of the store."""

    def __init__(self, store: Store, dead_letters: DeadLetters, subscriptions: SubscriptionController) -> None:
        self._store = store
        self._dead_letters = dead_letters
        self._subscriptions = subscriptions
        self._writer = MessageWriter(store)

    def collect(self) -> int:
        """Collect everywhere; return how many messages and subscriptions went."""
        now = self._store.now()
        with self._store.client.translated():
            deleted = list(self._store.collection(states.DELETED_QUEUES).find())
            gone = sum(self._exhume(deleted[at : at + _GRAVES], now) for at in range(0, len(deleted), _GRAVES))
            for found in self._store.queues.find({}, {"m": 0}):
                scope = {"p": found["p"], "q": found["q"], "i": found["_id"]}
                # Before what has expired goes: the receipts by which a post is known to be whole are of that.
                gone += self._finish(scope, now)
                gone += self._remove_expired(found, scope, now)
                gone += self._subscriptions.collect(scope, now)
                gone += self._store.remove({**scope, "s": IDEMPOTENCY_RECORD, **states.expired(now)})
        return gone

    def _remove_expired(self, queue: dict[str, Any], scope: Filter, now: float) -> int:
        """Remove what has expired, but what expired since the queue buries such: that is dead."""
        if "e" not in queue:
            return self._store.remove({**scope, **states.expired(now)})
        found = self._store.queue(project_of(queue["p"]), queue["q"])
        if found is not None:
            self._dead_letters.expire(found)
        return self._store.remove({**scope, **states.expired(queue["e"])})

    def _exhume(self, deleted: Sequence[dict[str, Any]], now: float) -> int:
        """Remove what is left of deleted queues."""
        ids = {"_id": {"$in": [deleted["_id"] for deleted in deleted]}}
        # Whoever was about to delete one of these died before that.
        living = {found["_id"] for found in self._store.queues.find(ids, {"_id": 1})}
        dead = [deleted for deleted in deleted if deleted["_id"] not in living]
        if not dead:
            return 0
        scopes = {"$or": [{"p": deleted["p"], "q": deleted["q"], "i": deleted["_id"]} for deleted in dead]}
        gone = self._store.remove(scopes)
        gone += self._store.collection(states.SUBSCRIPTIONS).delete_many(scopes).deleted_count
        # Not before: who posts may have seen the queue just before it went.
        if old := [deleted["_id"] for deleted in dead if now - deleted["t"] > _ABANDONED]:
            self._store.collection(states.DELETED_QUEUES).delete_many({"_id": {"$in": old}})
        return gone

    def _finish(self, scope: Filter, now: float) -> int:
        """Bring posts to an end that were given up half-way: to the good one where all messages are stored."""
        hidden = {**scope, "s": PARTIAL, "t": {"$lte": now - _ABANDONED}}
        gone = 0
        for post in {found["o"] for found in self._store.messages.find(hidden, {"o": 1})}:
            if self._writer.is_complete(scope, post):
                gone += self._writer.make_visible({**scope, "s": PARTIAL, "o": post}, post)
            else:
                gone += self._store.remove({**scope, "s": PARTIAL, "o": post})
        return gone
