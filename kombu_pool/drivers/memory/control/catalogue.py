"""The catalogue, and the lives of queues that it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kombu_pool.drivers.memory.codec import QueueRecord
from kombu_pool.drivers.memory.control.store import StoredHolder, StoredUsage
from kombu_pool.errors import PoolDoesNotExist
from kombu_pool.model import ACTIVE, CREATING, DELETING, EXPIRED, RESERVED, Assignment
from kombu_pool.storage import CatalogueController as Contract

if TYPE_CHECKING:
    from collections.abc import Sequence

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.control.registry import Registry
    from kombu_pool.drivers.memory.control.store import ControlStore
    from kombu_pool.model import CatalogueEntry, Expiry, Metadata, Project


class CatalogueController(Contract):
    """The catalogue, in a dictionary."""

    def __init__(self, store: ControlStore, registry: Registry, clock: Clock) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock

    def list(self, project: Project) -> Sequence[CatalogueEntry]:
        with self._store.lock:
            names = sorted(queue for owner, queue in self._store.catalogue if owner == project)
            return [self.get(project, queue) for queue in names if self.exists(project, queue)]

    def insert(self, project: Project, queue: str, pool: str) -> None:
        with self._store.lock:
            self._store.catalogue[project, queue] = self._new(pool, RESERVED)

    def delete(self, project: Project, queue: str, *, incarnation: str | None = None) -> None:
        with self._store.lock:
            found = self._store.catalogue.get((project, queue))
            if incarnation is None:
                self._store.catalogue.pop((project, queue), None)
                self._store.counters.pop((project, queue), None)
            elif found is not None and (found.incarnation, found.state) == (incarnation, DELETING):
                del self._store.catalogue[project, queue]

    def drop_all(self) -> None:
        with self._store.lock:
            self._store.catalogue.clear()
            self._store.counters.clear()

    def find_until(self, project: Project, queue: str) -> tuple[Assignment | None, float]:
        with self._store.lock:
            found, ends = self._store.catalogue.get((project, queue)), self._store.expires((project, queue))
            if found is not None and found.state != DELETING and ends <= self._clock.time():
                found = found._replace(state=EXPIRED)
            return found, ends

    def assign(
        self, project: Project, queue: str, pool: str, *, replaces: Assignment | None = None, lease: float | None = None
    ) -> tuple[Assignment, bool]:
        scope = (project, queue)
        with self._store.lock:
            found = self._store.catalogue.get(scope)
            if found is not None and (found != replaces or found.state == DELETING):
                return found, False
            if not self._registry.has_pool(pool):
                raise PoolDoesNotExist(pool)
            assigned = self._store.catalogue[scope] = self._new(pool, RESERVED if lease is None else CREATING)
            if lease is not None and scope not in self._store.queues:
                usage = self._store.usage.setdefault(scope, StoredUsage())
                usage.lifetime, usage.counts_since = lease, self._clock.time()
            return assigned, True

    def activate(
        self,
        project: Project,
        queue: str,
        incarnation: str,
        metadata: Metadata | None = None,
        expiry: Expiry | None = None,
    ) -> bool:
        scope = (project, queue)
        with self._store.lock:
            found = self._store.catalogue.get(scope)
            if found is None or (found.incarnation, found.state) != (incarnation, CREATING):
                return False
            self._store.catalogue[scope] = found._replace(state=ACTIVE)
            if scope not in self._store.queues:
                self._store.queues[scope] = QueueRecord(metadata or {})
                self._set_expiry(scope, expiry)
            return True

    def begin_deletion(self, project: Project, queue: str, incarnation: str) -> bool:
        with self._store.lock:
            found = self._store.catalogue.get((project, queue))
            if found is None or found.incarnation != incarnation:
                return False
            self._store.begin_deletion((project, queue), found)
            return True

    def deletions(self, limit: int = 100) -> Sequence[tuple[Project, str, Assignment]]:
        with self._store.lock:
            lives = self._store.catalogue.items()
            return [(*scope, life) for scope, life in lives if life.state == DELETING][:limit]

    def replace(self, project: Project, queue: str, found: Assignment, changed: Assignment) -> bool:
        scope = (project, queue)
        with self._store.lock:
            is_present = self._store.catalogue.get(scope) == found
            if not is_present or self._store.is_expired(scope, self._clock.time()):
                return False
            for pool in changed.pools - found.pools:
                if not self._registry.has_pool(pool):
                    raise PoolDoesNotExist(pool)
            self._store.catalogue[scope] = changed
            return True

    def moves(self, limit: int = 1000) -> Sequence[tuple[Project, str, Assignment]]:
        with self._store.lock:
            lives = self._store.catalogue.items()
            return [(*scope, life) for scope, life in lives if life.move is not None][:limit]

    def _new(self, pool: str, state: str) -> Assignment:
        return Assignment(pool, self._store.next_incarnation(), state)

    def _set_expiry(self, scope: tuple[Project, str], expiry: Expiry | None) -> None:
        usage = self._store.usage.setdefault(scope, StoredUsage())
        usage.lifetime = usage.counts_since = None
        if expiry is not None:
            now = self._clock.time()
            usage.lifetime = expiry.after
            if expiry.from_now:
                usage.counts_since = now
            if expiry.holder is not None:
                usage.holders[expiry.holder] = StoredHolder(now + expiry.holder_ttl, consuming=False)
