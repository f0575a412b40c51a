"""Deletes what has expired, queue by queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.keys import name_of, project_of
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.store import RUN_AGAIN, TAKE_DEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.drivers.redis.subscriptions import SubscriptionController
    from kombu_pool.model import Project

_COLLECT = script("collect", repeatable=True, writes=False)
#: Queues that are read in one round trip.
_PAGE_SIZE = 100


class Collector:
    """Advances the states of every queue of the store."""

    def __init__(self, store: Store, subscriptions: SubscriptionController) -> None:
        self._store = store
        self._subscriptions = subscriptions

    def collect(self) -> int:
        """Delete what has expired; return the number of messages, claims and subscriptions."""
        return sum(self._collect(project, queue) for project, queue in self._queues())

    def _collect(self, project: Project, queue: str) -> int:
        keys = self._store.keys(project, queue)
        count, more = 0, True
        while more:
            reply = self._store.client.call(_COLLECT, keys.states, self._store.now())
            if reply is None:
                return count
            state, collected = reply
            if state == TAKE_DEAD:
                self._store.mark_expired_dead(keys)
            more = state in RUN_AGAIN
            count += collected
        return count + self._subscriptions.collect(project, queue)

    def _queues(self) -> Iterator[tuple[Project, str]]:
        after = b"-"
        while True:
            members = self._store.client.command("ZRANGEBYLEX", self._store.index, after, "+", "LIMIT", 0, _PAGE_SIZE)
            for member in members:
                key, _, name = member.partition(b"/")
                yield project_of(key.decode()), name_of(name)
            if len(members) < _PAGE_SIZE:
                return
            after = b"(" + members[-1]
