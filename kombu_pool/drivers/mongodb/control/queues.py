"""The controller of the control plane's queues, which have names and metadata."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pymongo.errors import DuplicateKeyError

from kombu_pool.drivers.mongodb.codec import project_key
from kombu_pool.drivers.mongodb.control.tables import QUEUES, with_id
from kombu_pool.drivers.mongodb.queue_listing import queues_by_name
from kombu_pool.drivers.mongodb.store import queue_filter
from kombu_pool.errors import QueueDoesNotExist
from kombu_pool.storage import DEFAULT_LIMIT, QueueController, page
from kombu_pool.storage.policy import read, write

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from kombu_pool.drivers.mongodb.control.tables import Tables
    from kombu_pool.model import Metadata, Project


class RecordedQueues(QueueController):
    """Queues without messages."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

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
        with self._tables.client.translated():
            found = self._tables[QUEUES].find_one(queue_filter(project, name), {"m": 1})
        if found is None:
            raise QueueDoesNotExist(name, project)
        return read(found["m"])

    def set_metadata(self, name: str, metadata: Metadata, project: Project = None) -> None:
        stored = write(metadata)
        with self._tables.client.translated():
            changed = self._tables[QUEUES].update_one(queue_filter(project, name), {"$set": {"m": stored}})
        if not changed.matched_count:
            raise QueueDoesNotExist(name, project)

    def create(self, name: str, metadata: Metadata | None = None, project: Project = None) -> bool:
        new = {**with_id(queue_filter(project, name)), "m": write(metadata or {})}
        if self.exists(name, project):
            return False
        with self._tables.client.translated():
            try:
                self._tables[QUEUES].insert_one(new)
            except DuplicateKeyError:
                return False
        return True

    def exists(self, name: str, project: Project = None) -> bool:
        with self._tables.client.translated():
            return self._tables[QUEUES].find_one(queue_filter(project, name), {"_id": 1}) is not None

    def delete(self, name: str, project: Project = None) -> None:
        with self._tables.client.translated():
            self._tables[QUEUES].delete_one(queue_filter(project, name))

    def stats(self, name: str, project: Project = None) -> dict[str, Any]:
        if not self.exists(name, project):
            raise QueueDoesNotExist(name, project)
        return {"messages": {"claimed": 0, "free": 0, "total": 0}}

    def calculate_resource_count(self, project: Project = None) -> int:
        with self._tables.client.translated():
            return self._tables[QUEUES].count_documents({"p": project_key(project)})
