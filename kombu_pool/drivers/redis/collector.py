"""Deletes what has expired, queue by queue."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from kombu_pool.drivers.redis.keys import name_of, project_of
from kombu_pool.drivers.redis.scripts import script
from kombu_pool.drivers.redis.store import RUN_AGAIN, TAKE_DEAD
from kombu_pool.errors import PartUnavailable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kombu_pool.drivers.redis.keys import KeySets
    from kombu_pool.drivers.redis.store import Store
    from kombu_pool.drivers.redis.subscriptions import SubscriptionController
    from kombu_pool.model import Project

_COLLECT = script("collect", repeatable=True)
#: Queues that are read in one round trip.
_PAGE_SIZE = 100


class Collector:
    """Advances the states of every queue of the store."""

    def __init__(self, store: Store, subscriptions: SubscriptionController) -> None:
        self._store = store
        self._subscriptions = subscriptions

    def collect(self) -> int:
        """Delete what has expired; return the number of messages, claims and subscriptions."""
        return sum(self._collect(scopes) for scopes in self._pages())

    def _collect(self, scopes: Sequence[tuple[Project, str]]) -> int:
        store = self._store
        queues = [store.keys(*scope) for scope in scopes]
        replies = store.client.calls_where_reachable(_COLLECT, [(keys.states, (store.now(),)) for keys in queues])
        count = sum(self._collect_rest(keys, reply) for keys, reply in zip(queues, replies, strict=True))
        with suppress(PartUnavailable):
            count += sum(self._subscriptions.collect(*scope) for scope in self._subscriptions.subscribed(scopes))
        return count

    def _collect_rest(self, keys: KeySets, reply: tuple[bytes, int] | None) -> int:
        """Run the script again for a queue as often as its replies ask for; return the number in all replies."""
        count = 0
        while reply is not None:
            state, collected = reply
            count += collected
            if state == TAKE_DEAD:
                self._store.mark_expired_dead(keys)
            if state not in RUN_AGAIN:
                break
            reply = self._store.client.call(_COLLECT, keys.states, self._store.now())
        return count

    def _pages(self) -> Iterator[Sequence[tuple[Project, str]]]:
        after = b"-"
        while True:
            members = self._store.client.command("ZRANGEBYLEX", self._store.index, after, "+", "LIMIT", 0, _PAGE_SIZE)
            keys = [member.partition(b"/") for member in members]
            yield [(project_of(key.decode()), name_of(name)) for key, _, name in keys]
            if len(members) < _PAGE_SIZE:
                return
            after = b"(" + members[-1]
