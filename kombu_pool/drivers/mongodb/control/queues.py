"""The controller of the control plane's queues, which have names and metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from kombu_pool.drivers.mongodb.codec import project_key
from kombu_pool.drivers.mongodb.control.tables import QUEUES
from kombu_pool.drivers.mongodb.queue_listing import queues_by_name
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, QueueController, page
from kombu_pool.storage.policy import read, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.drivers.mongodb.control.lifetimes import Lifetimes
    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import Metadata, Project


#: Matches the documents of queues that have a record.
_HAS_RECORD: Final = {"m": {"$exists": True}}


class RecordedQueues(QueueController):
    """Queues without messages: records, each in the document of its queue."""

    def __init__(self, tables: Tables, lifetimes: Lifetimes) -> None:
        self._tables = tables
        self._lifetimes = lifetimes

    def list(
        self,
        project: Project = None,
        kfilter: Mapping[str, Any] = {},
        marker: str | None = None,
        limit: int = DEFAULT_LIMIT,
        detailed: bool = False,
        name: str | None = None,
    ) -> Iterator[Any]:
        with self._tables.client.translated():
            queues = queues_by_name(self._tables[QUEUES], project, kfilter, marker, limit, name, detailed=detailed)
        return page(queues, lambda item: str(item["name"]))

    def get(self, name: str, project: Project = None) -> Metadata:
        found = self._find(name, project, "m")
        if found is None:
            raise QueueDoesNotExist(name, project)
        return read(found["m"])

    def _find(self, name: str, project: Project, *fields: str) -> dict[str, Any] | None:
        """Return these fields of a queue that has a record and has not expired."""
        recorded = {**queue_filter(project, name), **_HAS_RECORD}
        with self._tables.client.translated():
            found = self._tables[QUEUES].find_one(recorded, ("l", "w", *fields))
            return None if found is None or self._lifetimes.has_expired(found) else found

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        stored = write(metadata)
        with self._tables.client.translated():
            recorded = {**queue_filter(project, name), **_HAS_RECORD}
            changed = self._lifetimes.update_unexpired(recorded, {"$set": {"m": stored}}, self._lifetimes.now())
        if not changed:
            raise QueueDoesNotExist(name, project)

    def create(
        self,
        name: str,
        metadata: Metadata | None = None,
        project: Project = None,
        *,
        incarnation: str | None = None,
        replaces: str | None = None,
    ) -> bool:
        record = write(metadata or {})
        if self.exists(name, project):
            return False
        with self._tables.client.translated():
            update = [{"$set": {"m": {"$ifNull": ["$m", {"$literal": record}]}}}]
            before = self._tables.upsert(QUEUES, queue_filter(project, name), update, after=False)
        return before is None or "m" not in before

    def exists(self, name: str, project: Project = None) -> bool:
        return self._find(name, project) is not None

    def delete(self, name: str, project: Project = None, *, incarnation: str | None = None) -> None:
        with self._tables.client.translated():
            self._tables.remove_part("record", queue_filter(project, name))

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        if not self.exists(name, project):
            raise QueueDoesNotExist(name, project)
        return {"messages": {"claimed": 0, "free": 0, "total": 0}}

    def calculate_resource_count(self, project: Project = None) -> int:
        with self._tables.client.translated():
            return self._tables[QUEUES].count_documents({"p": project_key(project), **_HAS_RECORD})
