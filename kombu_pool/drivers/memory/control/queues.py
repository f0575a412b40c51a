"""The queues of the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.memory.codec import QueueRecord
from kombu_pool.drivers.memory.queues import QueueMetadataController
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.storage.queue_metadata import is_found

if TYPE_CHECKING:
    from kombu_pool.clock import Clock
    from kombu_pool.drivers.memory.control.store import ControlStore, Scope
    from kombu_pool.model import Metadata, Project


class QueueController(QueueMetadataController[QueueRecord]):
    """Queues of an in-memory control store, which holds no messages."""

    def __init__(self, store: ControlStore, clock: Clock) -> None:
        super().__init__(store.lock, store.queues)
        self._store = store
        self._clock = clock

    def _new(self, scope: Scope, metadata: Metadata) -> QueueRecord:
        return QueueRecord(metadata)

    def exists(self, name: str, project: Project = None) -> bool:
        return is_found(self.get, name, project)

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        with self._lock:
            self._require(name, project)
        return {"messages": {"claimed": 0, "free": 0, "total": 0}}

    def _require(self, name: str, project: Project) -> QueueRecord:
        if self._store.is_expired((project, name), self._clock.time()):
            raise QueueDoesNotExist(name, project)
        return super()._require(name, project)
