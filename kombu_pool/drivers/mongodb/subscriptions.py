"""The controller of subscriptions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb import states
from kombu_pool.drivers.mongodb.codec import project_of
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.drivers.subscriptions import SubscriptionController as Contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pymongo.collection import Collection

    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.model import Project


class SubscriptionController(Contract):
    """Subscriptions, the record of each queue in a document.

    ``p`` and ``q`` are project and name of the queue, ``r`` is the record, ``x`` the first expiry in it.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._client = store.client

    def read(self, project: Project, queue: str) -> tuple[bytes, float]:
        with self._client.translated():
            found = self._stored.find_one(queue_filter(project, queue))
        return b"" if found is None else found["r"], self._store.now()

    def replace(self, project: Project, queue: str, before: bytes, after: bytes, ends: Sequence[float]) -> bool:
        where = {**queue_filter(project, queue), "r": before}
        with self._client.translated():
            if not after:
                return bool(self._stored.delete_one(where).deleted_count)
            change = {"r": after, "x": min(ends)}
            if before:
                return bool(self._stored.update_one(where, {"$set": change}).matched_count)
            try:
                self._stored.insert_one({**where, **change})
            except DuplicateKeyError:
                return False
        return True

    def collect_all(self, now: float) -> int:
        """Delete the expired subscriptions of all queues; return their number."""
        queues = list(self._stored.find({"x": {"$lte": now}}, {"p": 1, "q": 1}))
        return sum(self.collect(project_of(one["p"]), one["q"]) for one in queues)

    @property
    def _stored(self) -> Collection[dict[str, Any]]:
        return self._store.collection(states.SUBSCRIPTIONS)
