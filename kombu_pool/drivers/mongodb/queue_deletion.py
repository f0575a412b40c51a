"""Deletes queues with their messages and subscriptions, any number of them in the same few commands."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import DeleteOne, UpdateOne

from kombu_pool.drivers.mongodb import scan_sentinels, states
from kombu_pool.drivers.mongodb.codec import project_key, project_of
from kombu_pool.drivers.mongodb.store import BATCH_SIZE, one_of, queues_filter

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Any

    from kombu_pool.drivers.mongodb.states import Filter
    from kombu_pool.drivers.mongodb.store import Store
    from kombu_pool.model import Project

    Documents = Sequence[dict[str, Any]]


class QueueDeletion:
    """The deletion of queues, each given as (project, name, incarnation), where None stands for any incarnation."""

    def __init__(self, store: Store, queues: Iterable[tuple[Project, str, str | None]]) -> None:
        self._store = store
        self._named = {(project_key(project), name, incarnation) for project, name, incarnation in queues}

    def run(self) -> None:
        """Delete those queues that bear the incarnations; what was stored for absent queues is deleted, too."""
        names = {(project, name) for project, name, _ in self._named}
        if not names:
            return
        found = [*self._store.queues.find(queues_filter(names), {"p": 1, "q": 1, "a": 1})]
        bearing = [queue for queue in found if self._is_named(queue)]
        names -= {_name(queue) for queue in found if not self._is_named(queue)}
        if names:
            self._store.collection(states.SUBSCRIPTIONS).delete_many(queues_filter(names))
        if bearing and (gone := self._delete_documents(bearing)):
            self._wait_out_caches(gone)
            self._delete_messages(gone)

    def _is_named(self, queue: dict[str, Any]) -> bool:
        """Return whether a queue is to be deleted with the incarnation that it bears."""
        return any((*_name(queue), incarnation) in self._named for incarnation in (queue["a"], None))

    def _named_filter(self, queue: dict[str, Any]) -> Filter:
        """Return the filter of a queue while it bears the incarnation with which it is to be deleted."""
        same = {key: queue[key] for key in ("_id", "p", "q")}
        return same if (*_name(queue), None) in self._named else {**same, "a": queue["a"]}

    def _delete_documents(self, queues: Documents) -> Documents:
        """Delete the documents of queues; return those that are gone: each may bear another incarnation now."""
        # First the documents that lead the collector to the messages, if this process dies after the next step.
        now = self._store.now()
        entries = [
            UpdateOne({"_id": queue["_id"]}, {"$set": {"p": queue["p"], "q": queue["q"], "t": now}}, upsert=True)
            for queue in queues
        ]
        self._store.collection(states.DELETED_QUEUES).bulk_write(entries, ordered=False)
        deletions = [DeleteOne(self._named_filter(queue)) for queue in queues]
        if self._store.queues.bulk_write(deletions, ordered=False).deleted_count == len(queues):
            return queues
        same = {**queues_filter(map(_name, queues)), "_id": one_of([queue["_id"] for queue in queues])}
        left = {queue["_id"] for queue in self._store.queues.find(same, {"_id": 1})}
        return [queue for queue in queues if queue["_id"] not in left]

    def _delete_messages(self, queues: Documents) -> None:
        incarnations = [queue["_id"] for queue in queues]
        scopes: Filter = {**queues_filter(map(_name, queues)), "i": one_of(incarnations)}
        # First the sentinels, which wake the watches.
        sentinels = [one for queue in incarnations for one in scan_sentinels.usual_sentinels({"i": queue})]
        self._store.messages.delete_many({**scopes, "_id": {"$in": sentinels}}, hint=states.BY_ID)
        limit = BATCH_SIZE * len(queues)
        if self._store.remove(scopes, limit) >= limit:
            # The collector removes the rest; no process may claim a message of it after this returns.
            self._wait_out_caches(queues, for_claims=True)

    def _wait_out_caches(self, queues: Documents, *, for_claims: bool = False) -> None:
        scopes = [(project_of(queue["p"]), queue["q"]) for queue in queues]
        self._store.wait_out_caches_of(scopes, for_claims=for_claims)


def _name(queue: dict[str, Any]) -> tuple[str, str]:
    return queue["p"], queue["q"]
