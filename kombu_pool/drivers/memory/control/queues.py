"""The queues of the control plane."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from kombu_pool.drivers.memory.codec import QueueRecord
from kombu_pool.drivers.memory.queues import QueueMetadataController

if TYPE_CHECKING:
    from kombu_pool.drivers.memory.control.store import ControlStore, Scope
    from kombu_pool.model import Metadata, Project


class QueueController(QueueMetadataController[QueueRecord]):
    """Queues of an in-memory control store, which holds no messages."""

    def __init__(self, store: ControlStore) -> None:
        super().__init__(store.lock, store.queues)

    def _new(self, scope: Scope, metadata: Metadata) -> QueueRecord:
        return QueueRecord(metadata)

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        with self._lock:
            self._require(name, project)
        return {"messages": {"claimed": 0, "free": 0, "total": 0}}
