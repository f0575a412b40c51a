"""The holders of queues, and the queues whose lifetime is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.memory.control.store import StoredHolder, StoredUsage
from kombu_pool.model import DELETING
from kombu_pool.storage import ConsumersController as Contract

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.control.store import ControlStore
    from kombu_pool.model import Project


class ConsumersController(Contract):
    """Holders, in a dictionary for each queue."""

    def __init__(self, store: ControlStore, clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def set_lifetime(self, queue: str, after: float, project: Project = None, from_now: bool = False) -> None:
        with self._store.lock:
            usage = self._usage(queue, project)
            usage.lifetime = after
            if from_now:
                usage.counts_since = self._clock.time()

    def touch(self, queue: str, project: Project = None) -> bool:
        with self._store.lock:
            now = self._clock.time()
            if self._store.is_expired((project, queue), now):
                return False
            usage = self._store.usage.get((project, queue))
            if usage is not None and usage.used_until() is not None:
                usage.counts_since = now
            return True

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
        with self._store.lock:
            now = self._clock.time()
            if incarnation is not None:
                found = self._store.catalogue.get((project, queue))
                if found is None or found.incarnation != incarnation or found.state == DELETING:
                    return False
                if self._store.is_expired((project, queue), now):
                    return False
            self._usage(queue, project).holders[holder] = StoredHolder(now + ttl, consuming)
            return True

    def renew(self, holders: Sequence[str], ttl: float) -> Sequence[str]:
        with self._store.lock:
            expires = self._clock.time() + ttl
            gone = dict.fromkeys(holders)
            for holder, usage in self._held_by(holders):
                usage.holders[holder].expires = expires
                gone.pop(holder, None)
            return [*gone]

    def holders(self, prefix: str) -> Sequence[str]:
        with self._store.lock:
            now = self._clock.time()
            holders = (held for usage in self._store.usage.values() for held in usage.holders.items())
            return [*dict.fromkeys(name for name, held in holders if name.startswith(prefix) and held.expires > now)]

    def remove_holders(self, holders: Sequence[str]) -> None:
        with self._store.lock:
            now = self._clock.time()
            for holder, usage in self._held_by(holders):
                held = usage.holders[holder]
                # The holder may have expired earlier; then that moment counts.
                usage.counts_since = max(usage.counts_since or 0.0, min(held.expires, now))
            for usage in self._store.usage.values():
                for holder in holders:
                    usage.holders.pop(holder, None)

    def count(self, queue: str, project: Project = None) -> int:
        with self._store.lock:
            now = self._clock.time()
            usage = self._store.usage.get((project, queue), StoredUsage())
            return sum(held.consuming and held.expires > now for held in usage.holders.values())

    def consumers(self, queue: str, project: Project = None) -> Sequence[str]:
        with self._store.lock:
            now = self._clock.time()
            holders = self._store.usage.get((project, queue), StoredUsage()).holders
            return [name for name, held in holders.items() if held.consuming and held.expires > now]

    def expired_queues(self, limit: int = 100) -> Sequence[tuple[Project, str]]:
        with self._store.lock:
            now = self._clock.time()
            return [scope for scope in self._store.usage if self._store.is_expired(scope, now)][:limit]

    def expire(self, queue: str, project: Project = None, *, unused: str | None = None) -> bool:
        scope = (project, queue)
        with self._store.lock:
            assigned = self._store.catalogue.get(scope)
            if unused is not None:
                if assigned is None or assigned.state == DELETING or assigned.incarnation != unused:
                    return False
                if self.count(queue, project):
                    return False
            elif not self._store.is_expired(scope, self._clock.time()):
                return False
            self._store.usage.pop(scope, None)
            if assigned is not None:
                self._store.begin_deletion(scope, assigned)
            return True

    def _usage(self, queue: str, project: Project) -> StoredUsage:
        return self._store.usage.setdefault((project, queue), StoredUsage())

    def _held_by(self, holders: Sequence[str]) -> Iterator[tuple[str, StoredUsage]]:
        for usage in self._store.usage.values():
            for holder in holders:
                if holder in usage.holders:
                    yield holder, usage
