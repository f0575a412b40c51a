"""Queues and their metadata in either plane, and the message store's count of their messages."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from kombu_pool.drivers.memory.codec import QueueRecord
from kombu_pool.drivers.queue_stats import queue_stats
from kombu_pool.errors import IncarnationConflict, QueueDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, page
from kombu_pool.storage import QueueController as Contract

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterator, Mapping

    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.store import DataStore, Scope, StoredQueue
    from kombu_pool.model import Metadata, Project


AnyQueue = TypeVar("AnyQueue", bound=QueueRecord)


class QueueMetadataController(Contract, Generic[AnyQueue]):
    """The verbs that are the same in both planes."""

    def __init__(self, lock: threading.RLock, queues: dict[Scope, AnyQueue]) -> None:
        self._lock = lock
        self._queues = queues

    @abstractmethod
    def _new(self, scope: Scope, metadata: Metadata) -> AnyQueue:
        """Return an empty queue."""

    def list(
        self,
        project: Project = None,
        kfilter: Mapping[str, Any] = {},
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        detailed: bool = False,
        name: str | None = None,
    ) -> Iterator[Any]:
        with self._lock:
            names = sorted(
                queue
                for (owner, queue), record in self._queues.items()
                if owner == project and _matches(queue, record.metadata, kfilter, marker, name)
            )
            views = [self._view(project, queue, detailed) for queue in names[: limit or None]]
        return page(views, lambda item: str(item["name"]))

    def _view(self, project: Project, name: str, detailed: bool) -> dict[str, Any]:
        if detailed:
            return {"name": name, "metadata": self._queues[project, name].copy()}
        return {"name": name}

    def get(self, name: str, project: Project = None) -> Metadata:
        with self._lock:
            return self._require(name, project).copy()

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        with self._lock:
            self._require(name, project).replace(metadata)

    def create(
        self,
        name: str,
        metadata: Metadata | None = None,
        project: Project = None,
        *,
        incarnation: str | None = None,
        replaces: str | None = None,
    ) -> bool:
        with self._lock:
            if (project, name) in self._queues:
                return False
            self._queues[project, name] = self._new((project, name), metadata or {})
            return True

    def exists(self, name: str, project: Project = None) -> bool:
        return (project, name) in self._queues

    def delete(self, name: str, project: Project = None, *, incarnation: str | None = None) -> None:
        with self._lock:
            self._queues.pop((project, name), None)

    def calculate_resource_count(self, project: Project = None) -> int:
        with self._lock:
            return sum(owner == project for owner, _ in self._queues)

    def _require(self, name: str, project: Project) -> AnyQueue:
        try:
            return self._queues[project, name]
        except KeyError:
            raise QueueDoesNotExist(name, project) from None


class QueueController(QueueMetadataController["StoredQueue"]):
    """Queues of an in-memory message store."""

    def __init__(self, store: DataStore, clock: Clock) -> None:
        super().__init__(store.lock, store.queues)
        self._store = store
        self._clock = clock

    def _new(self, scope: Scope, metadata: Metadata) -> StoredQueue:
        return self._store.new_queue(scope, metadata)

    def create(
        self,
        name: str,
        metadata: Metadata | None = None,
        project: Project = None,
        *,
        incarnation: str | None = None,
        replaces: str | None = None,
    ) -> bool:
        with self._lock:
            found = self._queues.get((project, name))
            if found is None:
                found = self._queues[project, name] = self._new((project, name), metadata or {})
            elif incarnation in (None, found.incarnation):
                return False
            elif replaces != found.incarnation:
                raise IncarnationConflict(name, project, found.incarnation)
            else:
                found.replace(metadata or {})
            found.bear(incarnation or "")
            return True

    def delete(self, name: str, project: Project = None, *, incarnation: str | None = None) -> None:
        with self._lock:
            found = self._queues.get((project, name))
            if found is not None and incarnation not in (None, found.incarnation):
                return
            self._store.subscriptions.pop((project, name), None)
            super().delete(name, project)
            self._store.wake((project, name))

    def pause(self, name: str, project: Project = None) -> None:
        with self._lock:
            self._require(name, project).paused = True

    def resume(self, name: str, project: Project = None) -> None:
        with self._lock:
            self._require(name, project).paused = False
            self._store.wake((project, name))

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        with self._lock:
            now = self._clock.time()
            found = self._store.require(project, name, now)
            backlog = found.backlog
            stored, claimed = backlog.messages.values(), backlog.count_claimed()
            # Not the first and the last that were stored here: those of a move are older.
            ends = [pick(stored, key=lambda one: one.created) for pick in (min, max)] if stored else []
            posted = [(one.id, one.created) for one in ends]
            return queue_stats(claimed, len(stored) - claimed, posted, now, paused=found.paused)


def _matches(queue: str, metadata: Metadata, kfilter: Mapping[str, Any], marker: str | None, name: str | None) -> bool:
    return (
        (not marker or queue > marker)
        and (name is None or name in queue)
        and all(key in metadata and metadata[key] == value for key, value in kfilter.items())
    )
