"""Gives back the space of what has expired, queue by queue."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.keys import name_of, project_of
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.store import AGAIN, TAKE_DEAD

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.drivers.redis.subscriptions import SubscriptionController
    from kombu_pool.model import Project

_COLLECT = script("collect", repeatable=True, writes=False)
_AT_ONCE = 100


class Collector:
    """Settles every queue of the store."""

    def __init__(self, store: Store, subscriptions: SubscriptionController) -> None:
        self._store = store
        self._subscriptions = subscriptions

    def collect(self) -> int:
        """Collect everywhere; return how many messages, claims and subscriptions went."""
        return sum(self._collect(project, queue) for project, queue in self._queues())

    def _collect(self, project: Project, queue: str) -> int:
        keys = self._store.keys(project, queue)
        gone, more = 0, True
        while more:
            answer = self._store.link.call(_COLLECT, keys.states, self._store.now())
            if answer is None:
                return gone
            state, went = answer
            if state == TAKE_DEAD:
                self._store.mourn(keys)
            more = state in AGAIN
            gone += went
        return gone + self._subscriptions.collect(project, queue)

    def _queues(self) -> Iterator[tuple[Project, str]]:
        after = b"-"
        while True:
            members = self._store.link.command("ZRANGEBYLEX", self._store.index, after, "+", "LIMIT", 0, _AT_ONCE)
            for member in members:
                key, _, name = member.partition(b"/")
                yield project_of(key.decode()), name_of(name)
            if len(members) < _AT_ONCE:
                return
            after = b"(" + members[-1]
